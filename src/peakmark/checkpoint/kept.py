"""Which epochs of a history are there with their weights? Looked up in a folder, for a choice made anew.

It must not know how one of them is chosen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from peakmark.checkpoint.catalogue import read_to_go_on
from peakmark.checkpoint.format import TIME_COLUMNS, Checkpoint
from peakmark.checkpoint.reader import check_whole, read_own_record
from peakmark.errors import ModelFileError
from peakmark.nouns.run import EpochRecord, History


def kept_epochs(folder: Path, history: History) -> dict[int, Path]:
    """Gives the files that say that they hold weights as an epoch of `history` ended with them, by epoch (0-based).

    Only files of the very same run count: their last record is that epoch's. Stripped ones don't, nor those that are
    damaged in what they say; of a damage to their weights `kept_epoch` knows, which reads all of a file.
    """
    return {epoch: paths[0] for epoch, paths in _claims(folder, history).items()}


def kept_epoch(folder: Path, history: History, epoch: int) -> Path | None:
    """Gives a file that holds the weights of an epoch (0-based) of `history` and is whole, if there is one."""
    return next((path for path in _claims(folder, history).get(epoch, ()) if is_whole(path)), None)


def is_whole(path: Path) -> bool:
    """Whether every byte of a file of ours is as it was written."""
    try:
        check_whole(path)
    except ModelFileError:
        return False
    return True


def _claims(folder: Path, history: History) -> dict[int, list[Path]]:
    """Without the weights: two hundred files are listed in the time that two take to be read."""
    records = {record.epoch: record for record in history.records}
    found: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("[!.]*.pt")):
        try:
            own = read_own_record(path)
        except ModelFileError:
            continue
        if own is not None and own.epoch in records and _alike(own, records[own.epoch]):
            found.setdefault(own.epoch, []).append(path)
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
