"""What do all pages look like? The HTML that they and their sections share. It must not know what is in a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from peakmark.shown import as_shown

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #282828; background: #f6f6f4; margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 1.7em; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2em; margin: 2em 0 .6em; }
p { margin: .4em 0; }
.quiet { color: #6a6a6a; font-size: .9em; }
.numbers { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0 6px; }
.number { background: white; border: 1px solid #e2e2df; border-radius: 8px; padding: 10px 18px; min-width: 110px; }
.number b { display: block; font-size: 1.55em; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; background: white; border: 1px solid #e2e2df; font-size: .92em; }
th, td { padding: 5px 14px; text-align: right; border-bottom: 1px solid #efefec; white-space: nowrap; }
td, th { font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
td:first-child { white-space: normal; overflow-wrap: anywhere; }
.words th, .words td { text-align: left; }
.sentences th, .sentences td { white-space: normal; vertical-align: top; }
.sentences td:nth-child(-n+2) { min-width: 110px; overflow-wrap: normal; }
.sentences td:nth-child(3) { min-width: 230px; }
.sentences ol { margin: .4em 0; padding-left: 1.4em; }
tr.gone td, tr.gone .quiet { color: #9a9a9a; }
.drifting { color: #a86400; }
.broken { color: #b3261e; font-weight: 600; }
th { color: #6a6a6a; font-weight: 600; }
tr.best td { background: #e3f4ee; font-weight: 600; }
.wide { overflow: auto; max-height: 640px; }
thead th { position: sticky; top: 0; background: white; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .6em; }
.bar { display: inline-block; width: 90px; height: .6em; background: #eeeeea; margin-left: .8em; text-align: left; }
.bar i { display: block; height: 100%; background: #0072b2; }
.pictures { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
figure { margin: 0; background: white; border: 1px solid #e2e2df; border-radius: 8px; padding: 10px; }
figure.full { grid-column: 1 / -1; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: #6a6a6a; font-size: .9em; padding: 4px 2px 0; }
summary { cursor: pointer; margin: .6em 0; }
code { overflow-wrap: anywhere; font-size: .95em; }
.finding { background: white; border: 1px solid #e2e2df; border-left: 6px solid #9a9a9a; border-radius: 8px; }
.finding { padding: 12px 18px; margin: 16px 0; overflow-wrap: anywhere; }
.finding h2 { margin: 0 0 .3em; }
.finding img { max-width: 100%; height: auto; display: block; margin: 10px 0 4px; }
.finding ul { margin: .3em 0; padding-left: 1.3em; }
.high { border-left-color: #b3261e; }
.medium { border-left-color: #d98200; }
.low { border-left-color: #0072b2; }
@media (max-width: 760px) { .pictures { grid-template-columns: 1fr; } }
"""


def html_page(title: str, body: str) -> str:
    """Gives a whole page of sections that are HTML already; it needs no network and runs no script."""
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · Peakmark</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
    # A name that is no UTF-8 can't be written to a file, and control characters are no HTML.
    return as_shown(page, lines=True)


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
