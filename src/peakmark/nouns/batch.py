"""What is a microbatch made of, and what a batch of validation images?

Shape letters: N truths of a batch, B images of a batch.
Importing this file loads no torch, so that the command line starts fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns.images import Truths

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """What one microbatch is made of: `images_BCHW` as bytes, and the truths of all its images in one list."""

    images_BCHW: torch.Tensor
    """(B, 3, H, W) uint8, RGB; H and W are multiples of 32, in training the side of a square"""
    boxes_xyxy_px: torch.Tensor
    """(N, 4) float32, px of the batch's images"""
    classes: torch.Tensor
    """(N,) int64"""
    image_index: torch.Tensor
    """(N,) int64, ascending: which image of the batch a truth belongs to"""
    files: tuple[str, ...]
    """The image files, for messages: one per image of the batch."""

    def __len__(self) -> int:
        return int(self.images_BCHW.shape[0])


@dataclass(frozen=True, slots=True)
class ValidationBatch:
    """A batch of letterboxed images of one shape, with what is needed to go back to the original images."""

    batch: Batch
    numbers: tuple[int, ...]
    """Which images of the set they are; a set is cut into batches by shape, so not in its order."""
    letterboxes: tuple[Letterbox, ...]
    truths: tuple[Truths, ...]
    """Per image, in px of the original image."""
