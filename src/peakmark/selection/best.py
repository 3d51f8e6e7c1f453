"""Which epoch is best? The one with the highest fitness; of equals the earlier. A pure function of the records.

It must not know how fitness is computed, nor any file or clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from peakmark.nouns import EpochRecord


def best_record(records: Iterable[EpochRecord]) -> EpochRecord | None:
    """Gives the record of the best epoch; None where no epoch has a fitness.

    An epoch that was not validated, or whose fitness is not a number, is never best.
    """
    best: EpochRecord | None = None
    for record in records:
        # Strictly higher: a later epoch that only equals an earlier one has earned nothing by training longer.
        if counts(record) and (best is None or fitness_of(record) > fitness_of(best)):
            best = record
    return best


def counts(record: EpochRecord) -> bool:
    """Whether an epoch can be best at all."""
    return record.fitness is not None and math.isfinite(record.fitness)


def fitness_of(record: EpochRecord) -> float:
    """The fitness of a record that counts. Raises ValueError for another."""
    if record.fitness is None:
        raise ValueError(f"epoch {record.epoch} was not validated")
    return record.fitness
