"""What would the metrics be, had the set other images of the same kind? Each metric for many resamples of the images.

A resample is the set with every image in it a number of times (drawn with replacement). Nothing is matched or sorted
again for it: rows keep the order of their scores and count as often as their image, so running sums of these weights
take the place of counting. The numbers are those that `metrics.evaluation_from` would give of a set with images copied.
This file must not know what the numbers are compared for.

Shape letters: B resamples, I images, D detections (of a class, by score), N true positives among them, T IoU
thresholds, C classes, K confidences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from peakmark.evaluate.average_precision import mean_of_present
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.operating_point import CONFIDENCES_K
from peakmark.evaluate.protocol import ALL_SIZES, AREA_NAMES, IOU_50, IOU_75, IOU_THRESHOLDS, RECALL_LEVELS
from peakmark.evaluate.tables import BoolArray, DoubleArray
from peakmark.formula.terms import METRIC_NAMES
from peakmark.machine.streams import stream
from peakmark.nouns.images import IntArray

Weights = NDArray[np.uint8]
"""(B, I): how many times each image is in each resample."""

_CELLS_AT_ONCE = 2_000_000
"""Bounds the memory of a class to some 100 MB, whatever the size of the set."""
_SUMS_TO_HUNDREDTHS: Final = np.arange(len(RECALL_LEVELS)) / (len(RECALL_LEVELS) - 1) < RECALL_LEVELS
"""Levels that lie a last bit above the quotient they stand for: COCO doesn't count them as reached by it."""


def draw_resamples(images: int, resamples: int, seed: int) -> Weights:
    """Draws as many images as there are, with replacement, again and again. Deterministic in its arguments."""
    drawn_BI = stream(seed, "resampled images", images).integers(0, images, (resamples, images))
    cells = drawn_BI + np.arange(resamples)[:, None] * images
    counts = np.bincount(cells.ravel(), minlength=resamples * images)
    return counts.reshape(resamples, images).astype(np.uint8)


class ResampledMetrics(Mapping[str, DoubleArray]):
    """Every metric of `METRIC_NAMES`, a value per resample: (B,). Computed when it is asked for.

    NaN in a resample that has no truths of the kind.
    """

    def __init__(self, evidence: Evidence, weights_BI: Weights) -> None:
        self._evidence = evidence
        self._weights_BI = weights_BI
        self._known: dict[str, DoubleArray] = {}
        self._of_classes: dict[str, DoubleArray] = {}

    def __getitem__(self, name: str) -> DoubleArray:
        if name not in METRIC_NAMES:
            raise KeyError(name)
        if name not in self._known:
            self._compute_with(name)
        return self._known[name]

    def of_class(self, name: str, number: int) -> DoubleArray:
        """Gives a metric of `per_class` for one class: (B,)."""
        if name not in self._of_classes:
            self._compute_with(name)
        values_B: DoubleArray = self._of_classes[name][number]
        return values_B

    def along(self, name: str, number: int | None) -> DoubleArray:
        """Gives precision, recall or f1 at each confidence, of one class or as the mean over classes: (B, K)."""
        numbers = range(self._evidence.classes) if number is None else (number,)
        values_BK = np.zeros((len(self._weights_BI), len(CONFIDENCES_K)))
        for some, classes in _steps(self._evidence, self._weights_BI, numbers):
            present_B = np.zeros(len(values_BK[some]), dtype=np.int64)
            for each in classes:
                each.add_to(values_BK[some], name)
                present_B += each.truths_B > 0
            present_B1 = present_B[:, None]
            values_BK[some] = np.where(present_B1 > 0, values_BK[some] / np.maximum(present_B1, 1), np.nan)
        return values_BK

    def __iter__(self) -> Iterator[str]:
        return iter(METRIC_NAMES)

    def __len__(self) -> int:
        return len(METRIC_NAMES)

    def _compute_with(self, name: str) -> None:
        """Computes a metric, and those that come with it at no cost."""
        kind, _, of = name.partition("_")
        evidence, weights_BI = self._evidence, self._weights_BI
        if name in ("precision", "recall", "f1", "confidence"):
            self._known |= _at_best_confidence(evidence, weights_BI, self._of_classes)
        elif kind == "recall":
            area, most = (AREA_NAMES.index(of), evidence.cap) if of in AREA_NAMES else (ALL_SIZES, int(of))
            self._known[name] = _mean_recall(evidence, weights_BI, area, most)
        elif of in AREA_NAMES:
            self._known[name] = _mean_of_all(_average_precision(evidence, weights_BI, AREA_NAMES.index(of)))
        else:
            precision_TCB = _average_precision(evidence, weights_BI, ALL_SIZES)
            self._of_classes |= {"map50_95": precision_TCB.mean(axis=0), "map50": precision_TCB[IOU_50]}
            self._known |= {
                "map50_95": _mean_of_all(precision_TCB),
                "map50": mean_of_present(precision_TCB[IOU_50]),
                "map75": mean_of_present(precision_TCB[IOU_75]),
            }


