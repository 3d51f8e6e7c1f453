"""What is in an image: what is true of it, what was found in it, and what is made of it.

Shape letters: G truths of an image, D detections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
ImageArray = NDArray[np.uint8]
"""An image as height x width x 3, RGB."""


@dataclass(frozen=True, slots=True)
class Truths:
    """The labelled objects of one image, in px of the image it travels with."""

    boxes_xyxy_px: FloatArray
    """(G, 4)"""
    classes: IntArray
    """(G,)"""
    outlines_px: Sequence[FloatArray] | None = None
    """(G) of each object the hull (P, 2) of the polygon that it was labelled by, without points for a box; None where
    only boxes are asked for."""

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class Detections:
    """What a model found in one image, highest score first, in px of the image it travels with."""

    boxes_xyxy_px: FloatArray
    """(D, 4)"""
    scores: FloatArray
    """(D,), 0 to 1"""
    classes: IntArray
    """(D,)"""

    def __len__(self) -> int:
        return len(self.classes)


Detect: TypeAlias = "Callable[[torch.Tensor], list[Detections]]"
"""Images of one shape (B, 3, H, W) uint8 RGB to what is in each of them, in their px: thresholded and suppressed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One training image after augmentation, and what is left of its truths."""

    image: ImageArray
    truths: Truths


@dataclass(frozen=True, slots=True)
class Samples:
    """Some images of a set with what is true of them and what was found in them, all in px of the images."""

    images: tuple[ImageArray, ...]
    truths: tuple[Truths, ...]
    detections: tuple[Detections, ...]
    titles: tuple[str, ...]
