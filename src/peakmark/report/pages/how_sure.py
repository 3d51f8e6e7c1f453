"""How does the page say how sure the best epoch is? A section, from what summary.json says.

It must not judge: what counts as a tie was decided when the run ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peakmark.report.numbers import four_digits
from peakmark.report.pages.run_files import mapping
from peakmark.report.table import Row, Table

_HEAD = ("epoch", "fitness", "standard_error", "ahead_by", "standard_error", "interval_95", "")
"""Keys of the catalogue."""


@dataclass(frozen=True, slots=True)
class Certainty:
    text: str
    averaging: str
    """What came of the average of the best epochs; empty where nothing is said of it."""
    resamples: str
    epochs: Table
    """That were compared, the best among them."""


def certainty_of(summary: Mapping[str, Any]) -> Certainty | None:
    """Gives what the section says; None where the summary doesn't say how sure the best is."""
    certainty, averaging = mapping(summary.get("certainty")), mapping(summary.get("averaging"))
    compared = certainty.get("epochs")
    if not isinstance(compared, list | tuple):
        return None
    best = mapping(summary.get("best")).get("epoch")
    rows = [_row(mapping(each), is_best=mapping(each).get("epoch") == best) for each in compared]
    return Certainty(
        text=str(certainty.get("text", "")),
        averaging=str(averaging.get("text") or ""),
        resamples=str(certainty.get("resamples")),
        epochs=Table(_HEAD, rows),
    )


def _row(compared: Mapping[str, Any], *, is_best: bool) -> Row:
    fitness, ahead = mapping(compared.get("fitness")), mapping(compared.get("ahead"))
    lead = ("", "", "") if is_best else (*_with_error(ahead), _interval(ahead))
    standing = "best" if is_best else "can't be told from it" if compared.get("tied") else ""
    return Row((str(compared.get("epoch")), *_with_error(fitness), *lead, standing), is_best)


def _with_error(estimate: Mapping[str, Any]) -> tuple[str, str]:
    return four_digits(estimate.get("value")), four_digits(estimate.get("standard_error"))


def _interval(estimate: Mapping[str, Any]) -> str:
    return f"{four_digits(estimate.get('low'))} to {four_digits(estimate.get('high'))}"
