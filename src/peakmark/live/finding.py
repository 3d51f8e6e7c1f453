"""Which runs lie in a folder? Those that began to tell their story, however deep they lie, within reason.

It must not know what they told.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from peakmark.record.folder import RunFolder

_DEEPEST: Final = 4
"""Folders below the one that was named; runs/detect/NAME is two."""
_KEY_DIGITS: Final = 12


def runs_in(places: Iterable[Path]) -> Mapping[str, RunFolder]:
    """Gives the runs in these folders by their keys, the newest first; a folder that is a run is its own.

    A key is made of the path: it stays the run's as long as that stays where it is.
    """
    found = {folder.resolve(): None for place in places for folder in _below(place, 0)}
    newest_first = sorted((RunFolder(path) for path in found), key=lambda run: (-_began_ns(run), run.path))
    return {key_of(run.path): run for run in newest_first}


def key_of(folder: Path) -> str:
    """Gives what a run is called in an address."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:_KEY_DIGITS]


def _below(folder: Path, depth: int) -> Iterable[Path]:
    if RunFolder(folder).journal.is_file():
        yield folder
        return
    try:
        inside = [Path(entry) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return  # no right to look into it, or it has just gone
    for each in inside if depth < _DEEPEST else ():
        if not each.name.startswith("."):
            yield from _below(each, depth + 1)


def _began_ns(run: RunFolder) -> int:
    try:
        return run.settings_yaml.stat().st_mtime_ns
    except OSError:
        return 0
