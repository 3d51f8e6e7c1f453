"""How is a comparison of runs looked at? compare.html: what came out, the numbers, the curves, and all that differs.

The picture is embedded, so that the one file can be sent to somebody. It is handed a comparison; it must not know how
one is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peakmark.files.durable import write_text
from peakmark.markup import data_url, render
from peakmark.record.comparison import ComparedRun, Comparison, Difference, Measured
from peakmark.report.numbers import four_digits
from peakmark.report.pages.table import Row, Table
from peakmark.report.pages.words import spoken
from peakmark.report.pictures.comparison_curves import PICTURE_FILE
from peakmark.report.terminal.comparison_table import (
    METRIC_TITLES,
    grouped_differences,
    seed_group_in_words,
    shows_fitness,
    standing_of,
    with_error,
)

PAGE_FILE = "compare.html"
_CLASS_TITLES = (("map50_95", "AP50-95"), ("map50", "AP50"), ("precision", "precision"), ("recall", "recall"))
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
    standing: str
    state: str


@dataclass(frozen=True, slots=True)
class Lead:
    """How far the best run is ahead in a metric."""

    with_error: str
    interval: str


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
    title: str
    differences: Sequence[DifferenceRow]


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """What the page of a comparison holds; runs stand in the comparison's order everywhere."""

    text: str
    fitness: str
    images: int | None
    protocol: str
    is_ranked: bool
    names: list[str]
    """Of the runs."""
    metrics: list[str]
    """Titles of the numbers of a run."""
    runs: Sequence[RunRow]
    has_errors: bool
    """Whether any number has its standard error."""
    behind: Sequence[RunBehind]
    seeds: Sequence[str]
    sameness: Sequence[str]
    curves_url: str
    differences: Sequence[DifferenceGroup]
    classes: Sequence[tuple[str, Table]]
    """A table of each metric; none where not all runs have the same classes."""
    notes: Sequence[str]
    digests_of: list[str]
    """What the digests of a run are of."""
    digests: Sequence[tuple[str, Sequence[str]]]
    """The name of each run with its digests."""


def write_comparison_page(folder: Path, comparison: Comparison) -> None:
    """Writes compare.html beside the picture that was drawn before. Raises `MachineError` where it can't write."""
    metrics = [*METRIC_TITLES, *([("fitness", "fitness")] if shows_fitness(comparison) else [])]
    keys = [key for key, _ in metrics]
    digests_of = list(dict.fromkeys(what for run in comparison.runs for what in run.digests))
    page = ComparisonPage(
        text=comparison.text,
        fitness=comparison.fitness_in_words,
        images=comparison.images,
        protocol=comparison.protocol,
        is_ranked=comparison.ranked,
        names=[run.name for run in comparison.runs],
        metrics=[title for _, title in metrics],
        runs=[_run(run, comparison, keys) for run in comparison.runs],
        has_errors=any(run.measured for run in comparison.runs),
        behind=[_behind(run, keys) for run in comparison.runs[1:] if run.behind],
        seeds=[seed_group_in_words(group) for group in comparison.seeds],
        sameness=comparison.sameness,
        curves_url=data_url((folder / PICTURE_FILE).read_bytes(), Path(PICTURE_FILE).suffix),
        differences=[
            DifferenceGroup(title, [_difference(each) for each in differences])
            for title, differences in grouped_differences(comparison)
        ],
        classes=_classes(comparison),
        notes=[*comparison.notes, *(f"{run.name}: {note}" for run in comparison.runs for note in run.notes)],
        digests_of=digests_of,
        digests=[
            (run.name, [run.digests.get(what, "–")[:_DIGEST_DIGITS] for what in digests_of]) for run in comparison.runs
        ],
    )
    write_text(folder / PAGE_FILE, render("report/pages/templates/comparison.html.j2", page=page, **spoken()))


def _run(run: ComparedRun, comparison: Comparison, keys: Sequence[str]) -> RunRow:
    return RunRow(
        name=run.name,
        best_epoch="–" if run.best_epoch is None else f"{run.best_epoch} of {run.epochs}",
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
    return None if lead is None else Lead(with_error(lead), f"{lead.low:.4f} to {lead.high:.4f}")


def _difference(difference: Difference) -> DifferenceRow:
    defaults = difference.defaults or (False,) * len(difference.values)
    return DifferenceRow(difference.name, list(map(ValueOfRun, difference.values, defaults)))


def _classes(comparison: Comparison) -> list[tuple[str, Table]]:
    runs = [run for run in comparison.runs if run.per_class]
    if not runs or len({run.classes for run in runs}) > 1:
        return []
    head = ["class", *(run.name for run in runs)]
    return [
        (
            title,
            Table(
                head,
                [
                    Row([name, *(four_digits(run.per_class[metric][number]) for run in runs)])
                    for number, name in enumerate(runs[0].classes)
                ],
            ),
        )
        for metric, title in _CLASS_TITLES
    ]
