"""How does what is drawn for a terminal stand in the cell of a notebook? In one output, drawn over as it changes.

Each print of its own would be an output of its own: a run of 100 epochs would leave thousands. It must not know what is
drawn.
"""

from __future__ import annotations

import io
from typing import IO, cast

from rich.console import Console
from rich.text import Text

from peakmark.machine.notebook import OutputBox
from peakmark.markup import render
from peakmark.report.terminal.terminal import Terminal

_WIDTH = 110
_CLEARED = "\r\x1b[2K"


def cell_console() -> Console:
    """Gives a console whose lines, the live one among them, stand in one output of the cell that runs."""
    return Terminal(
        file=cast(IO[str], _Cell()),
        force_terminal=True,
        force_jupyter=False,
        width=_WIDTH,
        color_system="standard",
        _environ={"TERM": "xterm"},
    )


class _Cell(io.TextIOBase):
    """What a terminal would be: it takes text with codes for colours and cleared lines, and shows it as HTML."""

    def __init__(self) -> None:
        super().__init__()
        self._box = OutputBox()
        self._html: list[str] = []
        self._plain: list[str] = []
        self._open_line = ""
        self._shown = ("", "")

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def write(self, text: str) -> int:
        """Takes text; what `flush` shows are whole lines and the open one as it is by then."""
        *lines, rest = (self._open_line + text).split("\n")
        for line in lines:
            html, plain = _both(line)
            self._html.append(html)
            self._plain.append(plain)
        self._open_line = rest.rpartition(_CLEARED)[2]
        return len(text)

    def flush(self) -> None:
        """Shows what has changed. Finished lines are translated once: a long run would else get slower and slower."""
        html, plain = _both(self._open_line)
        shown = ("\n".join([*self._html, html]).rstrip("\n"), "\n".join([*self._plain, plain]).rstrip("\n"))
        if shown != self._shown:
            self._shown = shown
            cell = render("report/terminal/templates/cell.html.j2", lines_html=shown[0])
            self._box.draw({"text/html": cell, "text/plain": shown[1]})


def _both(line: str) -> tuple[str, str]:
    """A line of a terminal as HTML and as plain text."""
    text = Text.from_ansi(line.rpartition(_CLEARED)[2])
    if not text.plain:
        return "", ""
    paper = Console(file=io.StringIO(), record=True, force_jupyter=False, width=10_000)
    paper.print(text, soft_wrap=True, end="")
    return paper.export_html(inline_styles=True, code_format="{code}"), text.plain
