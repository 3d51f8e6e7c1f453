"""Where does a path of a data.yaml lead? As it is written, as exporting services mean it, or as it was on Windows.

The file system is asked whether something is there; nothing is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath

from peakmark.files.given_path import given_path


def locate(key: str, value: str, bases: Sequence[Path], notes: list[str]) -> Path:
    """Gives the first place where `value` exists; where it is nowhere, the place where it should have been.

    `bases`: the folders that it may be relative to, likeliest first. Where only a part of it was followed, a sentence
    in `notes` says which place was taken for it.
    """
    path = given_path(value, key)
    if path.is_absolute():
        return path
    written = Path(with_slashes(value)) if not path.exists() else path
    if is_windows_place(value):
        found = _first_that_exists(_ends_of(written), bases)
        if found is None and key == "path" and bases[0].name == written.name:
            found = bases[0]  # the yaml lies in the very folder that is meant
        return _said(key, value, found, notes) or bases[0] / written
    # Exports of a widespread labelling service say ../train/images for a folder that lies beside the yaml.
    beside = Path(*[part for part in written.parts if part != ".."])
    candidates = [base / variant for variant in (path, written, beside) for base in bases]
    found = next((candidate for candidate in candidates if candidate.exists()), None)
    if found is not None or len(beside.parts) < 2:
        return found or candidates[0]
    # Others of its exports name their own folder first: NAME/train/images in a yaml that lies in NAME.
    return _said(key, value, _first_that_exists([Path(*beside.parts[1:])], bases[:2]), notes) or candidates[0]


def with_slashes(text: str) -> str:
    """Gives a path as this system writes it, where it was written on Windows."""
    return text.replace("\\", "/") if os.sep == "/" else text


def is_windows_place(text: str) -> bool:
    """Whether a path begins with a drive letter or a computer's name, and so can't be one of this system."""
    return os.sep == "/" and bool(PureWindowsPath(text).drive)


def _ends_of(path: Path) -> Iterator[Path]:
    """The ends of a path of another machine, longest first, without its drive."""
    parts = [part for part in path.parts if part != "/"][1:]
    for start in range(len(parts)):
        yield Path(*parts[start:])


def _first_that_exists(paths: Iterable[Path], bases: Sequence[Path]) -> Path | None:
    return next((base / path for path in paths for base in bases if (base / path).exists()), None)


def _said(key: str, value: str, found: Path | None, notes: list[str]) -> Path | None:
    if found is not None:
        notes.append(f"{key} is {value}, which is not on this machine; {found} is taken for it.")
    return found
