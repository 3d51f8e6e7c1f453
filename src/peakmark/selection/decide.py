"""What follows from the history after an epoch, and why? Best or not, stop or not, kept or not, in one sentence.

A pure function of the history and three settings. It must not know any file or clock, nor who acts on it.
"""

from __future__ import annotations

from dataclasses import replace

from peakmark.nouns import Decision, EpochRecord, History
from peakmark.selection.best import best_record, counts, fitness_of
from peakmark.selection.retention import is_kept
from peakmark.selection.stopping import out_of_patience, patience_left

_DIGITS = 4


def decide(history: History, *, epochs: int, patience: int, save_period: int) -> Decision:
    """Decides on the last epoch of `history`, which has at least one. Deterministic.

    `epochs` is how many the run was asked for: at the last one there is nothing left to stop.
    """
    records = history.records
    current, best = records[-1], best_record(history)
    best_before = best_record(replace(history, records=records[:-1]))
    is_last = current.epoch + 1 >= epochs
    stop = not is_last and out_of_patience(history, patience)
    left = patience_left(history, patience)
    return Decision(
        epoch=current.epoch,
        is_best=best is current,
        best_epoch=None if best is None else best.epoch,
        best_fitness=None if best is None else best.fitness,
        stop=stop,
        keep=is_kept(current.epoch, save_period),
        patience_left=left,
        reason=_verdict(current, best, best_before) + _outlook(current, best, left, is_last=is_last),
    )


def _verdict(current: EpochRecord, best: EpochRecord | None, best_before: EpochRecord | None) -> str:
    so_far = "" if best is None else f"; best so far is {_written(fitness_of(best))} of epoch {best.epoch + 1}"
    if current.metrics is None and current.fitness is None:
        return f"not validated, so it cannot be best{so_far}"
    if not counts(current):
        return f"its fitness is not a number, so it cannot be best{so_far}"
    fitness = fitness_of(current)
    if best_before is None:
        return f"fitness {_written(fitness)} is the first"
    mine, theirs = _told_apart(fitness, fitness_of(best_before))
    that_epoch = f"epoch {best_before.epoch + 1}"
    if best is current:
        return f"fitness {mine} beats {theirs} of {that_epoch}"
    if fitness == best_before.fitness:
        return f"fitness {mine} only equals that of {that_epoch}, and the earlier one stays best"
    return f"fitness {mine} does not beat {theirs} of {that_epoch}"


def _outlook(current: EpochRecord, best: EpochRecord | None, left: int | None, *, is_last: bool) -> str:
    """What the patience says, where it says anything."""
    if left is None or is_last or best is current:
        return ""
    if left > 0:
        return f"; {left} {'epoch' if left == 1 else 'epochs'} of patience left"
    if counts(current):
        return "; patience is used up, so the run stops"
    return "; patience is used up, the next validation decides"


def _written(fitness: float) -> str:
    return f"{fitness:.{_DIGITS}f}"


def _told_apart(left: float, right: float) -> tuple[str, str]:
    """Writes two numbers with as many digits as it takes to see that they differ."""
    for digits in range(_DIGITS, 18):
        written = f"{left:.{digits}f}", f"{right:.{digits}f}"
        if left == right or written[0] != written[1]:
            return written
    return repr(left), repr(right)
