"""What is drawn of a run's epochs? Columns of numbers for the charts, from results.csv, summary.json and the journal.

It must not know how a chart is drawn, nor judge which epochs tie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from peakmark.record.results_csv import FAMILIAR_METRICS, loss_columns
from peakmark.report.numbers import finite
from peakmark.report.pages.run_files import mapping, mappings

_RATES: Final = ("lr/pg0", "lr/pg1", "lr/pg2")


def curves_of(
    rows: Sequence[Mapping[str, str]], summary: Mapping[str, Any], journal: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Gives `epochs` (1-based), a list of numbers for each curve (None where there is none), and what is marked."""
    return {
        "epochs": [int(epoch) for row in rows if (epoch := finite(row.get("epoch"))) is not None],
        "fitness": _column(rows, "fitness"),
        "metrics": {name: _column(rows, column) for column, name in FAMILIAR_METRICS.items()},
        "losses": {
            term: {kind: _column(rows, f"{kind}/{term}_loss") for kind in ("train", "val")}
            for term in loss_columns("train").values()
        },
        "rates": [_column(rows, column) for column in _RATES if any(row.get(column) for row in rows)],
        "best": mapping(summary.get("best")).get("epoch"),
        "interval": _interval(summary),
        "tied": _tied(summary),
        "seams": _seams(journal),
    }


def _column(rows: Sequence[Mapping[str, str]], name: str) -> list[float | None]:
    return [finite(row.get(name)) for row in rows]


def _interval(summary: Mapping[str, Any]) -> list[float] | None:
    """The 95 % interval of the best epoch's fitness."""
    fitness = mapping(mapping(summary.get("certainty")).get("fitness"))
    low, high = finite(fitness.get("low")), finite(fitness.get("high"))
    return None if low is None or high is None else [low, high]


def _tied(summary: Mapping[str, Any]) -> list[int]:
    """The epochs that the best can't be told from."""
    best = mapping(summary.get("best")).get("epoch")
    compared = mapping(summary.get("certainty")).get("epochs")
    listed = list(compared) if isinstance(compared, list | tuple) else []
    return [each["epoch"] for each in mappings(listed) if each.get("tied") and each.get("epoch") != best]


def _seams(journal: Sequence[Mapping[str, Any]]) -> list[int]:
    """The epochs in which the run was resumed, without those that a later resume went back before."""
    seams = {
        told["epoch"]
        for told in journal
        if told.get("event") == "ResumePlanned" and not told.get("superseded") and isinstance(told.get("epoch"), int)
    }
    return sorted(seams)
