"""How do people read an evaluation who come from other YOLO trainers? box.map, box.maps, confusion_matrix.matrix.

The numbers are ours; only the words are theirs. A class without truths has no number: NaN, where others write the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from peakmark.evaluate.fitness import f1_of
from peakmark.evaluate.tables import DoubleArray
from peakmark.nouns.images import IntArray


@dataclass(frozen=True, slots=True, repr=False)
class BoxMetrics:
    """Numbers of an evaluation by their familiar names; NaN where nothing was validated."""

    metrics: Mapping[str, float]
    """By the names in `formula.terms.METRIC_NAMES`"""
    per_class: Mapping[str, tuple[float, ...]]

    @property
    def map(self) -> float:
        """mAP at IoU 0.50 to 0.95"""
        return self._metric("map50_95")

    @property
    def map50(self) -> float:
        return self._metric("map50")

    @property
    def map75(self) -> float:
        return self._metric("map75")

    @property
    def mp(self) -> float:
        """Mean precision over the classes, at the one confidence with the best mean F1"""
        return self._metric("precision")

    @property
    def mr(self) -> float:
        """Mean recall, at the same confidence"""
        return self._metric("recall")

    @property
    def maps(self) -> DoubleArray:
        """(C,) mAP50-95 of every class; NaN for a class without truths"""
        return self._of_classes("map50_95")

    @property
    def ap_class_index(self) -> IntArray:
        """The numbers of the classes that have truths; the arrays below have a value for each of them, in this order"""
        return np.flatnonzero(~np.isnan(self.maps))

    @property
    def ap(self) -> DoubleArray:
        return self._of_present("map50_95")

    @property
    def ap50(self) -> DoubleArray:
        return self._of_present("map50")

    @property
    def p(self) -> DoubleArray:
        return self._of_present("precision")

    @property
    def r(self) -> DoubleArray:
        return self._of_present("recall")

    @property
    def f1(self) -> DoubleArray:
        return np.asarray(f1_of(self.p, self.r))

    def mean_results(self) -> list[float]:
        """mp, mr, map50, map"""
        return [self.mp, self.mr, self.map50, self.map]

    def class_result(self, i: int) -> tuple[float, float, float, float]:
        """Precision, recall, AP50 and AP50-95 of the i-th class of `ap_class_index`."""
        return float(self.p[i]), float(self.r[i]), float(self.ap50[i]), float(self.ap[i])

    def __repr__(self) -> str:
        return f"BoxMetrics(map={self.map:.4f}, map50={self.map50:.4f}, mp={self.mp:.4f}, mr={self.mr:.4f})"

    def _metric(self, name: str) -> float:
        return self.metrics.get(name, math.nan)

    def _of_classes(self, name: str) -> DoubleArray:
        return np.array(self.per_class.get(name, ()), dtype=np.float64)

    def _of_present(self, name: str) -> DoubleArray:
        return self._of_classes(name)[self.ap_class_index] if self.per_class else self._of_classes(name)


@dataclass(frozen=True, slots=True, repr=False)
class ConfusionMatrix:
    """What was taken for what, at IoU 0.5 and the confidence with the best mean F1."""

    matrix: IntArray
    """(C + 1, C + 1): row predicted class, column true class; last row: missed truths, last column: background"""
    names: Mapping[int, str]

    def __repr__(self) -> str:
        return f"ConfusionMatrix({len(self.names)} classes, {int(self.matrix.sum())} counted)"
