"""How is what many trainings came to shown on a terminal? As a table and a sentence or two.

It must not compute anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from peakmark.settings.description import as_written

if TYPE_CHECKING:
    from peakmark.api.many.repeat import Repeated
    from peakmark.api.many.tune import Tuned

_TRIALS_SHOWN = 10
_CASES_SHOWN = 5
_SETTING_DIGITS = 4


def show_tuned(console: Console, tuned: Tuned) -> None:
    """Prints the best trials, and what the search came to."""
    table = _table("trial", "fitness", "settings")
    for each in tuned.trials[:_TRIALS_SHOWN]:
        settings = ", ".join(f"{name}={_short(value)}" for name, value in each.settings.items())
        fitness = each.state if each.fitness is None else f"{each.fitness:.4f}"
        table.add_row(Text(str(each.number)), Text(fitness), Text(settings))
    console.print(table)
    _line(console, tuned.text)


def show_repeated(console: Console, repeated: Repeated) -> None:
    """Prints a row for each run, their mean with its interval, and the labels to look at."""
    table = _table("run", *repeated.spread)
    for run in repeated.runs:
        numbers = [run.fitness, *run.metrics.values()]
        table.add_row(Text(run.name), *(f"{number:.4f}" for number in numbers))
    if len(repeated.runs) > 1:
        table.add_row("mean", *(f"{mean.value:.4f}" for mean in repeated.spread.values()))
        table.add_row("± 95 %", *(f"{mean.high - mean.value:.4f}" for mean in repeated.spread.values()))
        table.add_row("deviation", *(f"{value:.4f}" for value in repeated.deviations.values()))
    console.print(table)
    _line(console, repeated.text)
    for found in repeated.findings:
        _line(console, f"{found.text} {found.remedy}")
        for example in found.examples[:_CASES_SHOWN]:
            _line(console, f"  {example.text}")
    _line(console, f"All of it: {repeated.folder}")


def _short(value: object) -> str:
    return f"{value:.{_SETTING_DIGITS}g}" if isinstance(value, float) else as_written(value)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, no_wrap=name != "settings", overflow="fold")
    return table


def _line(console: Console, text: str) -> None:
    console.print(Text(text), highlight=False, soft_wrap=True)
