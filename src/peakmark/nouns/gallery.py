"""Which images of a set are worth a look, and what is right and wrong in them?

Boxes are x1, y1, x2, y2 in `PLACES` steps across the image and down it, so that they fit it at any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PLACES: Final = 10_000

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FoundObject:
    """A detection, and how it stands to the truths of its image."""

    box: Box
    class_number: int
    score: float
    kind: str
    """right, or the kind of its mistake; empty in a crowd, where it is neither"""
    about: int
    """The truth of the image that it found or is mistaken about; -1 for background"""
    taken_for: int
    """The truth of the image that it is held against in the confusion matrix; -1 for none"""


@dataclass(frozen=True, slots=True)
class GalleryImage:
    file: str
    """Its path as the set has it"""
    width_px: int
    height_px: int
    jpeg: bytes
    """Small; empty where the file couldn't be read any more"""
    counts: Mapping[str, int]
    """How many mistakes of each kind at the gallery's confidence; kinds that don't occur are left out"""
    truths: Sequence[Box]
    classes: Sequence[int]
    """Of the truths"""
    found: Sequence[FoundObject]
    """Highest score first"""
    left_out: int
    """Weaker detections that are not among `found`"""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Of a set, the images that show its mistakes, and the mistakes of all of it in numbers."""

    epoch: int | None
    """Whose weights found what is in it, 1-based; None where they are those of no run's epoch, or of one unknown"""
    split: str
    images_in_set: int
    images_with_mistakes: int
    confidence: float
    """At which mistakes are counted: that of the best mean F1"""
    ap50: float | None
    costs: Mapping[str, float | None]
    """By kind of mistake: how much higher AP50 would be without those; None in a set without truths"""
    counts: Mapping[str, int]
    """By kind of mistake, in all of the set, at `confidence`"""
    images: Sequence[GalleryImage]
    """Worst first"""
