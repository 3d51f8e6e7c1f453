"""How is a conversion read in a terminal? Counts before and after, what was left out and why, and what to do next.

It is handed a conversion; it must not know how one is made.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from peakmark.data.formats.annotated_set import NotTaken
from peakmark.data.formats.convert import REPORT, Conversion

_EXAMPLES = 3


def print_conversion(console: Console, done: Conversion) -> None:
    """Prints a conversion for a person."""
    console.print(_counts(done))
    console.print()
    _kinds(console, "left out", done.dropped, "yellow")
    _kinds(console, "changed", done.changed, "cyan")
    if not done.dropped:
        _line(console, Text("Nothing was left out."))
    _line(console, Text(f"Everything that was left out or changed is listed in {done.target / REPORT}."))
    _line(console, Text(f"{done.source} ({done.source_format}) is now {done.data} ({done.target_format})."))
    if done.target_format == "yolo":
        _line(console, Text(f"Look at it next: peakmark audit data={done.data}"))


def _counts(done: Conversion) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("split", no_wrap=True)
    for title in ("images before", "after", "objects before", "after"):
        table.add_column(title, justify="right", no_wrap=True)
    for split in dict.fromkeys([*done.before, *done.after]):
        before, after = done.before.get(split, (0, 0)), done.after.get(split, (0, 0))
        table.add_row(Text(split), f"{before[0]:,}", f"{after[0]:,}", f"{before[1]:,}", f"{after[1]:,}")
    sums = [sum(pair[number] for pair in of.values()) for number in (0, 1) for of in (done.before, done.after)]
    table.add_row("all", *(f"{number:,}" for number in sums), style="bold")
    return table


def _kinds(console: Console, what: str, entries: Sequence[NotTaken], colour: str) -> None:
    by_kind: dict[str, list[NotTaken]] = {}
    for entry in entries:
        by_kind.setdefault(entry.kind, []).append(entry)
    for kind, of_kind in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        objects, images = sum(entry.objects for entry in of_kind), sum(entry.images for entry in of_kind)
        parts = [f"{images:,} image{'s' * (images != 1)}"] * bool(images)
        parts += [f"{objects:,} object{'s' * (objects != 1)}"] * bool(objects)
        count = " with ".join(parts) or f"{len(of_kind):,}"
        _line(console, Text.assemble((f"{what:<9}", colour), (kind, "bold"), f"  {count}"))
        for entry in of_kind[:_EXAMPLES]:
            _line(console, Text(f"    {entry.where}: {entry.text}", style="dim"))
        if len(of_kind) > _EXAMPLES:
            _line(console, Text(f"    and {len(of_kind) - _EXAMPLES:,} more", style="dim"))


def _line(console: Console, text: Text) -> None:
    # Into a file or a pipe a sentence stays one line, so that it can be searched for and a path in it stays whole.
    console.print(text, soft_wrap=not console.is_terminal)
