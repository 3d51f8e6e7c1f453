"""Which epoch is best? The one with the highest fitness; of equals the later. A pure function of the history.

A later epoch that equals an earlier one was trained longer: where nothing is found yet, all are 0, and the first would
be the worst of them. By the rules of training that older runs keep, it is the earlier one.
It must not know how fitness is computed, nor any file or clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from peakmark.nouns.run import EpochRecord, History
from peakmark.settings.recipe import Since


def best_record(history: History) -> EpochRecord | None:
    """Gives the record of the best epoch; None where no epoch has a fitness that counts."""
    ranked = by_fitness(history)
    return ranked[0] if ranked else None


def by_fitness(history: History) -> list[EpochRecord]:
    """Gives the epochs that can be best, the best first."""
    if not history.records:
        return []
    later_first = -1 if history.segments[-1].recipe["version"] >= Since.LATER_OF_EQUALS_IS_BEST else 1
    return sorted(candidates(history), key=lambda record: (-fitness_of(record), later_first * record.epoch))


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
