"""What may a user say about how a source is read and a target written? The same for all formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peakmark.data.formats.naming import TargetNames
from peakmark.files.new_folder import How, NewFolder
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS

Progress = Callable[[int, int], None]
"""Told how many of how many annotation files or images are done."""


def unwatched(done: int, of: int) -> None:
    """The progress where nobody watches."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a source is read."""

    names: tuple[str, ...] | None = None
    """The classes that are taken, in the order of their numbers; None for all that there are."""
    images: Path | None = None
    """The folder of the images, where they don't lie where the format has them."""
    first_pixel: int | None = None
    """Of VOC: the coordinate of the leftmost pixel; None where the files say it."""
    keep_difficult: bool = True
    keep_crowds: bool = True
    max_image_pixels: int = MAX_IMAGE_PIXELS
    progress: Progress = unwatched


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how a set is written."""

    folder: NewFolder
    names: TargetNames
    how: How = "link"
    """What becomes of the image files."""
    first_pixel: int = 0
    """Of VOC, as in Wishes."""
    progress: Progress = unwatched

    def place(self, name: str, path: Path | None, embedded: Callable[[], bytes] | None) -> None:
        """Brings an image file into the target."""
        if path is not None:
            self.folder.place(name, path, self.how)
        elif embedded is not None:
            self.folder.write(name, embedded())