# --- average precision ---------------------------------------------------------------------------------------------


def _average_precision(evidence: Evidence, weights_BI: Weights, area: int) -> DoubleArray:
    """Gives the average precision per threshold, class and resample: (T, C, B); NaN for a class without truths."""
    truths_CB = _truths(evidence, weights_BI, area)
    average_TCB = np.full((len(IOU_THRESHOLDS), evidence.classes, len(weights_BI)), np.nan)
    right_DT = np.stack([evidence.right(area, t) for t in range(len(IOU_THRESHOLDS))], axis=1)
    counted_DT = np.stack([evidence.counted(area, t) for t in range(len(IOU_THRESHOLDS))], axis=1)
    for c, rows_D in enumerate(_rows_by_class_and_score(evidence, evidence.cap)):
        if truths_CB[c].any():
            for some in _some_at_once(len(weights_BI), len(rows_D)):
                average_TCB[:, c, some] = _average_precision_of_class(
                    right_DT[rows_D], counted_DT[rows_D], evidence.image_D[rows_D], weights_BI[some], truths_CB[c, some]
                )
    return average_TCB


def _average_precision_of_class(
    right_DT: BoolArray, counted_DT: BoolArray, image_D: NDArray[np.int32], weights_BI: Weights, truths_B: IntArray
) -> DoubleArray:
    average_TB = np.zeros((len(IOU_THRESHOLDS), len(weights_BI)))
    ever_right = np.flatnonzero(right_DT.any(axis=1))
    # Nearly always the same rows count at every threshold, and can be added up once for all.
    always_counted = bool(counted_DT.all())
    shared_BN = _weight_up_to(ever_right, np.arange(len(image_D)), image_D, weights_BI) if always_counted else None
    for threshold, average_B in enumerate(average_TB):
        rows_N = np.flatnonzero(right_DT[:, threshold])
        if len(rows_N) == 0:
            continue
        if shared_BN is not None:
            counted_BN = np.take(shared_BN, np.searchsorted(ever_right, rows_N), axis=1)
        else:
            counted_BN = _weight_up_to(rows_N, np.flatnonzero(counted_DT[:, threshold]), image_D, weights_BI)
        right_BN = np.cumsum(np.take(weights_BI, image_D[rows_N], axis=1), axis=1, dtype=np.int32)
        average_B[:] = _area_under_envelope(right_BN, counted_BN, truths_B)
    return np.where(truths_B > 0, average_TB, np.nan)


def _weight_up_to(
    ends_N: IntArray, counted: IntArray, image_D: NDArray[np.int32], weights_BI: Weights
) -> NDArray[np.int32]:
    """Adds up the weights of the counted rows up to each of `ends_N`, which are among them: (B, N)."""
    if len(ends_N) == 0:
        return np.zeros((len(weights_BI), 0), dtype=np.int32)
    last_N = np.searchsorted(counted, ends_N)
    starts_N = np.concatenate([[0], last_N[:-1] + 1])
    of_row_B = np.take(weights_BI, image_D[counted[: last_N[-1] + 1]], axis=1)
    return np.cumsum(np.add.reduceat(of_row_B, starts_N, axis=1, dtype=np.int32), axis=1, dtype=np.int32)


def _area_under_envelope(right_BN: NDArray[np.int32], counted_BN: NDArray[np.int32], truths_B: IntArray) -> DoubleArray:
    """Averages the best precision at or beyond each recall level over the levels: (B,).

    A row whose image is not in a resample adds nothing to `right_BN`, reaches no further level and lies below the
    envelope; one whose image is there twice lies on it once, since copies only raise the precision up to the last.
    """
    precision_BN = right_BN / np.maximum(counted_BN, 1)
    envelope_BN = np.maximum.accumulate(precision_BN[:, ::-1], axis=1)[:, ::-1]
    steps_BN = np.diff(_levels_reached(right_BN, truths_B), axis=1, prepend=0)
    areas_B: DoubleArray = np.einsum("bn,bn->b", envelope_BN, steps_BN) / len(RECALL_LEVELS)
    return areas_B


