"""How short can a run be in which a setting shows its effect?"""

from __future__ import annotations

from typing import Any

from peakmark import TrainResults

# Two epochs of three updates: the first warms up and has mosaics, the second has neither.
BASELINE: dict[str, Any] = {
    "epochs": 2, "batch": 2, "nbs": 4, "fraction": 0.8, "warmup_epochs": 1, "close_mosaic": 1, "val": False,
    "save_interval": 0,
}  # fmt: skip

QUICK = {**BASELINE, "epochs": 1, "close_mosaic": 0}
"""Where one epoch shows it."""


def weights(results: TrainResults) -> str:
    return str(results.summary["digests"]["training_weights"])
