"""How do cells become a table of the page? The HTML that its sections share. It must not know what is in a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any


def html_table(head: Iterable[str], rows: Iterable[str]) -> str:
    """Gives a table under plain headings, of rows that `html_row` made."""
    cells = "".join(f"<th>{escape(label)}</th>" for label in head)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def html_row(cells: Iterable[str], kind: str = "") -> str:
    """Gives a table row of cells that are HTML already."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<tr{attribute}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def mapping(value: object) -> Mapping[str, Any]:
    """Gives what was read from a file if it is a mapping; the page must not end over a file that somebody edited."""
    return value if isinstance(value, Mapping) else {}