def _levels_reached(right_BN: NDArray[np.int32], truths_B: IntArray) -> NDArray[np.int32]:
    """Counts the recall levels that so many true positives reach.

    The level 0 is always reached: before the first true positive the envelope is as high as at it, without any it is 0.
    """
    truths_B1 = np.maximum(truths_B, 1).astype(np.int32)[:, None]
    hundredfold_BN = right_BN * np.int32(len(RECALL_LEVELS) - 1)
    level_BN = hundredfold_BN // truths_B1
    level_BN -= _SUMS_TO_HUNDREDTHS[level_BN] & (level_BN * truths_B1 == hundredfold_BN)
    return level_BN + np.int32(1)


# --- the other metrics ---------------------------------------------------------------------------------------------


def _mean_recall(evidence: Evidence, weights_BI: Weights, area: int, most: int | None) -> DoubleArray:
    """Gives the mean share of truths found, over classes and thresholds, by the `most` best of an image and class."""
    truths_CB = _truths(evidence, weights_BI, area)
    found_TCB = np.zeros((len(IOU_THRESHOLDS), *truths_CB.shape))
    among_best_D = evidence.among_best(most)
    for threshold, found_CB in enumerate(found_TCB):
        which_D = evidence.right(area, threshold) & among_best_D
        found_CB[:] = _per_class(evidence.class_D[which_D], evidence.image_D[which_D], evidence.classes, weights_BI)
    return _mean_of_all(np.where(truths_CB > 0, found_TCB / np.maximum(truths_CB, 1), np.nan))


def _at_best_confidence(
    evidence: Evidence, weights_BI: Weights, of_classes: dict[str, DoubleArray]
) -> Mapping[str, DoubleArray]:
    """Gives precision, recall and F1 at the confidence with the best mean F1 of each resample, and that confidence.

    Precision and recall per class go into `of_classes`.
    """
    at_place = {name: np.full((evidence.classes, len(weights_BI)), np.nan) for name in ("precision", "recall", "f1")}
    confidence_B = np.full(len(weights_BI), np.nan)
    for some, classes in _steps(evidence, weights_BI, range(evidence.classes)):
        sum_BK = np.zeros((len(weights_BI[some]), len(CONFIDENCES_K)))
        for each in classes:
            each.add_to(sum_BK, "f1")
        place_B = _middle_of_best(sum_BK)
        confidence_B[some] = place_B / (len(CONFIDENCES_K) - 1)
        for each in classes:
            for name, values_CB in at_place.items():
                values_CB[each.number, some] = each.at(place_B, name)
    values = {name: mean_of_present(values_CB) for name, values_CB in at_place.items()}
    of_classes |= {name: at_place[name] for name in ("precision", "recall")}
    return {**values, "confidence": np.where(np.isnan(values["f1"]), np.nan, confidence_B)}


@dataclass(frozen=True, slots=True)
class _ClassSteps:
    """What of a class's detections is kept, and right, at each confidence where that changes, and above all of them.

    Of a thousand classes most have few detections, so few such places; at every confidence of the grid, five hundred
    resamples of so many classes would take hours.

    Shape letter: S such places.
    """

    number: int
    truths_B: IntArray
    right_BS: NDArray[np.int32]
    detected_BS: NDArray[np.int32]
    step_of_K: IntArray

    def add_to(self, sum_BK: DoubleArray, name: str) -> None:
        """Adds precision, recall or F1 at every confidence to a sum over classes; 0 without truths."""
        values_BS = np.nan_to_num(self._values(name, self.right_BS, self.detected_BS))
        sum_BK += np.take(values_BS, self.step_of_K, axis=1)

    def at(self, place_B: IntArray, name: str) -> DoubleArray:
        """Gives the value at one confidence of each resample: (B,); NaN without truths."""
        rows_B, step_B = np.arange(len(place_B)), self.step_of_K[place_B]
        return self._values(name, self.right_BS[rows_B, step_B][:, None], self.detected_BS[rows_B, step_B][:, None])[
            :, 0
        ]

    def _values(self, name: str, right_BX: NDArray[np.int32], detected_BX: NDArray[np.int32]) -> DoubleArray:
        truths_B1 = self.truths_B[:, None]
        values_BX: DoubleArray
        match name:
            case "precision":
                values_BX = right_BX / np.maximum(detected_BX, 1)
            case "recall":
                values_BX = right_BX / np.maximum(truths_B1, 1)
            case _:
                values_BX = 2 * right_BX / np.maximum(detected_BX + truths_B1, 1)
        return np.where(truths_B1 > 0, values_BX, np.nan)


