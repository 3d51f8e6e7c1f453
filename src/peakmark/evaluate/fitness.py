"""How good was an epoch, in one number? A formula, opened for a set of classes, computed of what was measured.

The same formula is computed of an evaluation, of a record of the past, and of many resamples of an epoch's evidence.
This file must not know which epoch is compared with which.

Shape letters: B resamples, K confidences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from peakmark.errors import SettingsError
from peakmark.evaluate.average_precision import mean_of_present
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.operating_point import CONFIDENCES_K, OperatingCurves, operating_curves
from peakmark.evaluate.resampling import ResampledMetrics, Weights
from peakmark.evaluate.tables import DoubleArray
from peakmark.formula.terms import (
    ALONG_CONFIDENCES,
    CLASS_METRIC_NAMES,
    METRIC_NAMES,
    Condition,
    Formula,
    Metric,
    computed,
)
from peakmark.formula.text import read_formula
from peakmark.nouns.evaluation import Curves, Evaluation
from peakmark.nouns.run import EpochRecord

FitnessFunction = Callable[[Mapping[str, float]], float]
"""A fitness in Python: of the metrics by their names; one of a class is `metrics["recall[RBC]"]`. Larger is better."""

_ROUNDING: Final = 1e-9
"""Within it a condition holds: a mean over classes may come out a last bit lower, by the order it is added up in."""


_WRITTEN_CONFIDENCES_K: Final[DoubleArray] = CONFIDENCES_K.astype(np.float64).round(6)
"""As people write them: 0.3 in float32 is a little more, and `confidence <= 0.3` would leave it out."""


@dataclass(frozen=True, slots=True)
class _Figures:
    """What a formula reads, of one set or of several resamples of it."""

    whole: Callable[[str], DoubleArray]
    """A metric: (...)"""
    of_class: Callable[[str, int], DoubleArray]
    """A metric of one class: (...)"""
    along: Callable[[str, int | None], DoubleArray]
    """Precision, recall or f1 at each confidence, of one class or the mean over those that have truths: (..., K)"""


def _logged(
    metrics: Mapping[str, float], per_class: Mapping[str, Sequence[float]], curves: Mapping[str, DoubleArray]
) -> _Figures:
    """Gives what a formula reads of one set, from its numbers as they are logged, and its curves."""

    def along(name: str, number: int | None) -> DoubleArray:
        return mean_of_present(curves[name]) if number is None else curves[name][number]

    return _Figures(
        whole=lambda name: np.asarray(metrics[name], dtype=np.float64),
        of_class=lambda name, number: np.asarray(per_class[name][number], dtype=np.float64),
        along=along,
    )


def _curves_of(curves: Curves | OperatingCurves) -> Mapping[str, DoubleArray]:
    return {"precision": curves.precision_CK, "recall": curves.recall_CK, "f1": curves.f1_CK}


@dataclass(frozen=True, slots=True)
class Fitness:
    """What makes an epoch good."""

    formula: Formula
    class_names: tuple[str, ...]
    function: FitnessFunction | None = None

    def of_evaluation(self, evaluation: Evaluation) -> float | None:
        """Makes one number of an evaluation; None where one that it needs is not finite (nothing to compare)."""
        return self._of_logged(evaluation.metrics, evaluation.per_class, _curves_of(evaluation.curves))

    def confidence_of(self, record: EpochRecord, evidence: Evidence) -> float | None:
        """Gives the confidence at which an epoch has its value; None where there is no condition, or it is unmet."""
        if not self.formula.conditions or record.metrics is None or record.per_class is None:
            return None
        figures = _logged(record.metrics, record.per_class, _curves_of(operating_curves(evidence)))
        values_K, missed_K = self._along_confidences(figures)
        met_K = (missed_K <= 0) & np.isfinite(values_K)
        if not met_K.any():
            return None
        return float(_WRITTEN_CONFIDENCES_K[np.argmax(np.where(met_K, values_K, -np.inf))])

    def of_record(self, record: EpochRecord, evidence: Callable[[], Evidence | None]) -> float | None:
        """Makes one number of a validated epoch of the past; its evidence is asked for where numbers alone don't do.

        None where it can't be computed any more.
        """
        if record.metrics is None or record.per_class is None:
            return None
        kept = evidence() if self.formula.conditions else None
        if kept is None:
            return None if self.formula.conditions else self._of_logged(record.metrics, record.per_class, {})
        return self._of_logged(record.metrics, record.per_class, _curves_of(operating_curves(kept)))

    def resampled(self, evidence: Evidence, weights_BI: Weights) -> DoubleArray:
        """Makes one number of each resample of a set: (B,); NaN where there is none."""
        metrics = ResampledMetrics(evidence, weights_BI)
        if self.function is not None:
            rows = (_OneResample(metrics, self.class_names, b) for b in range(len(weights_BI)))
            return np.array([self._by_function_or_nan(row) for row in rows])
        values_B = self._computed(_Figures(metrics.__getitem__, metrics.of_class, metrics.along))
        return np.broadcast_to(np.where(np.isfinite(values_B), values_B, np.nan), len(weights_BI))

    def try_out(self) -> None:
        """Calls a function once: a name that it misspells would cost the first epoch. Raises SettingsError."""
        classes = range(len(self.class_names))
        self._by_function(
            _named(
                dict.fromkeys(METRIC_NAMES, 0.5),
                {name: [0.5 for _ in classes] for name in CLASS_METRIC_NAMES},
                self.class_names,
            )
        )

    def number_of(self, metric: Metric) -> int:
        """Gives the number of the class that a metric is of. Raises SettingsError where there is none."""
        number = metric.class_number(self.class_names)
        if number is not None:
            return number
        raise SettingsError(
            [
                f"fitness={self.formula.text}: {metric} is of no class of the data; they are"
                f" {', '.join(self.class_names)}."
            ]
        )

    def _of_logged(
        self,
        metrics: Mapping[str, float],
        per_class: Mapping[str, Sequence[float]],
        curves: Mapping[str, DoubleArray],
    ) -> float | None:
        if self.function is not None:
            value = self._by_function(_named(metrics, per_class, self.class_names))
        else:
            value = float(self._computed(_logged(metrics, per_class, curves)))
        return value if math.isfinite(value) else None

    def _computed(self, figures: _Figures) -> DoubleArray:
        formula = self.formula
        if formula.value is None:
            raise SettingsError([f"fitness={formula.text}: this fitness is a Python function, and it was not given."])
        if not formula.conditions:
            return computed(formula.value, partial(self._single, figures))
        return _best_along(*self._along_confidences(figures))

    def _along_confidences(self, figures: _Figures) -> tuple[DoubleArray, DoubleArray]:
        """Gives the value at each confidence, and by how much the worst of the conditions is missed there: (..., K)."""
        formula = self.formula
        assert formula.value is not None  # a function has no conditions
        read = partial(self._at_each_confidence, figures)
        missed_K = np.maximum.reduce(
            np.broadcast_arrays(*(_short_of(condition, read) for condition in formula.conditions))
        )
        values_K, missed_K = np.broadcast_arrays(computed(formula.value, read), missed_K)
        return values_K, missed_K

    def _single(self, figures: _Figures, metric: Metric) -> DoubleArray:
        if metric.of_class is None:
            return figures.whole(metric.name)
        number = self.number_of(metric)
        if metric.name != "f1":
            return figures.of_class(metric.name, number)
        return f1_of(figures.of_class("precision", number), figures.of_class("recall", number))

    def _at_each_confidence(self, figures: _Figures, metric: Metric) -> DoubleArray:
        if metric.name == "confidence":
            return _WRITTEN_CONFIDENCES_K
        if metric.name in ALONG_CONFIDENCES:
            return figures.along(metric.name, None if metric.of_class is None else self.number_of(metric))
        return self._single(figures, metric)[..., None]

    def _by_function_or_nan(self, metrics: Mapping[str, float]) -> float:
        try:
            return self._by_function(metrics)
        except SettingsError:
            # What it can't do with a resample, such as one without truths of a class, it may never have to do.
            return math.nan

    def _by_function(self, metrics: Mapping[str, float]) -> float:
        assert self.function is not None
        try:
            return float(self.function(metrics))
        except Exception as error:
            raise SettingsError(
                [f"fitness={self.formula.text}: the function can't judge an epoch ({type(error).__name__}: {error})."]
            ) from error


def fitness_by(text: str, class_names: Sequence[str], function: FitnessFunction | None = None) -> Fitness:
    """Opens a fitness, as a setting holds it, for these classes.

    Raises SettingsError where it names another class, or is a Python function and `function` is None.
    """
    formula = read_formula(text)
    fitness = Fitness(formula, tuple(class_names), function if formula.is_function else None)
    if formula.is_function and function is None:
        name = text.removeprefix("function ")
        raise SettingsError(
            [
                f"fitness={text}: this run is judged by a Python function, which no file can hold; give it again in"
                f" Python (fitness={name}), or choose a formula."
            ]
        )
    for metric in formula.metrics:
        if metric.of_class is not None:
            fitness.number_of(metric)
    return fitness


def f1_of(precision: DoubleArray, recall: DoubleArray) -> DoubleArray:
    """Gives the harmonic mean; 0 where both are."""
    both = precision + recall
    return np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1), both)


# --- along the confidences ------------------------------------------------------------------------------------------


def _best_along(values_K: DoubleArray, missed_K: DoubleArray) -> DoubleArray:
    """Gives the highest value where no condition is missed; where all miss one, by how much the nearest does, negative.

    So every epoch that can be run as asked for is better than every one that can't, and of those the nearest is best.
    Source: Deb, an efficient constraint handling method for genetic algorithms (CMAME 186, 2000).
    """
    # A confidence with a value that is no number meets nothing: NaN would otherwise be the highest.
    highest = np.where((missed_K <= 0) & np.isfinite(values_K), values_K, -np.inf).max(axis=-1)
    nearest = -np.where(np.isnan(missed_K), np.inf, missed_K).min(axis=-1)
    return np.where(np.isfinite(highest), highest, np.where(nearest < 0, nearest, np.nan))


def _short_of(condition: Condition, read: Callable[[Metric], DoubleArray]) -> DoubleArray:
    """Gives by how much a condition is missed at each confidence; 0 where it is met."""
    left, right = computed(condition.left, read), computed(condition.right, read)
    behind = right - left if condition.sign.startswith(">") else left - right
    met = behind <= _ROUNDING if condition.sign.endswith("=") else behind < -_ROUNDING
    # Missed by nothing at all, as 0.95 > 0.95 is, it is missed all the same.
    return np.where(met, 0.0, np.maximum(behind, _ROUNDING))


# --- for functions --------------------------------------------------------------------------------------------------


def _named(
    metrics: Mapping[str, float], per_class: Mapping[str, Sequence[float]], class_names: Sequence[str]
) -> Mapping[str, float]:
    """Gives all that is known of an epoch by name."""
    named = dict(metrics)
    for number, class_name in enumerate(class_names):
        of_class = {name: values[number] for name, values in per_class.items()}
        of_class["f1"] = float(f1_of(np.asarray(of_class["precision"]), np.asarray(of_class["recall"])))
        named |= {f"{name}[{class_name}]": value for name, value in of_class.items()}
    return named


@dataclass(frozen=True, slots=True)
class _OneResample(Mapping[str, float]):
    """The same of one resample, computed when it is asked for."""

    metrics: ResampledMetrics
    class_names: tuple[str, ...]
    place: int

    def __getitem__(self, name: str) -> float:
        if name in METRIC_NAMES:
            return float(self.metrics[name][self.place])
        metric, _, rest = name.partition("[")
        class_name = rest.removesuffix("]")
        if metric not in CLASS_METRIC_NAMES or class_name not in self.class_names:
            raise KeyError(name)
        if metric == "f1":
            precision, recall = self[f"precision[{class_name}]"], self[f"recall[{class_name}]"]
            return float(f1_of(np.asarray(precision), np.asarray(recall)))
        return float(self.metrics.of_class(metric, self.class_names.index(class_name))[self.place])

    def __iter__(self) -> Iterator[str]:
        yield from METRIC_NAMES
        for class_name in self.class_names:
            yield from (f"{metric}[{class_name}]" for metric in CLASS_METRIC_NAMES)

    def __len__(self) -> int:
        return len(METRIC_NAMES) + len(CLASS_METRIC_NAMES) * len(self.class_names)
