"""How is a comparison of runs looked at? compare.html: what came out, the numbers, the curves, and all that differs.

One file, which can be sent to somebody; scripts of the package draw the curves. It is handed a comparison; it must not
know how one is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.files.durable import write_text
from peakmark.markup import render
from peakmark.record.comparison import ComparedRun, Comparison, Difference, Measured, SeedGroup
from peakmark.report.numbers import four_digits
from peakmark.report.pages.comparison_curves import RunCurves, curves_of_runs
from peakmark.report.pages.page import shown_data
from peakmark.report.pages.words import Said, spoken
from peakmark.report.table import Row, Table
from peakmark.report.terminal.comparison_table import (
    Standing,
    grouped_differences,
    shows_fitness,
    standing_of,
    with_error,
)

PAGE_FILE = "compare.html"
_METRICS = (("map50_95", "mAP50-95"), ("map50", "mAP50"), ("precision", "precision"), ("recall", "recall"))
_CLASS_METRICS = (("map50_95", "AP50-95"), ("map50", "AP50"), ("precision", "precision"), ("recall", "recall"))
_DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class NumberWithError:
    value: str
    error: str
    """Empty where it isn't known."""


@dataclass(frozen=True, slots=True)
class RunRow:
    name: str
    best_epoch: str
    numbers: Sequence[NumberWithError]
    standing: Standing
    state: str


@dataclass(frozen=True, slots=True)
class Lead:
    """How far the best run is ahead in a metric."""

    with_error: str
    interval: Said


@dataclass(frozen=True, slots=True)
class RunBehind:
    name: str
    leads: Sequence[Lead | None]
    """None where it isn't known."""


@dataclass(frozen=True, slots=True)
class ValueOfRun:
    text: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    name: str
    values: Sequence[ValueOfRun]


@dataclass(frozen=True, slots=True)
class DifferenceGroup:
    key: str
    """Of its title, in the catalogue."""
    differences: Sequence[DifferenceRow]


@dataclass(frozen=True, slots=True)
class SeedRow:
    """Runs that differ in the seed alone."""

    label: str
    """Empty where there is one group only."""
    seeds: int
    mean: str
    deviation: str
    behind: Lead | None


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """What the page of a comparison holds; runs stand in the comparison's order everywhere."""

    text: str
    made_by: Sequence[Said]
    """By what and on what the runs are compared."""
    is_ranked: bool
    names: list[str]
    """Of the runs."""
    metrics: list[str]
    """The numbers of a run, by their keys in the catalogue."""
    runs: Sequence[RunRow]
    has_errors: bool
    """Whether any number has its standard error."""
    behind: Sequence[RunBehind]
    seeds: Sequence[SeedRow]
    sameness: Sequence[str]
    differences: Sequence[DifferenceGroup]
    classes: Sequence[tuple[str, Table]]
    """A table of each metric, whose head has no word for the first column; none where classes differ."""
    notes: Sequence[str]
    digests_of: list[str]
    """What the digests of a run are of."""
    digests: Sequence[tuple[str, Sequence[str]]]
    """The name of each run with its digests."""
    data: Mapping[str, Any]
    """What the scripts draw: `curves`"""


def write_comparison_page(folder: Path, comparison: Comparison, curves: Sequence[RunCurves]) -> None:
    """Writes compare.html; `curves`: those of the runs. Raises `MachineError` where it can't write."""
    metrics = [*_METRICS, *([("fitness", "fitness")] if shows_fitness(comparison) else [])]
    keys = [key for key, _ in metrics]
    digests_of = list(dict.fromkeys(what for run in comparison.runs for what in run.digests))
    page = ComparisonPage(
        text=comparison.text,
        made_by=_made_by(comparison),
        is_ranked=comparison.ranked,
        names=[run.name for run in comparison.runs],
        metrics=[label for _, label in metrics],
        runs=[_run(run, comparison, keys) for run in comparison.runs],
        has_errors=any(run.measured for run in comparison.runs),
        behind=[_behind(run, keys) for run in comparison.runs[1:] if run.behind],
        seeds=[_seeds(group) for group in comparison.seeds],
        sameness=comparison.sameness,
        differences=[
            DifferenceGroup(key, [_difference(each) for each in differences])
            for key, differences in grouped_differences(comparison)
        ],
        classes=_classes(comparison),
        notes=[*comparison.notes, *(f"{run.name}: {note}" for run in comparison.runs for note in run.notes)],
        digests_of=digests_of,
        digests=[
            (run.name, [run.digests.get(what, "–")[:_DIGEST_DIGITS] for what in digests_of]) for run in comparison.runs
        ],
        data=shown_data({"curves": curves_of_runs(curves)}),
    )
    write_text(folder / PAGE_FILE, render("report/pages/templates/comparison.html.j2", page=page, **spoken()))


def _made_by(comparison: Comparison) -> list[Said]:
    images = [Said("compare.images", {"images": comparison.images})] if comparison.images else []
    fitness = Said("compare.by", {"fitness": comparison.fitness_in_words})
    return [fitness, *images, Said("protocol.metrics", {"protocol": comparison.protocol})]


def _run(run: ComparedRun, comparison: Comparison, keys: Sequence[str]) -> RunRow:
    return RunRow(
        name=run.name,
        best_epoch="–" if run.best_epoch is None else f"{run.best_epoch} / {run.epochs}",
        numbers=[_number(run, key) for key in keys],
        standing=standing_of(run, comparison),
        state=run.state,
    )


def _number(run: ComparedRun, key: str) -> NumberWithError:
    value = run.fitness if key == "fitness" else run.metrics.get(key)
    error = four_digits(run.measured[key].standard_error) if key in run.measured else ""
    return NumberWithError(four_digits(value), error)


def _behind(run: ComparedRun, keys: Sequence[str]) -> RunBehind:
    return RunBehind(run.name, [_lead(run.behind.get(key)) for key in keys])


def _lead(lead: Measured | None) -> Lead | None:
    if lead is None:
        return None
    return Lead(with_error(lead), Said("interval.between", {"low": f"{lead.low:.4f}", "high": f"{lead.high:.4f}"}))


def _seeds(group: SeedGroup) -> SeedRow:
    mean, deviation = four_digits(group.mean), four_digits(group.standard_deviation)
    return SeedRow(group.label, len(group.runs), mean, deviation, _lead(group.behind))


def _difference(difference: Difference) -> DifferenceRow:
    defaults = difference.defaults or (False,) * len(difference.values)
    return DifferenceRow(difference.name, list(map(ValueOfRun, difference.values, defaults)))


def _classes(comparison: Comparison) -> list[tuple[str, Table]]:
    """A table of each metric, by its key in the catalogue."""
    runs = [run for run in comparison.runs if run.per_class]
    if not runs or len({run.classes for run in runs}) > 1:
        return []
    return [
        (
            key,
            Table(
                [run.name for run in runs],
                [
                    Row([name, *(four_digits(run.per_class[metric][number]) for run in runs)])
                    for number, name in enumerate(runs[0].classes)
                ],
            ),
        )
        for metric, key in _CLASS_METRICS
    ]
