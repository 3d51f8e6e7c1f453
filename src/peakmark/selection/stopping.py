"""How much longer may a run go without a better epoch? A pure function of the records.

It must not know how many epochs were asked for, nor any file or clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from peakmark.nouns import EpochRecord
from peakmark.selection.best import best_record, counts


def patience_left(records: Sequence[EpochRecord], patience: int) -> int | None:
    """Gives how many epochs may pass without a better one until the run stops.

    None where `patience` is 0 (never stop) or nothing has a fitness yet. Counts epochs, not validations: with
    val_period=5, a patience of 10 lasts two validations.
    """
    best = best_record(records)
    if patience == 0 or best is None:
        return None
    return max(0, patience - (records[-1].epoch - best.epoch))


def out_of_patience(records: Sequence[EpochRecord], patience: int) -> bool:
    """Whether the run should stop now. Only an epoch that was validated can say so.

    An epoch that was not may be a better one; stopping at it would throw away what it was trained for.
    """
    return bool(records) and counts(records[-1]) and patience_left(records, patience) == 0
