"""Which of a run's weights files is the newest that is whole? For a resume after a crash or a failing disk.

It must not know what the run goes on to do with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read, read_position
from peakmark.errors import ModelFileError
from peakmark.nouns.run import Position

_PREFERENCE = ("last.pt", "best.pt")
"""Among files that are equally far; the kept epochs come after, in the order of their names."""
_KEPT = re.compile(r"(best_)?epoch\d+\.pt")


@dataclass(frozen=True, slots=True)
class Found:
    """The newest good checkpoint of a folder."""

    path: Path
    checkpoint: Checkpoint
    refused: tuple[str, ...]
    """A sentence for each file that was passed over because it is damaged or stripped."""


def has_files(folder: Path) -> bool:
    """Whether anything was ever saved whole there: a folder alone may be all that a kill in the first save leaves."""
    return bool(_weights_files(folder))


def newest_good(folder: Path) -> Found:
    """Finds the file that is furthest in the run and whole, among last.pt, best.pt and epochN.pt.

    Raises `ModelFileError` where there is none, with what was refused.
    """
    refused: list[str] = []
    candidates: list[tuple[tuple[int, int, bool, int], Path]] = []
    for path in _weights_files(folder):
        try:
            candidates.append((_progress(read_position(path)), path))
        except ModelFileError as error:
            refused.append(str(error))
    # Sorting is stable: among equally far files the preferred one stays first.
    for _, path in sorted(candidates, key=lambda candidate: candidate[0], reverse=True):
        try:
            checkpoint = read_to_go_on(path)
        except ModelFileError as error:
            refused.append(str(error))
            continue
        return Found(path, checkpoint, tuple(refused))
    what = "\n".join(refused) or "There is no last.pt, best.pt or epochN.pt."
    raise ModelFileError(f"No checkpoint in {folder} can be resumed.\n{what}")


def read_to_go_on(path: Path) -> Checkpoint:
    """Reads a checkpoint that a run can go on from. Raises `ModelFileError` as `read` does, and for a stripped one."""
    checkpoint = read(path)
    if checkpoint.is_imported:
        raise ModelFileError(
            f"{path} was imported from another program: it holds weights, but no state that a run goes on from. Start a"
            f" new run from these weights: peakmark train model={path} data=..."
        )
    if not checkpoint.complete:
        raise ModelFileError(
            f"{path} is stripped: it holds the weights that are used, but not the state that a run goes on from. Resume"
            f" from last.pt, or start a new run from these weights: peakmark train model={path} data=..."
        )
    return checkpoint


def _weights_files(folder: Path) -> list[Path]:
    named = [folder / name for name in _PREFERENCE if (folder / name).is_file()]
    return named + sorted(path for path in folder.glob("*epoch*.pt") if _KEPT.fullmatch(path.name))


def _progress(position: Position) -> tuple[int, int, bool, int]:
    return position.epoch, position.images, position.phase == "validate", position.step
