"""What does a comparison of runs say? The schema of compare.json, for who makes one and who shows it.

Numbers of epochs are 1-based here: people and pipelines read them. It must not know how anything in it came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peakmark.record.plain_json import as_json


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with how sure it is."""

    value: float
    standard_error: float
    low: float
    """Of the 95 % interval."""
    high: float


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A run beside others, by its best epoch."""

    name: str
    """The shortest end of its path that tells it from the others."""
    folder: Path
    state: str
    """finished, early stopped ... or that it has not ended."""
    epochs: int
    """That were trained."""
    best_epoch: int | None
    """None where no epoch was validated; then there are no numbers either."""
    fitness: float | None
    """Of the best epoch, by what the comparison is made by."""
    metrics: Mapping[str, float]
    per_class: Mapping[str, tuple[float, ...]]
    classes: tuple[str, ...]
    measured: Mapping[str, Measured]
    """fitness, map50_95, map50, precision, recall, each by itself; empty without evidence."""
    behind: Mapping[str, Measured]
    """How far the best run is ahead of this one, on the same resamples of the same images; empty where unknown."""
    tied: bool | None
    """Whether it can't be told from the best run by the fitness; None where that can't be said."""
    digests: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that isn't the same in all runs, with a value per run, as a user would write it."""

    name: str
    values: tuple[str, ...]
    defaults: tuple[bool, ...] = ()
    """Of a setting: whether the value is the default that nobody chose."""
    bears_on_result: bool = True


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Runs that differ in the seed alone."""

    label: str
    """The settings that tell the group from the others; empty where there is only one."""
    runs: tuple[str, ...]
    mean: float
    """Of the fitness."""
    standard_deviation: float
    """Between seeds."""
    behind: Measured | None = None
    """How far the group with the highest mean is ahead, with the seeds as replicates; None for itself."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs beside each other: ranked, if that is fair, with what differs between them."""

    text: str
    """What came out, in sentences."""
    ranked: bool
    """False where the numbers are not of the same kind: there is no winner then, and the runs stand as they came."""
    fitness: str
    """What the runs are compared by, as a setting holds it."""
    fitness_in_words: str
    protocol: str
    images: int | None
    """That were validated, where that is the same for all."""
    runs: tuple[ComparedRun, ...] = field(repr=False)
    """Ranked: the best first, those without numbers last."""
    settings: tuple[Difference, ...] = field(repr=False)
    surroundings: tuple[Difference, ...] = field(repr=False)
    """Data, model, machine and libraries."""
    seeds: tuple[SeedGroup, ...] = field(repr=False)
    sameness: tuple[str, ...] = field(repr=False)
    """Of runs with equal settings and seed: whether they are the same bit for bit, or where they part and why."""
    notes: tuple[str, ...]
    folder: Path | None = None
    """Where it is written down."""

    @property
    def best(self) -> ComparedRun | None:
        """The run with the highest fitness, whether others can be told from it or not; None where it is not ranked."""
        return self.runs[0] if self.ranked else None

    def to_json(self) -> str:
        """Gives all of it as JSON; what can't be computed is null."""
        content: dict[str, Any] = {"best": self.best.name if self.best else None, "comparison": self}
        return as_json({"format": "peakmark-comparison", "format_version": 1, **content}, indent=2)
