"""What can one ask of a run or a checkpoint that is there? The other half of the facade: it trains nothing.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peakmark.checkpoint.reader import describe, read
from peakmark.selection.best import best_record


def inspect(file: str | Path) -> dict[str, Any]:
    """Says what a checkpoint is, as plain values, with its digests worked out anew. Raises ModelFileError."""
    path = Path(file).expanduser()
    checkpoint = read(path)
    best = best_record(checkpoint.history)
    return describe(path, checkpoint) | {"best_epoch": best.epoch + 1 if best else None}
