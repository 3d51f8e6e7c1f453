"""Which image files make up a split, and which label files belong to none of them? Names only; no file's content.

Order is part of the answer, since an image's number keys its random draws: folders by name, lists as they are written.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from peakmark.data.images import IMAGE_SUFFIXES
from peakmark.data.source.data_yaml import DatasetSpec
from peakmark.data.source.labels import label_folder
from peakmark.data.source.paths import with_slashes
from peakmark.errors import DataError
from peakmark.files.given_path import NO_FILE_WORDS, is_special, possible_path

_LONGEST_LINE = 1 << 16
_NOT_LABELS = "classes.txt"
"""Drawing tools write the class names beside the labels under this name."""

_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"})
"""What archives, network disks and systems keep copies in, besides folders with a dot in front (.ipynb_checkpoints)."""

_COMPANIONS = frozenset(
    {".txt", ".json", ".xml", ".csv", ".yaml", ".yml", ".md", ".html", ".cache", ".npy", ".npz", ".db", ".ini", ".log"}
)
"""Files that lie beside images and are none by intention."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The image files of a split. Plain strings: a million `Path`s would take a gigabyte."""

    files: tuple[str, ...]
    """Absolute; each once."""
    listed_again: int
    """How often a file came up that was listed already."""
    hidden: tuple[str, ...] = ()
    """Images in hidden folders or with a dot in front of their name; not taken."""
    others: tuple[str, ...] = ()
    """Files in the folders that count neither as images nor as what usually lies beside them; not taken."""


def list_images(spec: DatasetSpec, split: str) -> Listing:
    """Lists the images of a split. Raises `DataError` if the split isn't given, is nowhere, or has no images."""
    where = f"{spec.made_from or spec.yaml}: " if spec.yaml else ""
    sources = spec.splits.get(split)
    if not sources and spec.made_from:
        there = " and ".join(spec.splits)
        raise DataError(
            f"{where}it has no split {split}, only {there}; make one: peakmark convert source={spec.made_from}"
            " target=NEW_FOLDER to=yolo split=0.8,0.2, and give data=NEW_FOLDER/data.yaml."
        )
    if not sources:
        raise DataError(f"{where}the key {split} is missing: give the folder of its images.")
    listed: list[str] = []
    hidden: list[str] = []
    others: list[str] = []
    for source in sources:
        if source.is_dir():
            listed.extend(_walk(source, hidden, others))
        elif source.is_file() and source.suffix.lower() == ".txt":
            listed.extend(_read_list(source, spec.root))
        elif is_special(source):
            raise DataError(f"{where}{split} is {source}: {NO_FILE_WORDS} or a folder.")
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
    return Listing(files, len(listed) - len(files), tuple(sorted(hidden)), tuple(sorted(others)))


def label_folders(files: Iterable[str]) -> dict[str, str]:
    """Gives, for each folder that holds images, the folder that holds their labels."""
    return {folder: label_folder(folder) for folder in dict.fromkeys(os.path.dirname(file) for file in files)}


def stray_labels(folders: Mapping[str, str], ignored: Collection[str]) -> tuple[list[str], list[str]]:
    """Lists label files without an image of their name, and those beside images whose labels lie elsewhere.

    `folders`: that of `label_folders`; `ignored`: .txt files known as no labels.
    """
    orphans: list[str] = []
    beside: list[str] = []
    for images, labels in folders.items():
        if not (os.path.isdir(images) and os.path.isdir(labels)):
            continue
        names = os.listdir(images)
        stems = {stem for stem, suffix in map(os.path.splitext, names) if suffix.lower() in IMAGE_SUFFIXES}
        orphans += [file for stem, file in _label_files(labels, os.listdir(labels), ignored) if stem not in stems]
        if labels != images:
            beside += [file for stem, file in _label_files(images, names, ignored) if stem in stems]
    return orphans, beside


def _label_files(folder: str, names: Iterable[str], ignored: Collection[str]) -> Iterator[tuple[str, str]]:
    for name in sorted(name for name in names if name[-4:].lower() == ".txt"):
        file = os.path.join(folder, name)
        if name != _NOT_LABELS and file not in ignored:
            yield os.path.splitext(name)[0], file


def _walk(folder: Path, hidden: list[str], others: list[str]) -> list[str]:
    """All images in a folder and the folders in it, through links too, in the order of their names."""
    found: list[str] = []
    visited: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:  # a link to a folder above would lead round in circles
            folders.clear()
            continue
        visited.add(real)
        in_hidden = any(_is_hidden(part) for part in os.path.relpath(place, folder).split(os.sep))
        for name in names:
            is_image = os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
            if is_image and not in_hidden and not name.startswith("."):
                found.append(os.path.join(place, name))
            # Names that begin with ._ are what one system leaves beside each file: no images, and not worth a word.
            elif is_image and not name.startswith("._"):
                hidden.append(os.path.join(place, name))
            elif not is_image and not in_hidden and not name.startswith(".") and not is_companion(name):
                others.append(os.path.join(place, name))
    return sorted(found)


def _is_hidden(folder: str) -> bool:
    return folder in _SYSTEM_FOLDERS or (folder.startswith(".") and folder not in (".", ".."))


def is_companion(name: str) -> bool:
    """Whether a file usually lies beside images and is none by intention."""
    return os.path.splitext(name)[1].lower() in _COMPANIONS or name.upper() in ("LICENSE", "README", "THUMBS.DB")


def _read_list(file: Path, root: Path) -> Iterator[str]:
    """The images that a .txt list names, a line each, relative to the list's folder or else to the data set's root.

    Raises `DataError` where it is no text, `SettingsError` at a line that can't be a path.
    """
    for number, name in list_lines(file):
        try:
            image = _image_of_line(name, file.parent, root)
        except (OSError, ValueError):
            # Asked only now: a further look at the disk for each of a million lines takes seconds.
            possible_path(file.parent / name, f"{file}, line {number}")
            raise
        yield str(image)


def _image_of_line(name: str, folder: Path, root: Path) -> Path:
    if "\0" in name:
        raise ValueError(name)  # the disk is not asked about such a name, and it would be taken for one that is there
    if "\\" in name and not (folder / name).exists():
        name = with_slashes(name)
    beside, below_root = folder / name, root / name
    return below_root if below_root.exists() and not beside.exists() else beside


def list_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Gives the lines of a .txt list that aren't empty, with their numbers. A line at a time, and none without end.

    Raises `DataError` where the file can't be read as text.
    """
    try:
        with open(file, encoding="utf-8-sig") as stream:
            number = 0
            while line := stream.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE:
                    raise DataError(f"{file}, line {number}: this is too long for a path; give a list of files.")
                if text := line.strip():
                    yield number, text
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: this list can't be read ({error}); save it as UTF-8 text, a path a line.") from error
