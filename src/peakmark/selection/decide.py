"""What follows from the history after an epoch, and why? Best or not, stop or not, kept or not, in one sentence.

A pure function of the history and the rules. It must not know any file or clock, nor who acts on it.
"""

from __future__ import annotations

from dataclasses import replace

from peakmark.nouns.run import Decision, EpochRecord, History
from peakmark.selection.best import best_record, counts, fitness_of
from peakmark.selection.retention import is_kept
from peakmark.selection.rules import Rules
from peakmark.selection.stopping import closes_first, out_of_patience, patience_left

_DIGITS = 4


def decide(history: History, rules: Rules) -> Decision:
    """Decides on the last epoch of `history`, which has at least one. Deterministic.

    At the last epoch that was asked for there is nothing left to stop.
    """
    records = history.records
    current, best = records[-1], best_record(history)
    best_before = best_record(replace(history, records=records[:-1]))
    is_last = current.epoch + 1 >= rules.epochs
    ends_early = not is_last and _ends_early(history, rules)
    close = ends_early and history.segments[-1].until is None and closes_first(history, rules)
    left = patience_left(history, rules)
    gained = best is current and (best_before is None or current.fitness != best_before.fitness)
    outlook = "" if is_last else _outlook(left, rules, gained=gained, ends_early=ends_early)
    return Decision(
        epoch=current.epoch,
        is_best=best is current,
        best_epoch=None if best is None else best.epoch,
        best_fitness=None if best is None else best.fitness,
        stop=ends_early and not close,
        close=close,
        keep=is_kept(current.epoch, rules.save_period),
        patience_left=left,
        reason=_verdict(current, best, best_before) + outlook + (_closing(rules.closing_epochs) if close else ""),
    )


def until_then(history: History, epoch: int) -> History:
    """Gives the history as it was when an epoch (0-based) of it had ended, for asking again what was decided then."""
    records = tuple(record for record in history.records if record.epoch <= epoch)
    return History(records, history.segments[: records[-1].segment + 1])


def _ends_early(history: History, rules: Rules) -> bool:
    until = history.segments[-1].until
    return out_of_patience(history, rules) if until is None else history.records[-1].epoch + 1 >= until


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
        if fitness == best_before.fitness:
            return f"fitness {mine} equals that of {that_epoch}, and the later one was trained for longer"
        return f"fitness {mine} beats {theirs} of {that_epoch}"
    if fitness == best_before.fitness:
        return f"fitness {mine} only equals that of {that_epoch}, and the earlier one stays best"
    return f"fitness {mine} does not beat {theirs} of {that_epoch}"


def _outlook(left: int | None, rules: Rules, *, gained: bool, ends_early: bool) -> str:
    """What the patience says, where it says anything."""
    if left is None or (gained and left == rules.patience):
        return ""
    but = f", by less than min_delta={rules.min_delta:g}" if gained else ""
    if left > 0:
        return f"{but}; {_epochs(left)} of patience left"
    if ends_early:
        return f"{but}; patience is used up, so the run stops"
    return f"{but}; patience is used up, the next validation decides"


def _closing(epochs: int) -> str:
    return f" after {_epochs(epochs)} more without mosaic, which it would have closed with (stop_phase=close)"


def _epochs(count: int) -> str:
    return f"{count} {'epoch' if count == 1 else 'epochs'}"


def _written(fitness: float) -> str:
    return f"{fitness:.{_DIGITS}f}"


def _told_apart(left: float, right: float) -> tuple[str, str]:
    """Writes two numbers with as many digits as it takes to see that they differ."""
    for digits in range(_DIGITS, 18):
        written = f"{left:.{digits}f}", f"{right:.{digits}f}"
        if left == right or written[0] != written[1]:
            return written
    return repr(left), repr(right)
