"""At which confidence do precision and recall balance best, and what do they look like at every other one?

A grid of 1,001 confidences from 0 to 1; a detection is kept at a confidence if its score is not below it. Everything is
at IoU 0.5, over all sizes, from evidence alone.

Shape letters: C classes, K confidences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peakmark.evaluate.average_precision import mean_of_present
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.protocol import ALL_SIZES, IOU_50
from peakmark.evaluate.tables import BoolArray, DoubleArray
from peakmark.nouns.images import FloatArray, IntArray

_STEPS = 1000
CONFIDENCES_K: FloatArray = (np.arange(_STEPS + 1) / _STEPS).astype(np.float32)


@dataclass(frozen=True, slots=True)
class OperatingCounts:
    """What precision, recall and F1 are quotients of."""

    right_CK: IntArray
    """True positives per class and confidence"""
    detected_CK: IntArray
    """All that counts, right or wrong"""
    truths_C: IntArray


@dataclass(frozen=True, slots=True)
class OperatingCurves:
    """Precision, recall and F1 per class and confidence; NaN for classes without truths."""

    precision_CK: DoubleArray
    """0 where nothing is detected"""
    recall_CK: DoubleArray
    f1_CK: DoubleArray


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The one confidence at which precision and recall are quoted."""

    place: int
    """In `CONFIDENCES_K`"""
    confidence: float
    """NaN in a set without truths"""


def operating_counts(evidence: Evidence) -> OperatingCounts:
    """Counts what is found and what is wrong at every confidence of the grid."""
    return OperatingCounts(
        right_CK=_kept(evidence, evidence.right(ALL_SIZES, IOU_50)),
        detected_CK=_kept(evidence, evidence.counted(ALL_SIZES, IOU_50)),
        truths_C=evidence.truths_per_class(ALL_SIZES),
    )


def operating_curves(evidence: Evidence) -> OperatingCurves:
    """Gives precision, recall and F1 at every confidence of the grid."""
    counts = operating_counts(evidence)
    right_CK, detected_CK, truths_C1 = counts.right_CK, counts.detected_CK, counts.truths_C[:, None]
    truths_or_nan_C1 = np.where(truths_C1 > 0, truths_C1, np.nan)
    return OperatingCurves(
        precision_CK=np.where(truths_C1 > 0, right_CK / np.maximum(detected_CK, 1), np.nan),
        recall_CK=right_CK / truths_or_nan_C1,
        f1_CK=2 * right_CK / (detected_CK + truths_or_nan_C1),
    )


def best_operating_point(curves: OperatingCurves) -> OperatingPoint:
    """Finds the confidence with the best mean F1 over the classes that have truths.

    Of several equally good ones it is the middle one, so that a plateau is not left at its edge.
    """
    mean_K = mean_of_present(curves.f1_CK)
    if np.isnan(mean_K).any():
        return OperatingPoint(place=0, confidence=float("nan"))
    best = np.flatnonzero(mean_K == mean_K.max())
    place = int(best[len(best) // 2])
    return OperatingPoint(place=place, confidence=place / _STEPS)


def mean_at(values_CK: DoubleArray, point: OperatingPoint) -> float:
    """Averages a curve at the operating point over the classes that have truths."""
    return float(mean_of_present(values_CK[:, point.place]))


def _kept(evidence: Evidence, which_D: BoolArray) -> IntArray:
    """Counts the chosen detections that are kept, per class and confidence."""
    steps = len(CONFIDENCES_K)
    highest_K_of_D = np.searchsorted(CONFIDENCES_K, evidence.scores_D[which_D], side="right") - 1
    cells = evidence.class_D[which_D].astype(np.int64) * steps + highest_K_of_D
    exactly_CK = np.bincount(cells, minlength=evidence.classes * steps).reshape(evidence.classes, steps)
    return np.cumsum(exactly_CK[:, ::-1], axis=1)[:, ::-1]
