"""Which image files make up a split, and which label files belong to none of them? Names only; no file's content.

Order is part of the answer, since an image's number keys its random draws: folders by name, lists as they are written.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from peakmark.data.dataset import DatasetSpec
from peakmark.data.images import IMAGE_SUFFIXES
from peakmark.data.labels import label_folder
from peakmark.errors import DataError

_NOT_LABELS = "classes.txt"
"""Drawing tools write the class names beside the labels under this name."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The image files of a split. Plain strings: a million `Path`s would take a gigabyte."""

    files: tuple[str, ...]
    """Absolute; each once."""
    listed_again: int
    """How often a file came up that was listed already."""


def list_images(spec: DatasetSpec, split: str) -> Listing:
    """Lists the images of a split. Raises `DataError` if the split isn't given, is nowhere, or has no images."""
    where = f"{spec.yaml}: " if spec.yaml else ""
    sources = spec.splits.get(split)
    if not sources:
        raise DataError(f"{where}the key {split} is missing: give the folder of its images.")
    listed: list[str] = []
    for source in sources:
        if source.is_dir():
            listed.extend(_walk(source))
        elif source.is_file() and source.suffix.lower() == ".txt":
            listed.extend(_read_list(source, spec.root))
        elif source.exists():
            raise DataError(f"{where}{split} is {source}, which is neither a folder nor a .txt list of images.")
        else:
            raise DataError(f"{where}{split} is {source}, but there is no such folder or list: correct the path.")
    if not listed:
        places = ", ".join(map(str, sources))
        raise DataError(
            f"{where}{split} is {places}, where there are no images: put some there or correct the path "
            f"(images end in {', '.join(sorted(IMAGE_SUFFIXES))})."
        )
    files = tuple(dict.fromkeys(listed))
    return Listing(files, listed_again=len(listed) - len(files))


def label_folders(files: Iterable[str]) -> dict[str, str]:
    """Gives, for each folder that holds images, the folder that holds their labels."""
    return {folder: label_folder(folder) for folder in dict.fromkeys(os.path.dirname(file) for file in files)}


def labels_without_image(folders: Mapping[str, str], ignored: Collection[str]) -> list[str]:
    """Lists label files whose folder of images has no image of their name. `ignored`: .txt files known as no labels."""
    orphans: list[str] = []
    for images, labels in folders.items():
        if not (os.path.isdir(images) and os.path.isdir(labels)):
            continue
        stems = {stem for stem, suffix in map(os.path.splitext, os.listdir(images)) if suffix.lower() in IMAGE_SUFFIXES}
        for name in sorted(os.listdir(labels)):
            stem, suffix = os.path.splitext(name)
            file = os.path.join(labels, name)
            if suffix == ".txt" and stem not in stems and name != _NOT_LABELS and file not in ignored:
                orphans.append(file)
    return orphans


def _walk(folder: Path) -> list[str]:
    """All images in a folder and the folders in it, through links too, in the order of their names."""
    found: list[str] = []
    visited: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:  # a link to a folder above would lead round in circles
            folders.clear()
            continue
        visited.add(real)
        # Names with a dot in front are what systems leave behind (._photo.jpg), not images.
        found.extend(
            os.path.join(place, name)
            for name in names
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")
        )
    return sorted(found)


def _read_list(file: Path, root: Path) -> Iterator[str]:
    """The images that a .txt list names, a line each, relative to the list's folder or else to the data set's root."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: this list of images can't be read ({error}); save it as UTF-8 text.") from error
    for line in lines:
        if name := line.strip():
            beside, below_root = file.parent / name, root / name
            yield str(below_root if below_root.exists() and not beside.exists() else beside)
