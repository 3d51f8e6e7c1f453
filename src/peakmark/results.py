"""What does a training give back? A part of the facade: it composes what the rooms below say and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.events import Outcome


@dataclass(frozen=True, slots=True)
class TrainResults:
    """What a training came to."""

    save_dir: Path
    outcome: Outcome
    best: Path | None
    """weights/best.pt; None where no epoch was validated."""
    last: Path
    metrics: Mapping[str, float]
    """Of the best epoch, by the COCO protocol; empty where there is none."""
    fitness: float | None
    summary: Mapping[str, Any]
    """What summary.json holds."""
