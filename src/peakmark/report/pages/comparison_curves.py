"""What is drawn of several runs' epochs? Columns of numbers for the charts, from the histories of the runs.

It marks the best epochs that it is told; it must not have an idea of its own of which run is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History

_METRICS: Final = {"map50_95": "mAP50-95", "map50": "mAP50", "precision": "precision", "recall": "recall"}


@dataclass(frozen=True, slots=True)
class RunCurves:
    """A run to draw."""

    name: str
    history: History
    best_epoch: int | None
    """0-based"""


def curves_of_runs(runs: Sequence[RunCurves]) -> dict[str, Any]:
    """Gives `epochs` (1-based, of all runs), `names` and `best` epochs of the runs, and `charts`.

    Of a chart: `key` of its title in the catalogue, and `values`, a list for each run with a number for each epoch
    (None where there is none). A number that no run has gets no chart.
    """
    epochs = sorted({record.epoch for run in runs for record in run.history.records})
    records = [{record.epoch: record for record in run.history.records} for run in runs]
    charts = []
    for key in (*_METRICS.values(), "loss.train_sum", "loss.val_sum"):
        values = [
            [None if (record := of_run.get(epoch)) is None else _number(record, key) for epoch in epochs]
            for of_run in records
        ]
        if any(value is not None for of_run in values for value in of_run):
            charts.append({"key": key, "values": values})
    return {
        "epochs": [epoch + 1 for epoch in epochs],
        "names": [run.name for run in runs],
        "best": [None if run.best_epoch is None else run.best_epoch + 1 for run in runs],
        "charts": charts,
    }


def _number(record: EpochRecord, key: str) -> float | None:
    if key == "loss.train_sum":
        value = _sum(record.train)
    elif key == "loss.val_sum":
        value = _sum(record.validation)
    else:
        metrics = record.metrics or {}
        value = next((metrics.get(name) for name, label in _METRICS.items() if label == key), None)
    return None if value is None or not math.isfinite(value) else float(value)


def _sum(losses: Losses | None) -> float | None:
    return None if losses is None else sum(losses.values())
