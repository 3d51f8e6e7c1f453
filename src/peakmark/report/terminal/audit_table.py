"""How is an audit read in a terminal? Each finding with what to do, worst first, and last a table of them all.

It is handed findings; it must not know how anything was found.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from peakmark.data.audit.findings import SEVERITIES, Finding, Severity, counted

_COLOURS: dict[Severity, str] = {"high": "bold red", "medium": "yellow", "low": "cyan"}
_EXAMPLES = 3


def print_audit(console: Console, findings: Sequence[Finding], images: dict[str, int], objects: dict[str, int]) -> None:
    """Prints the findings for a person."""
    sizes = (f"{split} {counted(images[split], 'image')}, {counted(objects[split], 'object')}" for split in images)
    _line(console, Text("   ".join(sizes)))
    for found in findings:
        console.print()
        _line(console, Text.assemble((f"{found.severity:<7}", _COLOURS[found.severity]), (found.kind, "bold")))
        _line(console, Text(f"  {found.text}"))
        for example in found.examples[:_EXAMPLES]:
            _line(console, Text(f"    {example.text}", style="dim"))
        if found.count > _EXAMPLES and found.examples:
            _line(console, Text(f"    and {found.count - _EXAMPLES:,} more", style="dim"))
        _line(console, Text(f"  {found.remedy}"))
    console.print()
    if findings:
        console.print(_table(findings))
    _line(console, Text(_summary(findings), style="bold"))


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("severity", no_wrap=True)
    table.add_column("finding", no_wrap=True)
    table.add_column("cases", justify="right", no_wrap=True)
    for found in findings:
        table.add_row(Text(found.severity, _COLOURS[found.severity]), Text(found.kind), f"{found.count:,}")
    return table


def _summary(findings: Sequence[Finding]) -> str:
    if not findings:
        return "Nothing found."
    counts = [(sum(found.severity == severity for found in findings), severity) for severity in SEVERITIES]
    return f"{counted(len(findings), 'finding')}: " + ", ".join(f"{n} {severity}" for n, severity in counts if n) + "."


def _line(console: Console, text: Text) -> None:
    # Into a file or a pipe a sentence stays one line, so that it can be searched for and a path in it stays whole.
    console.print(text, soft_wrap=not console.is_terminal)