def _steps(
    evidence: Evidence, weights_BI: Weights, numbers: Sequence[int]
) -> Iterator[tuple[slice, list[_ClassSteps]]]:
    """Yields the steps of those of some classes that have truths in any resample, for some resamples at a time."""
    truths_CB = _truths(evidence, weights_BI, ALL_SIZES)
    right_D, counted_D = evidence.right(ALL_SIZES, IOU_50), evidence.counted(ALL_SIZES, IOU_50)
    place_D = np.searchsorted(CONFIDENCES_K, evidence.scores_D, side="right") - 1
    by_class = _rows_by_class_and_score(evidence, None)
    # By rising score, and only where an image may count: what lies beside a crowd is neither right nor wrong.
    rows_of = {c: by_class[c][counted_D[by_class[c]]][::-1] for c in numbers if truths_CB[c].any()}
    places_of = {c: np.unique(place_D[rows], return_index=True) for c, rows in rows_of.items()}
    cells = sum(len(places) + 1 for places, _ in places_of.values()) + len(CONFIDENCES_K)
    for some in _some_at_once(len(weights_BI), cells):
        classes = []
        for c, rows in rows_of.items():
            places_S, starts_S = places_of[c]
            of_row_BD = np.take(weights_BI[some], evidence.image_D[rows], axis=1)
            detected_BS = _kept_from(of_row_BD, starts_S)
            right_BS = _kept_from(of_row_BD * right_D[rows], starts_S)
            step_of_K = np.searchsorted(places_S, np.arange(len(CONFIDENCES_K)))
            classes.append(_ClassSteps(c, truths_CB[c, some], right_BS, detected_BS, step_of_K))
        yield some, classes


def _kept_from(weights_BD: Weights, starts_S: IntArray) -> NDArray[np.int32]:
    """Adds up the weights of rows from each start to the last row, and 0 behind them: (B, S + 1)."""
    kept_BS = np.zeros((len(weights_BD), len(starts_S) + 1), dtype=np.int32)
    if len(starts_S):
        parts_BS = np.add.reduceat(weights_BD, starts_S, axis=1, dtype=np.int32)
        kept_BS[:, :-1] = np.cumsum(parts_BS[:, ::-1], axis=1, dtype=np.int32)[:, ::-1]
    return kept_BS


def _middle_of_best(values_BK: DoubleArray) -> IntArray:
    """Gives the place of each row's largest value; of several equal ones the middle."""
    is_best_BK = values_BK == values_BK.max(axis=1, keepdims=True)
    middle_B1 = is_best_BK.sum(axis=1, keepdims=True) // 2 + 1
    middle_B: IntArray = np.argmax(np.cumsum(is_best_BK, axis=1) == middle_B1, axis=1)
    return middle_B


# --- parts of the above --------------------------------------------------------------------------------------------


def _truths(evidence: Evidence, weights_BI: Weights, area: int) -> IntArray:
    """Counts the truths that have to be found, per class and resample: (C, B)."""
    needed_G = ~evidence.ignored_GA[:, area]
    return _per_class(evidence.class_G[needed_G], evidence.image_G[needed_G], evidence.classes, weights_BI)


def _per_class(classes: NDArray[np.int32], images: NDArray[np.int32], count: int, weights_BI: Weights) -> IntArray:
    """Adds up the weights of rows per class: (C, B)."""
    found_CB = np.zeros((count, len(weights_BI)), dtype=np.int64)
    if len(classes) == 0:
        return found_CB
    # By class and image, each pair once with its number: a table of all classes and images is nearly all zeros.
    pairs, numbers = np.unique(classes.astype(np.int64) * weights_BI.shape[1] + images, return_counts=True)
    class_P, image_P = np.divmod(pairs, weights_BI.shape[1])
    present, starts = np.unique(class_P, return_index=True)
    for some in _some_at_once(len(weights_BI), len(pairs)):
        weighted_BP = np.take(weights_BI[some], image_P, axis=1) * numbers
        found_CB[present, some] = np.add.reduceat(weighted_BP, starts, axis=1).T
    return found_CB


def _rows_by_class_and_score(evidence: Evidence, most: int | None) -> list[IntArray]:
    """Gives the rows of each class, the highest score first, of the `most` best of each image and class."""
    by_score = np.lexsort((-evidence.scores_D, evidence.class_D))
    by_score = by_score[evidence.among_best(most)[by_score]]
    return np.split(by_score, np.searchsorted(evidence.class_D[by_score], np.arange(1, evidence.classes)))


def _mean_of_all(values_TCB: DoubleArray) -> DoubleArray:
    return mean_of_present(values_TCB.reshape(-1, values_TCB.shape[-1]))


def _some_at_once(resamples: int, cells_of_each: int) -> Iterator[slice]:
    step = max(1, _CELLS_AT_ONCE // max(1, cells_of_each))
    return (slice(start, start + step) for start in range(0, resamples, step))
