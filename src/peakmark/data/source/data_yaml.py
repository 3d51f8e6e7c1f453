"""What does a data.yaml say? Where the images of each split are and what the classes are called.

Only the yaml is read here and paths are made whole. Which images there are is `listing.py`'s question, whether they can
be used is `index.py`'s, and how data that aren't there come here that of whoever hands in a way to fetch them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.data.source.class_names import class_names
from peakmark.data.source.downloads import Download, downloads_of
from peakmark.data.source.paths import locate
from peakmark.data.source.yaml_file import load_yaml
from peakmark.errors import DataError

SPLITS = ("train", "val", "test")
_ALSO_VAL = ("validation", "valid")
"""How others write the key val."""


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """A data set as its data.yaml describes it."""

    yaml: Path | None
    """The file it was read from; None for a data set put together in Python."""
    root: Path
    """The folder that its paths are relative to."""
    splits: Mapping[str, tuple[Path, ...]]
    """For each split that is given: folders of images and .txt lists of images. They need not exist."""
    names: tuple[str, ...]
    """The classes, in the order of their numbers."""
    keypoints: tuple[int, int] | None = None
    """Of a pose set: how many key points each row of its labels has after the box, and how many numbers each takes."""
    notes: tuple[str, ...] = ()
    """How the file was understood, where that is not what it says to the letter; a sentence each."""
    made_from: Path | None = None
    """What it was converted from, of another format; `yaml` is then in the cache, and no file that anybody edits."""


def read_data_yaml(
    file: Path, *, equal_names: bool = False, fetched: Callable[[Sequence[Download]], Path] | None = None
) -> DatasetSpec:
    """Reads a data.yaml. Raises `DataError` with every mistake in the file at once.

    `equal_names`: whether two classes may have the same name, as those of a run that began when that was taken.
    `fetched`: brings the data that the file names an address of, where they are not there, and gives their folder.
    """
    content, problems = load_yaml(file)
    if not isinstance(content, dict):
        raise DataError(f"{file}: this is no data.yaml; it needs the keys train, val and names.")
    notes: list[str] = []
    names = class_names(content, problems, notes, equal_names=equal_names)
    keypoints = _keypoints(content.get("kpt_shape"), problems, notes)
    values = {split: _split_values(split, content, problems) for split in SPLITS}
    downloads = downloads_of(content.get("download"), problems, notes)
    if downloads and fetched is not None and not problems and not _is_there(file, content.get("path"), values):
        root = fetched(downloads)
        bases: tuple[Path, ...] = (root,)
    else:
        root = _root(file, content.get("path"), problems, notes)
        bases = (root, file.parent, Path.cwd())
    splits = {
        split: tuple(locate(split, value, bases, notes) for value in of_split)
        for split, of_split in values.items()
        if of_split
    }
    if not splits and not problems:
        problems.append("the keys train, val and test are all missing: give the folder of images of at least one")
    if problems:
        raise DataError("\n".join(f"{file}: {problem}." for problem in problems))
    return DatasetSpec(file, root, splits, names, keypoints, tuple(notes))


def _is_there(file: Path, path: Any, values: Mapping[str, Sequence[str]]) -> bool:
    """Whether any of the data that a file names is on this machine."""
    if not isinstance(path, str) or not path:
        root = file.parent
    else:
        root = locate("path", path, (file.parent, Path.cwd()), [])
    bases = (root, file.parent, Path.cwd())
    return any(locate(split, value, bases, []).exists() for split, of in values.items() for value in of)


def _keypoints(value: Any, problems: list[str], notes: list[str]) -> tuple[int, int] | None:
    if value is None:
        return None
    whole = isinstance(value, list) and len(value) == 2 and all(type(number) is int for number in value)
    if not whole or value[0] < 1 or value[1] not in (2, 3):
        problems.append(
            f"kpt_shape is {value!r}; it must be [number of key points, 2 or 3]: correct it or leave it out"
        )
        return None
    notes.append(f"kpt_shape: {value} makes this a pose set: its boxes are taken, its key points are not used.")
    return value[0], value[1]


def _root(file: Path, value: Any, problems: list[str], notes: list[str]) -> Path:
    if value is None or value == "":
        return file.parent.resolve()
    if not isinstance(value, str):
        problems.append(f"path is {value!r}; it must be the folder that train, val and test are relative to")
        return file.parent
    root = locate("path", value, (file.parent, Path.cwd()), notes)
    if not root.is_dir():
        problems.append(
            f"path is {value!r}, but there is no such folder, neither from the yaml's folder nor from the working "
            "directory: correct it, or leave it out where the images lie beside the yaml"
        )
    return root.resolve()


def _split_values(split: str, content: Mapping[str, Any], problems: list[str]) -> list[str]:
    keys = [key for key in (split, *(_ALSO_VAL if split == "val" else ())) if content.get(key) not in (None, "", [])]
    if len(keys) > 1:
        problems.append(f"the keys {' and '.join(keys)} mean the same: keep one of them")
    if not keys:
        return []
    value = content[keys[0]]
    values = value if isinstance(value, list) else [value]
    if all(isinstance(item, str) and item.strip() for item in values):
        return values
    problems.append(f"{split} is {value!r}; it must be a folder of images, a .txt list of images, or a list of these")
    return []
