"""Comparisons of runs that never were, for tests of how they are shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from peakmark.record.comparison import ComparedRun, Comparison, Difference, Measured

LEAD = Measured(0.021, 0.006, 0.009, 0.033)


def run(name: str, **changes: Any) -> ComparedRun:
    values = {"map50_95": 0.45, "map50": 0.7, "precision": 0.8, "recall": 0.6}
    measured = {each: Measured(value, 0.01, value - 0.02, value + 0.02) for each, value in values.items()}
    made = ComparedRun(
        name=name, folder=Path(name), state="finished", epochs=30, best_epoch=29, fitness=0.45, metrics=values,
        per_class={each: (value, float("nan")) for each, value in values.items()}, classes=("cat", "<dog>"),
        measured=measured, behind={}, tied=None, digests={"everything": "4398" * 16}, notes=(),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def comparison(*runs: ComparedRun, **changes: Any) -> Comparison:
    made = Comparison(
        text="b is ahead of <a> by 0.0210 ± 0.0060.", ranked=True, fitness="map50_95", fitness_in_words="mAP50-95",
        protocol="COCO", images=87, runs=runs,
        settings=(
            Difference("lr0", ("0.01", "0.02"), (True, False)),
            Difference("workers", ("2", "4"), (False, False), bears_on_result=False),
        ),
        surroundings=(Difference("torch", ("2.13.0", "2.12.0")),), seeds=(),
        sameness=("b and <a> are the same, bit for bit.",), notes=("A note.",),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)
