"""How good are weights at each confidence, and what do they take for what? From evidence, a run's in its folder.

It asks `evaluate` and shows what that answers; it must not know how anything is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from peakmark.evaluate.confusion import confusion_matrix
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import read_logged
from peakmark.evaluate.operating_point import (
    CONFIDENCES_K,
    best_operating_point,
    mean_at,
    operating_counts,
    operating_curves,
)
from peakmark.record.folder import RunFolder
from peakmark.report.numbers import finite
from peakmark.report.pages.run_files import mapping

_FINE: Final = range(1, 10)
_COARSE: Final = range(10, 1000, 10)
"""Places among the 1,001 confidences that the page offers: beside them the one that the run is quoted at. All of them
would be ten times as many numbers, 1.5 MB for 80 classes."""


def at_confidences(folder: RunFolder, summary: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Gives what the page knows of the best epoch at each confidence, and a sentence where that is nothing."""
    best = mapping(summary.get("best"))
    epoch, metrics = best.get("epoch"), mapping(best.get("metrics"))
    if not isinstance(epoch, int):
        return None, ""
    logged = [number for name in ("precision", "recall") if (number := finite(metrics.get(name))) is not None]
    evidence = read_logged(
        folder.evidence_file(epoch - 1),
        f"epoch {epoch}",
        logged,
        _precision_and_recall if logged else lambda _: [],
        missing=f"The evidence of epoch {epoch} is not there, so nothing can be said of other confidences.",
    )
    return (None, evidence) if isinstance(evidence, str) else (by_confidence(evidence), "")


def _precision_and_recall(evidence: Evidence) -> list[float]:
    curves = operating_curves(evidence)
    point = best_operating_point(curves)
    return [mean_at(curves.precision_CK, point), mean_at(curves.recall_CK, point)]


def by_confidence(evidence: Evidence) -> dict[str, Any]:
    """Gives what is right and detected of each class at each confidence, and what is taken for what at the best."""
    counts = operating_counts(evidence)
    point = best_operating_point(operating_curves(evidence))
    places = sorted({*_FINE, *_COARSE, point.place})
    return {
        "confidences": [round(float(value), 3) for value in CONFIDENCES_K[places]],
        "best": places.index(point.place),
        "right": counts.right_CK[:, places].tolist(),
        "detected": counts.detected_CK[:, places].tolist(),
        "truths": counts.truths_C.tolist(),
        "confusion": confusion_matrix(evidence, point).tolist() if not np.isnan(point.confidence) else None,
    }
