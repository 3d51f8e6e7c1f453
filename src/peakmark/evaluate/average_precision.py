"""How precise are the detections at each recall, per class, IoU threshold and object size? From evidence alone.

Only true positives are looked at: precision falls between two of them, so its envelope has its corners there, and there
are far fewer of them than detections. This file must not know boxes.

Shape letters: D detections, T IoU thresholds, R recall levels, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.protocol import IOU_THRESHOLDS, RECALL_LEVELS
from peakmark.evaluate.tables import BoolArray, DoubleArray
from peakmark.nouns.images import IntArray


def precision_by_recall(
    evidence: Evidence, area: int, most: int | None, thresholds: Sequence[int] = range(len(IOU_THRESHOLDS))
) -> DoubleArray:
    """Interpolates precision at the recall levels, of the `most` best detections of each image and class: (T, R, C).

    `thresholds`: which of `IOU_THRESHOLDS`. 0 where a recall is not reached, NaN for classes without truths.
    """
    by_score = np.lexsort((-evidence.scores_D, evidence.class_D))
    by_score = by_score[evidence.among_best(most)[by_score]]
    class_D = evidence.class_D[by_score].astype(np.int64)
    truths_C = evidence.truths_per_class(area)
    precision_TRC = np.full((len(thresholds), len(RECALL_LEVELS), evidence.classes), np.nan)
    present = np.flatnonzero(truths_C)
    # The place of the first true positive that reaches a level. Compared as COCO does, quotient against level: the
    # product of level and truths rounds differently and would shift some levels by one.
    needed_R_of_class = {
        c: np.searchsorted(np.arange(1, truths_C[c] + 1) / truths_C[c], RECALL_LEVELS) for c in present
    }
    for place, threshold in enumerate(thresholds):
        right_D = evidence.right(area, threshold)[by_score]
        counted_D = evidence.counted(area, threshold)[by_score]
        precisions, starts_C = _at_true_positives(right_D, counted_D, class_D, evidence.classes)
        for c in present:
            of_class = precisions[starts_C[c] : starts_C[c + 1]]
            envelope = np.maximum.accumulate(of_class[::-1])[::-1]
            reached = needed_R_of_class[c] < len(envelope)
            precision_TRC[place, reached, c] = envelope[needed_R_of_class[c][reached]]
            precision_TRC[place, ~reached, c] = 0.0
    return precision_TRC


def _at_true_positives(
    right_D: BoolArray, counted_D: BoolArray, class_D: IntArray, classes: int
) -> tuple[DoubleArray, NDArray[np.int64]]:
    """Gives the precision at each true positive, and where each class begins among them.

    Detections are ordered by class and score.
    """
    counted_before_D1 = np.concatenate([[0], np.cumsum(counted_D)])
    rows = np.flatnonzero(right_D)
    class_of_row = class_D[rows]
    starts_C = np.searchsorted(class_of_row, np.arange(classes + 1))
    nth = np.arange(len(rows)) - starts_C[class_of_row] + 1
    first_row_C = np.searchsorted(class_D, np.arange(classes))
    counted = counted_before_D1[rows + 1] - counted_before_D1[first_row_C[class_of_row]]
    # The spacing is pycocotools' guard against 0 / 0, which can't happen here; without it a last bit would differ.
    return nth / (counted + np.spacing(1)), starts_C


def recall_by_class(evidence: Evidence, area: int, most: int | None) -> DoubleArray:
    """Gives the share of truths that the `most` best detections of each image and class find: (T, C).

    NaN for classes without truths.
    """
    truths_C = evidence.truths_per_class(area)
    among_best_D = evidence.among_best(most)
    found_TC = np.stack(
        [
            np.bincount(evidence.class_D[evidence.right(area, threshold) & among_best_D], minlength=evidence.classes)
            for threshold in range(len(IOU_THRESHOLDS))
        ]
    )
    return found_TC / np.where(truths_C > 0, truths_C, np.nan)


def mean_of_present(values_CX: DoubleArray) -> DoubleArray:
    """Averages over the classes (the first axis) what is not NaN; NaN where nothing is left, without a warning.

    A class without truths has no value and must not count as one that was never found.
    """
    present_CX = ~np.isnan(values_CX)
    # A lone row is summed in pairs: zeros in its gaps would pair its numbers otherwise and move their last digits.
    kept_CX = values_CX[present_CX] if values_CX.ndim == 1 else np.where(present_CX, values_CX, 0.0)
    count_X = present_CX.sum(axis=0)
    return np.where(count_X > 0, kept_CX.sum(axis=0) / np.maximum(count_X, 1), np.nan)
