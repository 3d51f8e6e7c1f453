"""What is a fitness made of? Arithmetic over metrics, as terms that can be computed; and the names that there are.

A formula is arithmetic over metrics (`0.3 * map50 + 0.7 * recall`) and metrics of one class (`recall[RBC]`). With
`where` it is read along the confidences: `precision where recall >= 0.95` is the highest precision at any confidence at
which the recall is that high. This file must not know where the numbers come from, nor how a formula is written.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

METRIC_NAMES: Final = (
    "map50_95",
    "map50",
    "map75",
    "map_small",
    "map_medium",
    "map_large",
    "recall_1",
    "recall_10",
    "recall_100",
    "recall_small",
    "recall_medium",
    "recall_large",
    "precision",
    "recall",
    "f1",
    "confidence",
)
"""The keys of `Evaluation.metrics`, in this order; the first twelve in the order of pycocotools' `stats`."""

CLASS_METRIC_NAMES: Final = ("map50_95", "map50", "precision", "recall", "f1")
"""What is known of each class; all but f1, which follows from precision and recall, are keys of `per_class`."""

DEFAULT: Final = "map50_95"
NAMED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "map50_95": "map50_95",
        "map50": "map50",
        "f1": "f1",
        # As published with YOLOv5 and with YOLOv8 at its release.
        "classic": "0.1 * map50 + 0.9 * map50_95",
        "balanced": "(0.1 * precision + 0.9 * recall) * (1 - abs(precision - recall))",
    }
)
"""The formulas that have a name of their own."""

ALONG_CONFIDENCES: Final = ("precision", "recall", "f1", "confidence")
"""Beside a `where` these are no single numbers: they have a value at each confidence."""

Values = NDArray[np.float64]
"""Numbers of any shape; what is put together has shapes that fit."""

_MOST_CORNERS: Final = 10


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was written down."""

    value: float


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the whole set, or of one class, given by its name or its number."""

    name: str
    of_class: str | int | None = None

    def __str__(self) -> str:
        return self.name if self.of_class is None else f"{self.name}[{self.of_class}]"

    def class_number(self, class_names: Sequence[str]) -> int | None:
        """Gives the number of the class that it is of; None where there is no such class."""
        if isinstance(self.of_class, int):
            return self.of_class if 0 <= self.of_class < len(class_names) else None
        return class_names.index(self.of_class) if self.of_class in class_names else None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator or function, by its sign or name, and what it is applied to."""

    sign: str
    operands: tuple[Term, ...]


Term = Number | Metric | Operation


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison, such as `recall >= 0.95`."""

    text: str
    left: Term
    sign: str
    """One of >=, >, <=, <"""
    right: Term

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(metrics_in(self.left, self.right))


@dataclass(frozen=True, slots=True)
class Formula:
    """A fitness that can be computed; larger is better."""

    text: str
    """As a setting holds it: one wish has one spelling."""
    written_out: str
    """Without names of formulas."""
    value: Term | None
    """None for a Python function, of which only the name is known here."""
    conditions: tuple[Condition, ...] = ()
    """What must hold at a confidence that counts; empty where the formula is of single numbers."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it reads, each once, in the order of the text."""
        sides = [side for condition in self.conditions for side in (condition.left, condition.right)]
        return tuple(dict.fromkeys(metrics_in(*((self.value,) if self.value else ()), *sides)))

    @property
    def is_function(self) -> bool:
        return self.value is None

    @property
    def words(self) -> str:
        """The formula for a person: a name is followed by what it stands for."""
        return self.text if self.text == self.written_out else f"{self.text} = {self.written_out}"


def computed(term: Term, read: Callable[[Metric], Values]) -> Values:
    """Computes a term of metrics that `read` gives; NaN or infinite where arithmetic has no answer, without a word."""
    match term:
        case Number(value):
            return np.asarray(value, dtype=np.float64)
        case Metric():
            return read(term)
        case Operation(sign, operands):
            values = [computed(operand, read) for operand in operands]
            with np.errstate(all="ignore"):
                return np.asarray(functools.reduce(_BINARY[sign], values) if sign in _BINARY else _UNARY[sign](*values))


_BINARY: Final[Mapping[str, Callable[[Values, Values], Values]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "min": np.minimum,
    "max": np.maximum,
}
_UNARY: Final[Mapping[str, Callable[[Values], Values]]] = {
    "abs": np.abs,
    "negative": np.negative,
    "positive": np.positive,
}


def metrics_in(*terms: Term) -> Iterator[Metric]:
    """Gives the metrics that terms read, in their order."""
    for term in terms:
        match term:
            case Metric():
                yield term
            case Operation(operands=operands):
                yield from metrics_in(*operands)


def bounds(term: Term) -> tuple[float, float]:
    """Gives numbers that a term can't be below and above, for metrics that lie between 0 and 1; they may be too wide.

    Interval arithmetic; infinite where a divisor may be 0, or where a power is of no plain kind.
    """
    match term:
        case Number(value):
            return value, value
        case Metric():
            return 0.0, 1.0
        case Operation(sign, operands):
            parts = [bounds(operand) for operand in operands]
            return (
                functools.reduce(_BOUNDS[sign], parts[1:], parts[0])
                if sign in _BOUNDS
                else _bounds_of_one(sign, *parts)
            )


_Bounds = tuple[float, float]


def _ends(of: Callable[[float, float], float], one: _Bounds, other: _Bounds) -> _Bounds:
    values = [of(a, b) for a in one for b in other]
    return (-math.inf, math.inf) if any(math.isnan(value) for value in values) else (min(values), max(values))


def _quotient(one: _Bounds, other: _Bounds) -> _Bounds:
    return (-math.inf, math.inf) if other[0] <= 0 <= other[1] else _ends(operator.truediv, one, other)


def _power(base: _Bounds, exponent: _Bounds) -> _Bounds:
    # Of what isn't below 0, each end lies where base and exponent are at an end.
    if base[0] < 0 or (base[0] == 0 and exponent[0] < 0) or max(map(abs, (*base, *exponent))) > _PLAIN_POWER:
        return -math.inf, math.inf
    return _ends(operator.pow, base, exponent)


def _bounds_of_one(sign: str, part: _Bounds) -> _Bounds:
    low, high = part
    match sign:
        case "negative":
            return -high, -low
        case "abs":
            return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
        case _:
            return part


_PLAIN_POWER: Final = 100.0
"""Larger ones may be more than a float holds."""
_BOUNDS: Final[Mapping[str, Callable[[_Bounds, _Bounds], _Bounds]]] = {
    "+": lambda one, other: _ends(operator.add, one, other),
    "-": lambda one, other: _ends(operator.sub, one, other),
    "*": lambda one, other: _ends(operator.mul, one, other),
    "/": _quotient,
    "**": _power,
    "min": lambda one, other: (min(one[0], other[0]), min(one[1], other[1])),
    "max": lambda one, other: (max(one[0], other[0]), max(one[1], other[1])),
}


def may_be_negative(term: Term) -> bool:
    """Whether it is below 0 where each of its metrics is at one end of its range, 0 or 1."""
    metrics = list(dict.fromkeys(metrics_in(term)))[:_MOST_CORNERS]
    for corner in itertools.product((0.0, 1.0), repeat=len(metrics)):
        ends = dict(zip(metrics, corner, strict=True))
        if computed(term, functools.partial(_end_of, ends)) < 0:
            return True
    return False


def _end_of(ends: Mapping[Metric, float], metric: Metric) -> Values:
    return np.asarray(ends.get(metric, 0.0))
