"""How is a comparison of runs looked at? compare.html: what came out, the numbers, the curves, and all that differs.

The picture is embedded, so that the one file can be sent to somebody. It is handed a comparison; it must not know how
one is made.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from peakmark.files.durable import write_text
from peakmark.record.comparison import ComparedRun, Comparison, Difference, Measured
from peakmark.report.pages.comparison_curves import PICTURE_FILE
from peakmark.report.pages.markup import html_page, html_row, html_table
from peakmark.report.terminal.comparison_table import (
    METRIC_TITLES,
    grouped_differences,
    number,
    seed_group_in_words,
    shows_fitness,
    standing_of,
    with_error,
)

PAGE_FILE = "compare.html"
_CLASS_TITLES = (("map50_95", "AP50-95"), ("map50", "AP50"), ("precision", "precision"), ("recall", "recall"))
_DIGEST_DIGITS = 16


def write_comparison_page(folder: Path, comparison: Comparison) -> None:
    """Writes compare.html beside the picture that was drawn before. Raises `MachineError` where it can't write."""
    sections = (
        _heading(comparison),
        _numbers(comparison),
        _seeds(comparison),
        _sameness(comparison),
        _picture(folder / PICTURE_FILE),
        _differences(comparison),
        _classes(comparison),
        _notes(comparison),
        _digests(comparison),
    )
    names = ", ".join(run.name for run in comparison.runs)
    write_text(folder / PAGE_FILE, html_page(f"Comparison of {names}", "".join(sections)))


def _heading(comparison: Comparison) -> str:
    images = f" {comparison.images} validation images." if comparison.images else ""
    return (
        f"<h1>{len(comparison.runs)} runs compared</h1>\n<p>{escape(comparison.text)}</p>\n"
        f'<p class="quiet">By {escape(comparison.fitness_in_words)}, of the best epoch of each run.{images}'
        f" Metrics by {escape(comparison.protocol)}.</p>\n"
    )


def _numbers(comparison: Comparison) -> str:
    names = [*METRIC_TITLES, *([("fitness", "fitness")] if shows_fitness(comparison) else [])]
    sure = any(run.measured for run in comparison.runs)
    rows = []
    for run in comparison.runs:
        standing = standing_of(run, comparison)
        epoch = "–" if run.best_epoch is None else f"{run.best_epoch} of {run.epochs}"
        cells = [escape(run.name), epoch, *(_value(run, name) for name, _ in names)]
        rows.append(
            html_row([*cells, escape(standing), escape(run.state)], kind=standing if standing == "best" else "")
        )
    head = ["run", "best epoch", *(title for _, title in names), "", "state"]
    words = "±: one standard error, by the chance of the validation images."
    words += " tied: it can't be told from the best." if comparison.ranked else ""
    note = f'<p class="quiet">{words}</p>\n' if sure else ""
    table = f'<h2>Numbers</h2>\n<div class="wide">{html_table(head, rows)}</div>\n{note}'
    return table + _behind(comparison, names)


def _behind(comparison: Comparison, names: Sequence[tuple[str, str]]) -> str:
    behind = [run for run in comparison.runs[1:] if run.behind]
    if not behind:
        return ""
    rows = [html_row([escape(run.name), *(_interval(run.behind.get(name)) for name, _ in names)]) for run in behind]
    head = ["run", *(title for _, title in names)]
    return (
        f"<h2>Behind {escape(comparison.runs[0].name)} by</h2>\n"
        f'<div class="wide">{html_table(head, rows)}</div>\n'
        '<p class="quiet">On the same images. In brackets the 95 % interval; of the fitness, those of all runs hold at'
        " once. Where it has 0 in it, the difference may be chance; below 0 the run is ahead.</p>\n"
    )


def _value(run: ComparedRun, name: str) -> str:
    value = run.fitness if name == "fitness" else run.metrics.get(name)
    error = f' <span class="quiet">± {run.measured[name].standard_error:.4f}</span>' if name in run.measured else ""
    return number(value) + error


def _interval(lead: Measured | None) -> str:
    if lead is None:
        return "–"
    return f'{with_error(lead)}<br><span class="quiet">({lead.low:.4f} to {lead.high:.4f})</span>'


def _seeds(comparison: Comparison) -> str:
    return _list("Seeds", map(seed_group_in_words, comparison.seeds))


def _sameness(comparison: Comparison) -> str:
    return _list("Equal settings and seed", comparison.sameness)


def _notes(comparison: Comparison) -> str:
    of_runs = (f"{run.name}: {note}" for run in comparison.runs for note in run.notes)
    return _list("To be known", [*comparison.notes, *of_runs])


def _list(title: str, sentences: Iterator[str] | Sequence[str]) -> str:
    items = "".join(f"<li>{escape(said)}</li>\n" for said in sentences)
    return f"<h2>{title}</h2>\n<ul>\n{items}</ul>\n" if items else ""


def _picture(path: Path) -> str:
    source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    words = "Metrics and losses of all runs, epoch by epoch"
    return f'<h2>Curves</h2>\n<figure><img src="{source}" alt="{words}"></figure>\n'


def _differences(comparison: Comparison) -> str:
    tables = [_difference_table(title, each, comparison) for title, each in grouped_differences(comparison)]
    return "".join(tables) or "<h2>What differs</h2>\n<p>No setting, nor data, machine or libraries.</p>\n"


def _difference_table(title: str, differences: Sequence[Difference], comparison: Comparison) -> str:
    rows = []
    for difference in differences:
        untouched = difference.defaults or (False,) * len(difference.values)
        cells = (
            escape(value) + (' <span class="quiet">default</span>' if default else "")
            for value, default in zip(difference.values, untouched, strict=True)
        )
        rows.append(html_row([escape(difference.name), *cells]))
    head = ["", *(run.name for run in comparison.runs)]
    return f'<h2>{title}</h2>\n<div class="wide words">{html_table(head, rows)}</div>\n'


def _classes(comparison: Comparison) -> str:
    """A table of each number, where all runs have the same classes."""
    runs = [run for run in comparison.runs if run.per_class]
    if not runs or len({run.classes for run in runs}) > 1:
        return ""
    tables = []
    for name, title in _CLASS_TITLES:
        rows = [
            html_row([escape(of_class), *(number(run.per_class[name][place]) for run in runs)])
            for place, of_class in enumerate(runs[0].classes)
        ]
        table = f'<div class="wide">{html_table(["class", *(run.name for run in runs)], rows)}</div>'
        is_open = " open" if name == "map50_95" else ""
        tables.append(f"<details{is_open}><summary>{title}</summary>{table}</details>\n")
    return f"<h2>Classes</h2>\n{''.join(tables)}"


def _digests(comparison: Comparison) -> str:
    names = list(dict.fromkeys(name for run in comparison.runs for name in run.digests))
    rows = [
        html_row([escape(run.name), *(f"<code>{run.digests.get(name, '–')[:_DIGEST_DIGITS]}</code>" for name in names)])
        for run in comparison.runs
    ]
    table = f'<div class="wide words">{html_table(["run", *names], rows)}</div>'
    return f"<h2>Digests</h2>\n<details><summary>Of the newest state of each run</summary>{table}</details>\n"
