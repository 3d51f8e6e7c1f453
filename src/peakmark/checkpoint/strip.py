"""What is left of a checkpoint that is given away? What is used, and what is known of it; no run can go on from it.

It must not know what the file is for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError
from peakmark.nouns.run import EpochRecord


def strip_file(source: Path, target: Path | None = None) -> tuple[Path, int, int]:
    """Writes a stripped copy and gives its path and the sizes in bytes before and after; `source` stays as it is.

    Without `target` best.pt becomes best-stripped.pt beside it. Raises ModelFileError where the source can't be read or
    is stripped already, or something stands under the target's name, and MachineError where the disk says no.
    """
    to = source.with_name(f"{source.stem}-stripped.pt") if target is None else target
    if to.exists():
        raise ModelFileError(f"{to} is there already, and no weights file is written over: give another name.")
    checkpoint = read(source)
    if not checkpoint.complete:
        raise ModelFileError(f"{source} is stripped already; it can be used, copied and sent as it is.")
    return to, source.stat().st_size, save(stripped(checkpoint), to)


def stripped(checkpoint: Checkpoint) -> Checkpoint:
    """Leaves the validated weights, and what says where they and their numbers come from."""
    return replace(
        checkpoint,
        training_weights={},
        optimizer={},
        scaler=None,
        # The segments stay: its record, and what best was compared with, are told by them.
        history=replace(checkpoint.history, records=_its_own(checkpoint)),
    )


def _its_own(checkpoint: Checkpoint) -> tuple[EpochRecord, ...]:
    return tuple(record for record in checkpoint.history.records if record.epoch == checkpoint.weights_epoch)
