"""How does a person read what a resume will do, whether it did, and what may have gone wrong?

Tables that wrap on a terminal of any width, one plain line a fact in a log; nothing is ever cut. It must not know what
is planned or judged, nor why.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from peakmark.nouns.resume import Cause, ChangePlan, Continuity, ContinuityKind, Fate, PlannedPart
from peakmark.nouns.run import Position
from peakmark.report.position import position_in_words

EXACT = "bit for bit the run without the stop"

_ROOM_FOR_FOUR_COLUMNS = 96
_ROOM_FOR_THREE_COLUMNS = 72
"""Widths in characters. With fewer columns the last ones go below each other, and words stay whole."""
_STYLES: dict[Fate, str] = {
    "carried over": "green",
    "rescaled": "yellow",
    "re-initialised": "yellow",
    "changed": "yellow",
    "refused": "red",
}
_DANGER = "bold red"
_CONTINUITY_STYLES: dict[ContinuityKind, str] = {
    "continuous": "dim",
    "too early": "dim",
    "drifting": "yellow",
    "broken": "bold red",
}


def print_plan(console: Console, plan: ChangePlan, position: Position) -> None:
    """Draws what becomes of each part of a run; one line where nothing is changed."""
    where = f"Resume {position_in_words(position)}"
    unchanged = not plan.changes and all(_is_quiet(part) for part in plan.parts)
    if unchanged:
        _print(console, f"{where}: ", "bold", "nothing is changed" + ("" if plan.inexact else f", {EXACT}"))
    elif plan.changes:
        _print(console, f"{where}, with changed settings:", "bold")
    else:
        _print(console, f"{where}:", "bold")
    for change in plan.changes:
        _print(console, change, indent=2)
    if not unchanged:
        _print_parts(console, plan.parts)
    if plan.dangers:
        _print(console, "! ", _DANGER, "is a jump that experience calls dangerous")
    if plan.inexact:
        _print(console, "Not bit for bit the run without the stop: ", "yellow", "; ".join(plan.inexact))
    elif not unchanged and not plan.refusals:
        _print(console, EXACT.capitalize(), "green")


def print_continuity(console: Console, verdict: Continuity) -> None:
    """Draws whether the epochs after a resume follow from those before; where they don't, the causes as well."""
    _print(console, verdict.text, _CONTINUITY_STYLES[verdict.kind])
    if verdict.causes:
        print_causes(console, verdict.causes)


def print_causes(console: Console, causes: Sequence[Cause]) -> None:
    """Draws what may have broken a run, likeliest first, each with its evidence and what to do."""
    if not causes:
        _print(console, "No cause was found.")
    for rank, cause in enumerate(causes, start=1):
        _print(console, f"{rank}. {cause.name}", "bold", f" (certainty {cause.certainty:.0%})")
        _print(console, "evidence: ", "cyan", cause.evidence, indent=3)
        _print(console, "remedy: ", "cyan", cause.remedy, indent=3)


def _is_quiet(part: PlannedPart) -> bool:
    return part.fate == "carried over" and not part.dangerous


def _print_parts(console: Console, parts: Sequence[PlannedPart]) -> None:
    console.print()
    if not console.is_terminal:
        for part in parts:
            moves = f"; first epochs: {part.moves}" if part.moves else ""
            _print(console, f"{_mark(part)} {part.part}: {part.fate}; {part.why}{moves}")
    elif console.width < _ROOM_FOR_THREE_COLUMNS:
        for part in parts:
            _print_below_each_other(console, part)
    else:
        moving = any(part.moves for part in parts)
        console.print(_table(console, parts, four_columns=moving and console.width >= _ROOM_FOR_FOUR_COLUMNS))
    console.print()


def _table(console: Console, parts: Sequence[PlannedPart], *, four_columns: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", width=1)
    table.add_column("part", max_width=18, overflow="fold")
    table.add_column("what happens", no_wrap=True)
    table.add_column("why", overflow="fold")
    if four_columns:
        table.add_column("first epochs", max_width=20, overflow="fold")
    for part in parts:
        style = _style(part)
        cells = [_mark(part), part.part, part.fate]
        row = [Text(_encodable(console, cell), style) for cell in cells]
        why, moves = _encodable(console, part.why), _encodable(console, part.moves)
        quiet = "dim" if _is_quiet(part) else ""
        if four_columns:
            table.add_row(*row, Text(why, quiet), Text(moves, style if moves else ""))
        else:
            below = f"\nfirst epochs: {moves}" if moves else ""
            table.add_row(*row, Text.assemble((why, quiet), (below, style)))
    return table


def _print_below_each_other(console: Console, part: PlannedPart) -> None:
    _print(console, f"{_mark(part)} {part.part}: {part.fate}", _style(part))
    _print(console, part.why, "dim" if _is_quiet(part) else "", indent=4)
    if part.moves:
        _print(console, f"first epochs: {part.moves}", _style(part), indent=4)


def _mark(part: PlannedPart) -> str:
    return "!" if part.dangerous else " "


def _style(part: PlannedPart) -> str:
    return _DANGER if part.dangerous else _STYLES[part.fate]


def _print(console: Console, text: str, style: str = "", rest: str = "", *, indent: int = 0) -> None:
    """Prints a line: on a terminal it wraps at words within its indent, elsewhere it stays one for whoever searches."""
    line = Text.assemble((_encodable(console, text), style), _encodable(console, rest))
    if console.is_terminal:
        console.print(Padding(line, (0, 0, 0, indent), expand=False), highlight=False)
    else:
        console.print(Text(" " * indent) + line, soft_wrap=True, highlight=False)


def _encodable(console: Console, text: str) -> str:
    """A folder's name in Greek would end the run on a terminal that speaks ASCII."""
    return text.encode(console.encoding, errors="replace").decode(console.encoding)
