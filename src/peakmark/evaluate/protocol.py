"""Which constants make a number a COCO number? Thresholds, recall levels, sizes and limits of pycocotools' `bbox` mode.

And when is it none any more? This file must not know how anything is matched or averaged with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from peakmark.nouns.evaluation import MAX_DETECTIONS, PROTOCOL
from peakmark.nouns.images import IntArray

# linspace, not arange: arange's steps add up to thresholds that lie a last bit above the ones COCO compares with.
IOU_THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
"""(T,) A match needs at least this much overlap."""
IOU_50: Final = 0
IOU_75: Final = 5

RECALL_LEVELS: Final = np.linspace(0.0, 1.0, 101)
"""(R,) Where the precision curve is read."""

AREA_NAMES: Final = ("all", "small", "medium", "large")
AREA_RANGES_PX2: Final = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]])
"""(A, 2) Smallest and largest area, both included, in px² of the original image: exactly 32² is small and medium."""
ALL_SIZES: Final = 0

_UNCAPPED: Final = (
    "COCO without its cap: 10 IoU thresholds 0.50 to 0.95, 101 recall levels, all detections (an image has more than"
    f" {MAX_DETECTIONS} objects of a class)"
)


def cap_for(most_truths: int) -> int | None:
    """Gives how many detections of an image and class average precision looks at; None for all of them.

    `most_truths`: objects of one class in one image, where they are most. With more than COCO's cap nobody could find
    them all: 150 of 150 objects, found perfectly, would be an mAP of 0.66.
    """
    return MAX_DETECTIONS if most_truths <= MAX_DETECTIONS else None


def most_of_a_class(image_G: IntArray, class_G: IntArray) -> int:
    """Counts the truths of one class in one image, where they are most."""
    if len(class_G) == 0:
        return 0
    _, counts = np.unique(image_G.astype(np.int64) * (int(class_G.max()) + 1) + class_G, return_counts=True)
    return int(counts.max())


def protocol_in_words(cap: int | None, otherwise: Sequence[str] = ()) -> str:
    """Names what the numbers mean; `otherwise` says what of the detections was made in another way than by default.

    Numbers of different words are not compared.
    """
    return ", ".join([PROTOCOL if cap == MAX_DETECTIONS else _UNCAPPED, *otherwise])
