"""Which class is taken for which? The confusion matrix of a set at one confidence, from evidence alone.

Detections choose in the order of their scores and regardless of class; each takes the free truth that it overlaps most,
at IoU 0.5 or more. A higher confidence only takes detections off the end of that order, so one matching serves all.
"""

from __future__ import annotations

import numpy as np

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.operating_point import CONFIDENCES_K, OperatingPoint
from peakmark.nouns.images import IntArray


def confusion_matrix(evidence: Evidence, point: OperatingPoint) -> IntArray:
    """Counts (C + 1, C + 1): row predicted class, column true class.

    The last row is missed truths, the last column background. Crowds, and detections that got one, are left out.
    All zero in a set without truths: it has no operating point.
    """
    background = evidence.classes
    counts = np.zeros((background + 1, background + 1), dtype=np.int64)
    if np.isnan(point.confidence):
        return counts
    kept_D = evidence.scores_D >= CONFIDENCES_K[point.place]
    class_D, truth_of_D = evidence.class_D[kept_D], evidence.truth_of_D[kept_D]
    has_truth_D = truth_of_D >= 0
    counts[:background, background] = np.bincount(class_D[~has_truth_D], minlength=background)

    class_D, truth_of_D = class_D[has_truth_D], truth_of_D[has_truth_D]
    of_object_D = ~evidence.crowd_G[truth_of_D]
    np.add.at(counts, (class_D[of_object_D], evidence.class_G[truth_of_D[of_object_D]]), 1)

    missed_G = ~evidence.crowd_G
    missed_G[truth_of_D] = False
    counts[background, :background] = np.bincount(evidence.class_G[missed_G], minlength=background)
    return counts
