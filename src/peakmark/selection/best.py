"""Which epoch is best? The one with the highest fitness; of equals the earlier. A pure function of the history.

It must not know how fitness is computed, nor any file or clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from peakmark.nouns import EpochRecord, History


def best_record(history: History) -> EpochRecord | None:
    """Gives the record of the best epoch; None where no epoch has a fitness that counts."""
    best: EpochRecord | None = None
    for record in candidates(history):
        # Strictly higher: a later epoch that only equals an earlier one has earned nothing by training longer.
        if best is None or fitness_of(record) > fitness_of(best):
            best = record
    return best


def candidates(history: History) -> Iterator[EpochRecord]:
    """Gives the epochs that can be best.

    An epoch that was not validated, or whose fitness is not a number, never is. One that was validated on other data or
    at another image size than the open segment's says nothing about this one, and one whose weights are gone can't be
    handed out.
    """
    for record in history.records:
        its_own, open_one = history.segments[record.segment], history.segments[-1]
        if counts(record) and its_own.comparable == open_one.comparable and record.epoch not in open_one.gone:
            yield record


def counts(record: EpochRecord) -> bool:
    """Whether an epoch can be best at all."""
    return record.fitness is not None and math.isfinite(record.fitness)


def fitness_of(record: EpochRecord) -> float:
    """The fitness of a record that counts. Raises ValueError for another."""
    if record.fitness is None:
        raise ValueError(f"epoch {record.epoch} was not validated")
    return record.fitness
