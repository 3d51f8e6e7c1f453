"""How is a look at this machine read in a terminal? A line for each finding, and a sentence at the end.

It is handed what was found; it must not know how that is found out.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from peakmark.nouns.checkup import Checkup

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def print_checkup(console: Console, checkup: Checkup) -> None:
    """Prints the findings for a person."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in checkup.findings:
        told = Text(finding.says)
        if finding.advice:
            told.append(f"\n{finding.advice}", style="dim" if finding.verdict == "ok" else "")
        table.add_row(Text(finding.name), Text(finding.verdict, _COLOURS[finding.verdict]), told)
    console.print(table)
    if checkup.stage_ms_per_image:
        stages = ", ".join(f"{stage} {ms:.1f}" for stage, ms in checkup.stage_ms_per_image.items() if ms)
        console.print(Text(f"\nMilliseconds an image: {stages}."), highlight=False, soft_wrap=True)
    console.print()
    console.print(in_words(checkup), style="bold" if checkup.sound else "bold red", highlight=False, soft_wrap=True)


def in_words(checkup: Checkup) -> str:
    """Says in a sentence how it stands."""
    warnings = sum(finding.verdict == "warning" for finding in checkup.findings)
    said = f"{len(checkup.findings)} looks at {checkup.device} in {checkup.seconds:.0f} s"
    if not checkup.sound:
        return (
            f"{said}: {', '.join(finding.name for finding in checkup.failed)} failed. Put that right before you train."
        )
    if warnings:
        return f"{said}: nothing failed, {warnings} {'warning' if warnings == 1 else 'warnings'}."
    return f"{said}: all is well."
