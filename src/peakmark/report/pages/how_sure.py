"""How does the page say how sure the best epoch is? A section, from what summary.json says.

It must not judge: what counts as a tie was decided when the run ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from peakmark.report.pages.markup import html_row, html_table, mapping

_HEAD = ("epoch", "fitness", "± (one standard error)", "the best is ahead by", "±", "95 % interval", "")


def certainty_section(summary: Mapping[str, Any]) -> str:
    """Gives the section's HTML; empty where the summary doesn't say how sure the best is."""
    certainty, averaging = mapping(summary.get("certainty")), mapping(summary.get("averaging"))
    compared = certainty.get("epochs")
    if not isinstance(compared, list | tuple):
        return ""
    averaged = f"<p>{escape(str(averaging['text']))}</p>\n" if averaging.get("text") else ""
    best = mapping(summary.get("best")).get("epoch")
    rows = [_row(mapping(each), is_best=mapping(each).get("epoch") == best) for each in compared]
    return (
        f"<h2>How sure</h2>\n<p>{escape(str(certainty.get('text', '')))}</p>\n{averaged}"
        f"<details><summary>{len(rows)} epochs compared, {escape(str(certainty.get('resamples')))} resamples of the"
        f' validation images</summary><div class="wide">{html_table(_HEAD, rows)}</div></details>\n'
    )


def _row(compared: Mapping[str, Any], *, is_best: bool) -> str:
    fitness, ahead = mapping(compared.get("fitness")), mapping(compared.get("ahead"))
    lead = ["", "", ""] if is_best else [_number(ahead, "value"), _number(ahead, "standard_error"), _interval(ahead)]
    standing = "best" if is_best else "can't be told from it" if compared.get("tied") else ""
    cells = [escape(str(compared.get("epoch"))), _number(fitness, "value"), _number(fitness, "standard_error"), *lead]
    return html_row([*cells, standing], kind="best" if is_best else "")


def _interval(estimate: Mapping[str, Any]) -> str:
    return f"{_number(estimate, 'low')} to {_number(estimate, 'high')}"


def _number(estimate: Mapping[str, Any], name: str) -> str:
    value = estimate.get(name)
    return f"{value:.4f}" if isinstance(value, int | float) else "–"
