"""Which epochs of a history are there with their weights? Looked up in a folder, for a choice made anew.

It must not know how one of them is chosen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from peakmark.checkpoint.catalogue import read_to_go_on
from peakmark.checkpoint.format import TIME_COLUMNS, Checkpoint
from peakmark.errors import ModelFileError
from peakmark.nouns import EpochRecord, History


def kept_epochs(folder: Path, history: History) -> dict[int, Path]:
    """Gives the files that hold weights as an epoch of `history` ended with them, by that epoch (0-based).

    Only files of the very same run count: their last record is that epoch's. Damaged and stripped ones do not.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("[!.]*.pt")):
        try:
            checkpoint = read_to_go_on(path)
        except ModelFileError:
            continue
        for record in history.records:
            if _holds(checkpoint, record):
                found.setdefault(record.epoch, path)
    return found


def read_kept(path: Path, record: EpochRecord) -> Checkpoint | None:
    """Reads a file, if it is there and whole and holds the weights that this record is of."""
    try:
        checkpoint = read_to_go_on(path)
    except ModelFileError:
        return None
    return checkpoint if _holds(checkpoint, record) else None


def _holds(checkpoint: Checkpoint, record: EpochRecord) -> bool:
    own = [own for own in checkpoint.history.records if own.epoch == checkpoint.weights_epoch == record.epoch]
    return bool(own) and _alike(own[0], record)


def _alike(one: EpochRecord, other: EpochRecord) -> bool:
    """Whether two records are of the same training; its fitness may have been judged anew since."""
    aside: dict[str, Any] = {"fitness": None, **dict.fromkeys(TIME_COLUMNS, 0.0)}
    return repr(replace(one, **aside)) == repr(replace(other, **aside))  # as text: NaN equals itself there
