"""How sure are the numbers of each run's best epoch, and how far are they apart on the same images?

All runs are judged on the same resamples of the validation images, so that what is hard in an image is hard for all of
them and drops out of their differences. It must not know whether runs may be ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import read_logged
from peakmark.evaluate.fitness import Fitness
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.resampling import ResampledMetrics, draw_resamples
from peakmark.evaluate.tables import DoubleArray
from peakmark.evaluate.uncertainty import RESAMPLES, RESAMPLING_SEED, Estimate, estimate, leads
from peakmark.nouns.images import IntArray
from peakmark.nouns.run import EpochRecord
from peakmark.record.comparison import Measured
from peakmark.release.comparison.runs import Run

METRICS: Final = ("map50_95", "map50", "precision", "recall")
"""Beside the fitness, the numbers that runs are compared in."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """The numbers of a run's best epoch, as measured and in every resample, by name."""

    images: int
    values: Mapping[str, float]
    resampled: Mapping[str, DoubleArray]
    truths: tuple[IntArray, IntArray]
    """Image and class of each truth: runs that were validated on the same have the same."""

    def alone(self) -> dict[str, Measured]:
        """Says how sure each number is by itself."""
        return {
            name: Measured(**asdict(estimate(value, self.resampled[name], self.images)))
            for name, value in self.values.items()
        }

    def has_truths_of(self, other: Resampled) -> bool:
        """Whether both were held against the same objects."""
        pairs = zip(self.truths, other.truths, strict=True)
        return self.images == other.images and all(np.array_equal(mine, its) for mine, its in pairs)


def evidence_of(run: Run, best: EpochRecord) -> Evidence | str:
    """Reads the evidence of a run's best epoch, or gives a sentence that says why it can't be used."""

    def metrics_again(evidence: Evidence) -> Sequence[float]:
        again = evaluation_from(evidence, [str(number) for number in range(evidence.classes)]).metrics
        return [again[name] for name in METRICS]

    path, epoch = run.folder.evidence_file(best.epoch), f"its best epoch, {best.epoch + 1}"
    logged = [(best.metrics or {})[name] for name in METRICS]
    missing = f"The evidence of {epoch}, is not there ({path})."
    return read_logged(path, epoch, logged, metrics_again, missing=missing)


def resample(evidence: Evidence, metrics: Mapping[str, float], value: float, fitness: Fitness) -> Resampled | str:
    """Resamples a best epoch, whose fitness is `value`, or gives a sentence that says why that says nothing."""
    if evidence.images < 2:
        return "One validation image says nothing of how sure its numbers are."
    weights_BI = draw_resamples(evidence.images, RESAMPLES, RESAMPLING_SEED)
    of_metrics = ResampledMetrics(evidence, weights_BI)
    return Resampled(
        images=evidence.images,
        values={"fitness": value, **{name: metrics[name] for name in METRICS}},
        resampled={
            "fitness": fitness.resampled(evidence, weights_BI),
            **{name: of_metrics[name] for name in METRICS},
        },
        truths=(evidence.image_G.astype(np.int64), evidence.class_G.astype(np.int64)),
    )


def behind(best: Resampled, runs: Sequence[Resampled], fitness_name: str) -> list[dict[str, Measured]]:
    """Says of each run how far `best`, which is among them, is ahead of it; without the fitness where too few have it.

    The intervals of the fitness, by which the best was picked, hold for all runs at once; those of the other numbers
    for one at a time.
    """
    place = next(number for number, run in enumerate(runs) if run is best)
    fitness_RB = np.stack([run.resampled["fitness"] for run in runs])
    by_fitness = leads([run.values["fitness"] for run in runs], fitness_RB, best.images, place)
    found = []
    for number, run in enumerate(runs):
        of_run = {name: Measured(**asdict(_lead(best, run, name))) for name in METRICS}
        if by_fitness is not None:
            of_run["fitness"] = Measured(**asdict(by_fitness[number]))
            if fitness_name in METRICS:
                of_run[fitness_name] = of_run["fitness"]
        found.append(of_run)
    return found


def _lead(best: Resampled, run: Resampled, name: str) -> Estimate:
    return estimate(best.values[name] - run.values[name], best.resampled[name] - run.resampled[name], best.images)
