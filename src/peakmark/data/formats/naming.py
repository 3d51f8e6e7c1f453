"""What are the images called in a target, so that no two share a name and every reader finds their labels?

A label file has its image's name without the ending, so that a.jpg and a.png can't both keep theirs; and a folder
`images` inside a split would send who looks for labels to another place.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from peakmark.data.formats.annotated_set import Account, AnnotatedImage

_OBEYED = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029\ud800-\udfff]")
"""Ends of lines, which would make two names of one in a list, and what no text file holds."""
_RESERVED = ("images", "labels", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN")


class TargetNames:
    """Gives each image a name of its own, equal to the one it had wherever that can be."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._taken: set[tuple[str, str]] = set()
        self._flat: dict[tuple[object, ...], tuple[str, str]] = {}

    def nested(self, image: AnnotatedImage) -> str:
        """Gives a name inside the split's folder, which may have folders of its own."""
        wanted = PurePosixPath(*map(_part, PurePosixPath(image.name).parts))
        return self._free(image, image.split, wanted)

    def flat(self, image: AnnotatedImage) -> tuple[str, str, bool]:
        """Gives a name for one folder of all splits, without its ending and with it, and whether it is a new one.

        An image that is in two splits with the same objects is one file.
        """
        key = (image.path, tuple(image.objects)) if image.path is not None else (id(image),)
        known = self._flat.get(key)
        if known is not None:
            return *known, False
        name = self._free(image, "", PurePosixPath("_".join(map(_part, PurePosixPath(image.name).parts))))
        self._flat[key] = (str(PurePosixPath(name).with_suffix("")), name)
        return *self._flat[key], True

    def _free(self, image: AnnotatedImage, space: str, wanted: PurePosixPath) -> str:
        # Compared in small letters: on a disk that tells no case apart, A.jpg would replace a.jpg.
        number, name = 1, wanted
        while (space, str(name.with_suffix("")).lower()) in self._taken:
            number += 1
            name = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        self._taken.add((space, str(name.with_suffix("")).lower()))
        if str(name) != image.name:
            self._account.change("image renamed", image.name, f"it is {name} in the target")
        return str(name)


def _part(part: str) -> str:
    part = _OBEYED.sub("_", part)
    # What begins with a dot is hidden, and passed over when images are listed.
    return f"_{part}" if part.startswith(".") or part in _RESERVED else part
