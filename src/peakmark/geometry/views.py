"""How is an image looked at several times, and where in it does a box lie that one of these views shows?

A view is the image in another size and perhaps mirrored, in a rectangle of whole strides as any other image. Its pixels
and its boxes go by the same letterbox. It must not know what looks at it. Shapes: B images, N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional

from peakmark.geometry.letterbox import BACKGROUND, Letterbox


@dataclass(frozen=True, slots=True)
class View:
    """One look at images that are in their rectangles already: sides that are whole strides."""

    scale: float
    """Of both sides, above 0; to whole pixels, so that each axis has its own exact scale."""
    mirrored: bool = False
    """Left to right."""

    def __str__(self) -> str:
        return f"{self.scale:g} mirrored" if self.mirrored else f"{self.scale:g}"

    def pixels(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Gives the view of images (B, 3, H, W) uint8 on the processor; the very same ones where it changes nothing.

        Each image's pixels follow from it alone, whatever it shares the batch with.
        """
        # Mirrored first: of a mirrored image the views are then those of the image in another order, bit for bit,
        # wherever an odd row of padding goes and however resizing rounds.
        images = images_BCHW.flip(3) if self.mirrored else images_BCHW
        height_px, width_px = images.shape[2:]
        box = self._letterbox(width_px, height_px)
        inner = (box.inner_height_px, box.inner_width_px)
        if inner != (height_px, width_px):
            # As bytes: in float32 this takes twenty times as long, nearly as long as the network.
            images = functional.interpolate(images, size=inner, mode="bilinear", antialias=True)
        right_px = box.padded_width_px - box.left_px - box.inner_width_px
        bottom_px = box.padded_height_px - box.top_px - box.inner_height_px
        if not any(padding := (box.left_px, right_px, box.top_px, bottom_px)):
            return images
        return functional.pad(images, padding, value=BACKGROUND)

    def to_image(self, boxes_xyxy_px: torch.Tensor, width_px: int, height_px: int) -> torch.Tensor:
        """Takes boxes (N, 4) float32 from the view of an image of this size back into the image.

        Not clipped: what reaches over the edge does so as well where an image is looked at once.
        """
        if self.scale == 1 and not self.mirrored:
            return boxes_xyxy_px
        box = self._letterbox(width_px, height_px)
        # In float64, or three roundings in a row would be seen behind the third digit of a pixel.
        left, top, right, bottom = boxes_xyxy_px.double().unbind(-1)
        left, right = ((x - box.left_px) * (width_px / box.inner_width_px) for x in (left, right))
        top, bottom = ((y - box.top_px) * (height_px / box.inner_height_px) for y in (top, bottom))
        if self.mirrored:
            left, right = width_px - right, width_px - left
        return torch.stack((left, top, right, bottom), dim=-1).float()

    def _letterbox(self, width_px: int, height_px: int) -> Letterbox:
        return Letterbox(width_px, height_px, max(1, round(self.scale * max(width_px, height_px))))


Views = tuple[View, ...]
"""The first is the image as it is; boxes of all are in px of that one."""

ONCE: Final[Views] = (View(1.0),)
AUGMENTED: Final[Views] = (View(1.0), View(1.0, mirrored=True), View(0.83), View(0.83, mirrored=True))
"""What `augment=True` looks at: the image, mirrored, at 0.83 of its size, and that mirrored.

Measured on validation images (docs/how-it-works.md), it gained for sure with two models of six and lost for sure with
none. Sets with a view at 0.67 lost for sure with one that had learnt little, sets with one at 1.2 on large objects,
though they gained more on small ones. With both sides of each scale a mirrored image has mirrored boxes.
"""


def views_for(*, augment: bool) -> Views:
    """How images are looked at with and without `augment`."""
    return AUGMENTED if augment else ONCE


def in_words(views: Views) -> tuple[str, ...]:
    """Says how images are looked at where that is not once, for the protocol of a validation."""
    return () if views == ONCE else (f"augment=True ({', '.join(map(str, views))})",)
