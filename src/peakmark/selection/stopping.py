"""How much longer may a run go without a better epoch? A pure function of the history.

It must not know how many epochs were asked for, nor any file or clock.
"""

from __future__ import annotations

from peakmark.nouns import History
from peakmark.selection.best import best_record, counts


def patience_left(history: History, patience: int) -> int | None:
    """Gives how many epochs may pass without a better one until the run stops.

    None where `patience` is 0 (never stop) or nothing has a fitness yet. Counts epochs, not validations: with
    val_period=5, a patience of 10 lasts two validations. It counts from the open segment on: whoever changed something
    wants to see what comes of it.
    """
    best = best_record(history)
    if patience == 0 or best is None:
        return None
    since = max(best.epoch, history.segments[-1].from_epoch - 1)
    return max(0, patience - (history.records[-1].epoch - since))


def out_of_patience(history: History, patience: int) -> bool:
    """Whether the run should stop now. Only an epoch of the open segment that was validated can say so.

    An epoch that was not may be a better one; stopping at it would throw away what it was trained for.
    """
    records = history.records
    if not records or records[-1].epoch < history.segments[-1].from_epoch:
        return False
    return counts(records[-1]) and patience_left(history, patience) == 0
