"""What kind of mistake is each wrong detection and each missed truth, and what does each kind cost in AP50?

The kinds and the cost are those of TIDE: of a kind every mistake is set right, nothing else is touched, and the gain in
AP50 is its cost. Source: Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020
(arXiv 2008.08115), sections 2.2 and 2.3. Where a detection could be of several kinds the paper leaves their order open;
here the larger overlap decides, and at an equal one the truth of its own class.

A detection's kind depends on those with higher scores alone: at a higher confidence the rest keep theirs.

Shape letters: D detections, G truths, P pairs of one of each; rows as in the set's evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from peakmark.evaluate.average_precision import mean_of_present, precision_by_recall
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import Pairs, by_image, by_image_class_and_score, first_come, overlapping
from peakmark.evaluate.protocol import ALL_SIZES, IOU_50, IOU_THRESHOLDS
from peakmark.evaluate.tables import BoolArray, DetectionTable, TruthTable
from peakmark.nouns.images import IntArray

KINDS: Final = ("right", "wrong_class", "badly_placed", "both", "doubled", "background")
"""Of a detection: the place of its kind in here is its number."""
RIGHT, WRONG_CLASS, BADLY_PLACED, BOTH, DOUBLED, BACKGROUND = range(len(KINDS))
NOT_COUNTED: Final = -1
"""Of a detection in a crowd: it is neither right nor wrong."""
MISSED: Final = "missed"
COSTS: Final = (*KINDS[1:], MISSED)
"""What has a cost."""

_FOREGROUND: Final = float(IOU_THRESHOLDS[IOU_50])
_BACKGROUND: Final = 0.1
"""The paper's t_f and t_b: from the one on an overlap is a match, below the other it is none at all."""
_BIT: Final = np.uint16(1 << IOU_50)


@dataclass(frozen=True, slots=True)
class ErrorKinds:
    """The mistakes of a set, one by one."""

    truths: TruthTable
    detections: DetectionTable
    """Both in the order of the rows below"""
    kind_D: NDArray[np.int8]
    """Place in `KINDS`, or `NOT_COUNTED`"""
    truth_D: NDArray[np.int64]
    """The truth that it found, or that its mistake is about: the one that it overlaps most; -1 for background"""
    ap50: float
    """Of the set as it is; NaN without truths"""
    costs: Mapping[str, float]
    """How much higher AP50 would be without the mistakes of a kind, by the names in `COSTS`; NaN without truths"""

    def missed(self, confidence: float) -> BoolArray:
        """Tells of each truth whether no detection from `confidence` on found it, nor took it for another class, nor
        missed its place: those are mistakes of their own kind."""
        about = np.isin(self.kind_D, (RIGHT, WRONG_CLASS, BADLY_PLACED)) & (self.detections.scores_D >= confidence)
        missed_G: BoolArray = ~self.truths.crowd_G
        missed_G[self.truth_D[about]] = False
        return missed_G


def find_error_kinds(truths: TruthTable, detections: DetectionTable, evidence: Evidence) -> ErrorKinds:
    """Finds the kind of every mistake; `evidence` is what `match` made of the same tables. Deterministic."""
    truths = by_image(truths)
    detections, group_D, _ = by_image_class_and_score(detections)
    pairs = overlapping(truths, detections, evidence.images, least=_BACKGROUND)
    same_P = detections.classes_D[pairs.detection_P] == truths.classes_G[pairs.truth_P]

    found_D = _found(pairs.where(same_P & (pairs.iou_P >= _FOREGROUND)), group_D, truths.crowd_G)
    of_object = pairs.where(~truths.crowd_G[pairs.truth_P])
    nearest_D, iou_D = _nearest(of_object, truths, detections)
    is_same_D = np.append(truths.classes_G, -1)[nearest_D] == detections.classes_D  # -1, the last one, for no truth

    kind_D = np.select(
        [
            found_D >= 0,
            nearest_D < 0,
            is_same_D & (iou_D >= _FOREGROUND),
            iou_D >= _FOREGROUND,
            is_same_D,
        ],
        [RIGHT, BACKGROUND, DOUBLED, WRONG_CLASS, BADLY_PLACED],
        BOTH,
    ).astype(np.int8)
    kind_D[~evidence.counted(ALL_SIZES, IOU_50)] = NOT_COUNTED
    truth_D = np.where(found_D >= 0, found_D, nearest_D)
    kinds = ErrorKinds(truths, detections, kind_D, truth_D, _ap50(evidence), {})
    return replace(kinds, costs=_costs(kinds, evidence))


