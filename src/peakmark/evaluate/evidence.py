"""What is left of a validated set once every detection has been compared with every truth?

Evidence is all that any number of an evaluation is made of: no boxes, no pixels, a few bytes per detection. It can be
kept per epoch and drawn from again by image. It must not know how it was found, nor what is computed from it.

Shape letters: D detections, G truths, A area ranges, T IoU thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peakmark.evaluate.tables import BoolArray
from peakmark.nouns.images import FloatArray

BitSets = NDArray[np.uint16]
"""A set of IoU thresholds per entry: bit t stands for `IOU_THRESHOLDS[t]`."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The outcome of matching a set: rows ordered by image, then class, then score (highest first).

    Every detection is in it, with its rank: what a cap leaves out depends on the number that is asked for.
    """

    images: int
    classes: int

    scores_D: FloatArray
    image_D: NDArray[np.int32]
    class_D: NDArray[np.int32]
    rank_D: NDArray[np.int32]
    """0 for the best detection of its image and class"""
    matched_DA: BitSets
    """Thresholds at which the detection got a truth of its class, per area range"""
    ignored_DA: BitSets
    """Thresholds at which the detection counts neither as right nor as wrong, per area range"""
    truth_of_D: NDArray[np.int32]
    """Row of the truth it got at IoU 0.5 where classes don't matter, or -1; what the confusion matrix is made of"""

    class_G: NDArray[np.int32]
    image_G: NDArray[np.int32]
    crowd_G: BoolArray
    ignored_GA: BoolArray
    """Truths that nobody needs to find: crowds, and those outside of the area range"""

    cap: int | None
    """How many of the best detections of an image and class average precision looks at (`protocol.cap_for`)"""

    def among_best(self, most: int | None) -> BoolArray:
        """Tells which detections are among the `most` best of their image and class; all, where that is None."""
        return np.ones(len(self.rank_D), dtype=np.bool_) if most is None else self.rank_D < most

    def right(self, area: int, threshold: int) -> BoolArray:
        """Tells which detections are true positives in an area range at an IoU threshold."""
        return _has(self.matched_DA[:, area] & ~self.ignored_DA[:, area], threshold)

    def counted(self, area: int, threshold: int) -> BoolArray:
        """Tells which detections are true or false positives; the others are left out."""
        return ~_has(self.ignored_DA[:, area], threshold)

    def truths_per_class(self, area: int) -> NDArray[np.int64]:
        """Counts the truths per class that have to be found in an area range."""
        return np.bincount(self.class_G[~self.ignored_GA[:, area]], minlength=self.classes)


def _has(bits: BitSets, threshold: int) -> BoolArray:
    has: BoolArray = (bits & np.uint16(1 << threshold)) != 0
    return has
