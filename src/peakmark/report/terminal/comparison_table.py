"""How is a comparison of runs read in a terminal? The numbers as a table, then what differs, then what came out.

It is handed a comparison; it must not know how one is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from peakmark.record.comparison import ComparedRun, Comparison, Difference, Measured, SeedGroup
from peakmark.report.numbers import four_digits
from peakmark.report.pages.words import in_english

Standing = Literal["", "best", "tied", "behind", "unknown"]
_METRIC_TITLES = (("map50_95", "mAP50-95"), ("map50", "mAP50"), ("precision", "P"), ("recall", "R"))


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Prints a comparison for a person."""
    console.print(_table(comparison))
    for run in comparison.runs:
        for note in run.notes:
            _line(console, Text.assemble((f"{run.name}: ", "bold"), note))
    _print_differences(console, comparison)
    # One group of seeds alone is in the sentence at the end.
    seeds = comparison.seeds if len(comparison.seeds) > 1 else ()
    further = [*map(_seed_group_in_words, seeds), *comparison.sameness, *comparison.notes]
    for said in ("", *further) if further else ():
        _line(console, Text(said))
    console.print()
    _line(console, Text(comparison.text, "bold" if comparison.ranked else "bold yellow"))


def shows_fitness(comparison: Comparison) -> bool:
    """Whether the fitness is a number of its own beside the metrics."""
    return comparison.fitness not in {name for name, _ in _METRIC_TITLES}


def standing_of(run: ComparedRun, comparison: Comparison) -> Standing:
    """Says in a word how a run stands to the best one; empty where nothing is ranked."""
    if not comparison.ranked or run.fitness is None:
        return ""
    if run is comparison.runs[0]:
        return "best"
    if run.tied is None:
        return "unknown"
    return "tied" if run.tied else "behind"


def with_error(measured: Measured | None) -> str:
    """Writes a number with its standard error."""
    return "" if measured is None else f"{measured.value:.4f} ± {measured.standard_error:.4f}"


def grouped_differences(comparison: Comparison) -> list[tuple[str, Sequence[Difference]]]:
    """Gives what differs in groups, each with the key of its title in the catalogue; what doesn't differ has none."""
    parts = (
        ("differs.result", [each for each in comparison.settings if each.bears_on_result]),
        ("differs.other", [each for each in comparison.settings if not each.bears_on_result]),
        ("differs.surroundings", comparison.surroundings),
    )
    return [(key, differences) for key, differences in parts if differences]


def by_value(difference: Difference, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Gives each value once, with the runs that have it; a setting's default says that nobody chose it."""
    for value in dict.fromkeys(difference.values):
        places = [place for place, each in enumerate(difference.values) if each == value]
        untouched = bool(difference.defaults) and all(difference.defaults[place] for place in places)
        yield value + (" (default)" if untouched else ""), ", ".join(names[place] for place in places)


def _seed_group_in_words(group: SeedGroup) -> str:
    """Says what the seeds of a group came to."""
    what = f" of {group.label}" if group.label else ""
    said = f"{len(group.runs)} seeds{what}: fitness {group.mean:.4f}, between seeds ± {group.standard_deviation:.4f}"
    if group.behind is None:
        return f"{said}."
    interval = f"95 % interval over seeds {group.behind.low:.4f} to {group.behind.high:.4f}"
    return f"{said}; behind by {with_error(group.behind)} ({interval})."


def _table(comparison: Comparison) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("epoch", justify="right", no_wrap=True)
    titles = [title for _, title in _METRIC_TITLES] + (["fitness"] if shows_fitness(comparison) else [])
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    if any(run.behind for run in comparison.runs):
        table.add_column("behind by", no_wrap=True)
    table.add_column("", no_wrap=True)
    for run in comparison.runs:
        epoch = "–" if run.best_epoch is None else str(run.best_epoch)
        cells = [run.name, epoch, *(four_digits(run.metrics.get(name)) for name, _ in _METRIC_TITLES)]
        cells += [four_digits(run.fitness)] if shows_fitness(comparison) else []
        standing = standing_of(run, comparison)
        if any(each.behind for each in comparison.runs):
            cells.append("" if standing == "best" else with_error(run.behind.get("fitness")))
        table.add_row(*map(Text, [*cells, standing]), style="bold" if standing == "best" else "")
    return table


def _print_differences(console: Console, comparison: Comparison) -> None:
    names = [run.name for run in comparison.runs]
    if not comparison.settings and not comparison.surroundings:
        console.print()
        _line(console, Text(in_english("differs.nothing")))
    for key, differences in grouped_differences(comparison):
        console.print()
        _line(console, Text(in_english(key)))
        for difference in differences:
            values = "  ·  ".join(f"{value}: {runs}" for value, runs in by_value(difference, names))
            _line(console, Text.assemble((f"  {difference.name}  ", "cyan"), values))


def _line(console: Console, text: Text) -> None:
    # Into a file or a pipe a sentence stays one line, so that it can be searched for and a path in it stays whole.
    console.print(text, soft_wrap=not console.is_terminal)
