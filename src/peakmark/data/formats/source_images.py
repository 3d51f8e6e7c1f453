"""Where is the image that an annotation is about, and how large is it really?

The size that an annotation states is held against the file's own: boxes in pixels of another size are wrong ones. No
name that stands in an annotation leads out of the folders that the user named.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from peakmark.data.formats.annotated_set import Account, AnnotatedImage, shown
from peakmark.data.images import IMAGE_SUFFIXES, UnreadableImageError, probe
from peakmark.data.source.paths import with_slashes
from peakmark.errors import DataError
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS


class SourceImages:
    """Finds the images of a source, and leaves those out that can't be used."""

    def __init__(self, account: Account, max_image_pixels: int = MAX_IMAGE_PIXELS) -> None:
        self._account = account
        self._most_px = max_image_pixels
        self._last: Path | None = None

    def find(self, names: Iterable[str], folders: Sequence[Path]) -> Path | None:
        """Gives the first file of these names in these folders; the folder of the last one found is asked first."""
        # An image a folder: asking ten folders for each of 100,000 images takes as long as all else.
        ordered = [self._last, *folders] if self._last in folders else folders
        for name in names:
            for folder in ordered:
                if folder is not None and (found := folder / name).is_file():
                    self._last = folder
                    return found
        return None

    def open(
        self,
        path: Path | None,
        name: str,
        split: str,
        stated_px: tuple[float, float] | None,
        where: str,
        objects: int,
    ) -> AnnotatedImage | None:
        """Gives an image without its objects yet; None where it is left out with its `objects`, which is accounted for.

        `stated_px`: the width and height that the annotation gives, or None where it gives none.
        """
        if path is None:
            return self.leave_out("missing image", split, where, f"there is no image {shown(name)}", objects)
        try:
            facts = probe(path, "fast", self._most_px)
        except UnreadableImageError as error:
            return self.leave_out("unreadable image", split, where, f"{path}: {error.reason}", objects)
        except DataError as error:
            return self.leave_out("unreadable image", split, where, str(error), objects)
        return self.sized(path, name, split, (facts.width_px, facts.height_px), stated_px, where, objects)

    def sized(
        self,
        path: Path | None,
        name: str,
        split: str,
        size_px: tuple[int, int],
        stated_px: tuple[float, float] | None,
        where: str,
        objects: int,
    ) -> AnnotatedImage | None:
        """Gives an image of a size that was seen, unless another one is stated."""
        if PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES:
            words = f"the name {shown(name)} has no ending of an image"
            return self.leave_out("unreadable image", split, where, words, objects)
        if stated_px is not None and tuple(stated_px) != size_px:
            words = (
                f"it states {stated_px[0]:g} x {stated_px[1]:g} px, but {shown(name)} has {size_px[0]} x {size_px[1]}:"
                " its boxes are those of another picture, or of one that was scaled or turned since"
            )
            return self.leave_out("image of another size", split, where, words, objects)
        self._account.images[split] += 1
        return AnnotatedImage(name, split, *size_px, path)

    def leave_out(self, kind: str, split: str, where: str, text: str, objects: int) -> AnnotatedImage | None:
        """Accounts for an image that is not taken, and for its objects; gives None in its place."""
        self._account.images[split] += 1
        self._account.objects[split] += objects
        self._account.drop(kind, where, text, objects=objects, images=1)
        return None


def safe_name(written: object) -> str | None:
    """Gives a relative name as an annotation wrote it, with slashes; None where it leads out of its folder or nowhere.

    Names that were written on Windows are read as such.
    """
    if not isinstance(written, str) or not written.strip() or "\0" in written or len(written) > 4096:
        return None
    name = os.path.normpath(with_slashes(written.strip()))
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or ":" in parts[0]:
        return None
    return name if all(len(os.fsencode(part)) <= 255 for part in parts) else None
