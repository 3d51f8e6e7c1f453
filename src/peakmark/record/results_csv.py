"""How does the history look as a table? results.csv, rendered whole from the history each time.

The first columns are those that users of YOLO know, in their order; ours follow. It must not know any file, nor decide
what is best.
"""

from __future__ import annotations

import csv
import io
import itertools
from typing import Any

from peakmark.nouns.losses import TERMS, Losses
from peakmark.nouns.run import EpochRecord, History

FAMILIAR_METRICS = {
    "metrics/precision(B)": "precision",
    "metrics/recall(B)": "recall",
    "metrics/mAP50(B)": "map50",
    "metrics/mAP50-95(B)": "map50_95",
}
_OUR_METRICS = {
    "metrics/mAP75(B)": "map75",
    "metrics/mAP50-95(small)": "map_small",
    "metrics/mAP50-95(medium)": "map_medium",
    "metrics/mAP50-95(large)": "map_large",
    "metrics/F1(B)": "f1",
    "metrics/confidence(B)": "confidence",
}
METRIC_COLUMNS = {**FAMILIAR_METRICS, **_OUR_METRICS}
"""The columns of all metrics, each with our name of it."""
_LR_GROUPS = 3


def render(history: History, best_epoch: int | None) -> str:
    """Gives the table as text, a row an epoch. A pure function.

    Epochs are 1-based; `time` is the run's seconds up to then, without those between a stop and a resume. What was not
    validated is empty, what could not be computed is nan. Numbers read back to the same bits. `best` is 1 in the row of
    `best_epoch` (0-based), else 0.
    """
    records = history.records
    times_s = itertools.accumulate(record.train_s + record.validation_s for record in records)
    rows = [
        _row(record, time_s, is_best=record.epoch == best_epoch)
        for record, time_s in zip(records, times_s, strict=True)
    ]
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _row(record: EpochRecord, time_s: float, *, is_best: bool) -> dict[str, Any]:
    metrics = record.metrics or {}
    return {
        "epoch": record.epoch + 1,
        "time": f"{time_s:.3f}",
        **_losses("train", record.train),
        **{column: metrics.get(name) for column, name in FAMILIAR_METRICS.items()},
        **_losses("val", record.validation),
        **{f"lr/pg{group}": lr for group, lr in enumerate(record.lr)},
        "fitness": record.fitness,
        "best": int(is_best),
        **{column: metrics.get(name) for column, name in _OUR_METRICS.items()},
        "images": record.images,
        "step": record.step,
        "skipped_steps": record.skipped_steps,
    }


def loss_columns(kind: str) -> dict[str, str]:
    """The columns of the losses of `train` or `val`, each with the name of its term."""
    return {f"{kind}/{term}_loss": term for term in TERMS}


def _losses(kind: str, losses: Losses | None) -> dict[str, float | None]:
    return {column: None if losses is None else losses[term] for column, term in loss_columns(kind).items()}


COLUMNS = (
    "epoch",
    "time",
    *loss_columns("train"),
    *FAMILIAR_METRICS,
    *loss_columns("val"),
    *(f"lr/pg{group}" for group in range(_LR_GROUPS)),
    "fitness",
    "best",
    *_OUR_METRICS,
    "images",
    "step",
    "skipped_steps",
)
