"""Which numbers does an evaluation consist of? All of them are computed here, and from evidence alone.

The twelve COCO figures are pycocotools' own; where it says -1 (no truths of that kind), ours is NaN. In a set of which
an image has more truths of a class than COCO looks at detections (100), the metrics are those without this cap, and
COCO's own stand beside them. Precision, recall and F1 are means over the classes that have truths, at IoU 0.5 and at
the one confidence with the best mean F1; they and the confusion matrix are of all detections.
This file must not know what produced the detections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from peakmark.evaluate.average_precision import mean_of_present, precision_by_recall, recall_by_class
from peakmark.evaluate.confusion import confusion_matrix
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.operating_point import (
    CONFIDENCES_K,
    OperatingCurves,
    OperatingPoint,
    best_operating_point,
    mean_at,
    operating_curves,
)
from peakmark.evaluate.protocol import ALL_SIZES, AREA_NAMES, IOU_50, IOU_75, RECALL_LEVELS, protocol_in_words
from peakmark.evaluate.tables import DoubleArray
from peakmark.formula.terms import METRIC_NAMES
from peakmark.nouns.evaluation import MAX_DETECTIONS, Curves, Evaluation
from peakmark.nouns.losses import Losses

COCO_NAMES: Final = METRIC_NAMES[:12]
"""The figures of COCO among the metrics, in its order."""


def evaluation_from(
    evidence: Evidence, names: Sequence[str], losses: Losses | None = None, otherwise: Sequence[str] = ()
) -> Evaluation:
    """Computes every number of an evaluation. Deterministic; `names` has one entry per class of the evidence.

    `otherwise` is for the protocol: how the detections were made in another way than by default.
    """
    precision_TRC_by_area = _precision_by_area(evidence, evidence.cap)
    precision_TRC = precision_TRC_by_area[ALL_SIZES]
    curves = operating_curves(evidence)
    point = best_operating_point(curves)
    average = _averages(evidence, precision_TRC_by_area, evidence.cap)
    capped = average if evidence.cap == MAX_DETECTIONS else coco_figures(evidence)
    truths_per_class = tuple(int(count) for count in evidence.truths_per_class(ALL_SIZES))
    return Evaluation(
        names=tuple(names),
        metrics=_metrics(average, curves, point),
        per_class={
            "map50_95": _floats(precision_TRC.mean(axis=(0, 1))),
            "map50": _floats(precision_TRC[IOU_50].mean(axis=0)),
            "precision": _floats(curves.precision_CK[:, point.place]),
            "recall": _floats(curves.recall_CK[:, point.place]),
        },
        curves=Curves(
            recall_levels=RECALL_LEVELS.astype(np.float32),
            precision_CR=precision_TRC[IOU_50].T,
            confidences=CONFIDENCES_K,
            precision_CK=curves.precision_CK,
            recall_CK=curves.recall_CK,
            f1_CK=curves.f1_CK,
            best_confidence=point.confidence,
        ),
        confusion=confusion_matrix(evidence, point),
        images=evidence.images,
        truths=sum(truths_per_class),
        truths_per_class=truths_per_class,
        detections=len(evidence.scores_D),
        losses=losses,
        protocol=protocol_in_words(evidence.cap, otherwise),
        coco={name: capped[name] for name in COCO_NAMES},
    )


def coco_figures(evidence: Evidence) -> Mapping[str, float]:
    """Computes the twelve figures of COCO with its cap of 100 detections of an image and class, whatever the set is."""
    return _averages(evidence, _precision_by_area(evidence, MAX_DETECTIONS), MAX_DETECTIONS)


def _precision_by_area(evidence: Evidence, cap: int | None) -> Sequence[DoubleArray]:
    return [precision_by_recall(evidence, area, cap) for area in range(len(AREA_NAMES))]


def _averages(evidence: Evidence, precision_TRC_by_area: Sequence[DoubleArray], cap: int | None) -> Mapping[str, float]:
    precision_TRC = precision_TRC_by_area[ALL_SIZES]
    averages = {
        "map50_95": _mean(precision_TRC),
        "map50": _mean(precision_TRC[IOU_50]),
        "map75": _mean(precision_TRC[IOU_75]),
        "recall_1": _mean(recall_by_class(evidence, ALL_SIZES, most=1)),
        "recall_10": _mean(recall_by_class(evidence, ALL_SIZES, most=10)),
        "recall_100": _mean(recall_by_class(evidence, ALL_SIZES, most=100)),
    }
    for area, name in enumerate(AREA_NAMES):
        if area != ALL_SIZES:
            averages[f"map_{name}"] = _mean(precision_TRC_by_area[area])
            averages[f"recall_{name}"] = _mean(recall_by_class(evidence, area, cap))
    return averages


def _metrics(average: Mapping[str, float], curves: OperatingCurves, point: OperatingPoint) -> Mapping[str, float]:
    metrics = {
        **average,
        "precision": mean_at(curves.precision_CK, point),
        "recall": mean_at(curves.recall_CK, point),
        "f1": mean_at(curves.f1_CK, point),
        "confidence": point.confidence,
    }
    return {name: metrics[name] for name in METRIC_NAMES}


def _mean(values: DoubleArray) -> float:
    """Of all classes, thresholds and recall levels at once."""
    return float(mean_of_present(values.ravel()))


def _floats(values_C: DoubleArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values_C)
