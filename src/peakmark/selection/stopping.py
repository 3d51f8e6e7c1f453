"""How much longer may a run go without a better epoch, and what does it end with? Pure functions of the history.

They must not know any file or clock.
"""

from __future__ import annotations

from peakmark.nouns.run import EpochRecord, History
from peakmark.selection.best import candidates, counts, fitness_of
from peakmark.selection.rules import Rules
from peakmark.settings.recipe import mosaic_is_open


def patience_left(history: History, rules: Rules) -> int | None:
    """Gives how many epochs may pass without a better one until the run stops.

    None where patience is 0 (never stop), nothing has a fitness yet, or the run is in the closing epochs of an early
    stop. Counts epochs, not validations: with val_period=5, a patience of 10 lasts two validations. It counts from the
    open segment on: whoever changed something wants to see what comes of it.
    """
    segment, reference = history.segments[-1], _reference(history, rules.min_delta)
    if rules.patience == 0 or reference is None or segment.until is not None:
        return None
    since = max(reference.epoch, segment.from_epoch - 1)
    return max(0, rules.patience - (history.records[-1].epoch - since))


def out_of_patience(history: History, rules: Rules) -> bool:
    """Whether the run should end now. Only an epoch of the open segment that was validated can say so.

    An epoch that was not may be a better one; stopping at it would throw away what it was trained for.
    """
    records = history.records
    if not records or records[-1].epoch < history.segments[-1].from_epoch:
        return False
    return counts(records[-1]) and patience_left(history, rules) == 0


def closes_first(history: History, rules: Rules) -> bool:
    """Whether a run that ends now has yet to run its closing epochs: mosaic was on in the last one, or a next one.

    Without it an early stop would hand out weights that were trained on mosaics alone.
    """
    last, horizon = history.records[-1].epoch, history.segments[-1].horizon
    return rules.closing_epochs > 0 and mosaic_is_open(rules.closing_epochs, horizon, last)


def _reference(history: History, min_delta: float) -> EpochRecord | None:
    """Gives the last epoch that was better than the reference before it by more than nothing, and at least `min_delta`.

    Small gains add up against the reference: an epoch that creeps up is a better one at last.
    """
    reference: EpochRecord | None = None
    for record in candidates(history):
        if reference is None or _is_gain(fitness_of(record) - fitness_of(reference), min_delta):
            reference = record
    return reference


def _is_gain(gain: float, min_delta: float) -> bool:
    return gain > 0 and gain >= min_delta