def _found(pairs: Pairs, group_D: IntArray, crowd_G: BoolArray) -> IntArray:
    """The truth that each detection is right about at IoU 0.5, or -1: the match of the protocol, by name."""
    order = np.lexsort((-pairs.truth_P, -pairs.iou_P, crowd_G[pairs.truth_P], pairs.detection_P))
    detection_P, truth_P = pairs.detection_P[order], pairs.truth_P[order]
    won_P = first_come(detection_P, truth_P, np.full(len(order), _BIT), group_D[detection_P], crowd_G) > 0
    found_D = np.full(len(group_D), -1, dtype=np.int64)
    found_D[detection_P[won_P]] = truth_P[won_P]
    return found_D


def _nearest(pairs: Pairs, truths: TruthTable, detections: DetectionTable) -> tuple[IntArray, NDArray[np.float64]]:
    """The truth that each detection overlaps most, or -1, and by how much.

    A truth of its own class that it overlaps enough for a match stands before all others: it is a double of that one,
    whatever else lies there.
    """
    same_P = truths.classes_G[pairs.truth_P] == detections.classes_D[pairs.detection_P]
    is_double_P = same_P & (pairs.iou_P >= _FOREGROUND)
    # The last one of a detection is written last, and stays.
    order = np.lexsort((-pairs.truth_P, same_P, pairs.iou_P, is_double_P, pairs.detection_P))
    nearest_D = np.full(len(detections.scores_D), -1, dtype=np.int64)
    iou_D = np.zeros(len(nearest_D))
    nearest_D[pairs.detection_P[order]] = pairs.truth_P[order]
    iou_D[pairs.detection_P[order]] = pairs.iou_P[order]
    return nearest_D, iou_D


# --- costs ----------------------------------------------------------------------------------------------------------


def _costs(kinds: ErrorKinds, evidence: Evidence) -> dict[str, float]:
    without = {
        KINDS[kind]: _corrected(kinds, evidence, kind)
        if kind in (WRONG_CLASS, BADLY_PLACED)
        else _suppressed(evidence, kinds.kind_D == kind)
        for kind in range(1, len(KINDS))
    }
    without[MISSED] = _without_truths(evidence, kinds.missed(0.0))
    return {name: _ap50(without[name]) - kinds.ap50 for name in COSTS}


def _corrected(kinds: ErrorKinds, evidence: Evidence, kind: int) -> Evidence:
    """Gives each mistake of a kind the class and the place of its truth. Of several that are then right about the same
    truth the one with the highest score stays, the others go."""
    is_kind_D = kinds.kind_D == kind
    claims = np.flatnonzero(is_kind_D | (kinds.kind_D == RIGHT))
    truth, score = kinds.truth_D[claims], kinds.detections.scores_D[claims]
    order = np.lexsort((claims, -score, truth))
    is_first = np.diff(truth[order], prepend=-1) != 0
    right_D = np.zeros(len(is_kind_D), dtype=np.bool_)
    right_D[claims[order[is_first]]] = True
    lost_D = np.zeros_like(right_D)
    lost_D[claims[order[~is_first]]] = True
    class_D = evidence.class_D.copy()
    class_D[is_kind_D] = evidence.class_G[kinds.truth_D[is_kind_D]]
    return _rewritten(replace(evidence, class_D=class_D), right_D, evidence.counted(ALL_SIZES, IOU_50) & ~lost_D)


def _suppressed(evidence: Evidence, gone_D: BoolArray) -> Evidence:
    counted_D = evidence.counted(ALL_SIZES, IOU_50) & ~gone_D
    return _rewritten(evidence, evidence.right(ALL_SIZES, IOU_50), counted_D)


def _without_truths(evidence: Evidence, gone_G: BoolArray) -> Evidence:
    ignored_GA = evidence.ignored_GA.copy()
    ignored_GA[gone_G, ALL_SIZES] = True
    return replace(evidence, ignored_GA=ignored_GA)


def _rewritten(evidence: Evidence, right_D: BoolArray, counted_D: BoolArray) -> Evidence:
    """The evidence with other verdicts at IoU 0.5 and all sizes; those of other thresholds and sizes are lost."""
    matched_DA, ignored_DA = np.zeros_like(evidence.matched_DA), np.zeros_like(evidence.ignored_DA)
    matched_DA[right_D, ALL_SIZES] = _BIT
    ignored_DA[~counted_D, ALL_SIZES] = _BIT
    return replace(evidence, matched_DA=matched_DA, ignored_DA=ignored_DA)


def _ap50(evidence: Evidence) -> float:
    """1 where no truth is left to be found: whatever was is found."""
    if len(evidence.class_G) and not evidence.truths_per_class(ALL_SIZES).any() and not evidence.crowd_G.all():
        return 1.0
    return float(mean_of_present(precision_by_recall(evidence, ALL_SIZES, evidence.cap, (IOU_50,)).ravel()))
