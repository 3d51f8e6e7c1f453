"""What must hold of a model? Comparisons such as `map50_95 >= 0.5`, read as text and checked against known names.

It must not know where the numbers come from, nor what follows where one doesn't hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peakmark.formula.terms import Condition, Metric, Values, computed
from peakmark.formula.text import read_condition


@dataclass(frozen=True, slots=True)
class Requirement:
    """A metric, or arithmetic over some, and the number that it is compared with."""

    condition: Condition
    limit: float


def as_requirements(wish: Any) -> tuple[str, ...]:
    """Gives the one spelling of requirements that were given as text, apart by commas, or as a list of texts.

    Raises ValueError where one is no comparison of metrics with a number, as the end of a sentence.
    """
    texts = wish if isinstance(wish, list | tuple) else (wish,)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("is no requirement; write e.g. map50_95>=0.5")
    # Joined first: a list in words was split at every comma, that in min(map50,recall)>=0.5 among them.
    parts = _apart(",".join(texts))
    spelled, wrong = [], []
    for part in parts:
        try:
            spelled.append(read_requirement(part).condition.text)
        except ValueError as error:
            wrong.append(str(error) if len(parts) == 1 else f"has {part!r}, which {error}")
    if wrong:
        raise ValueError("; and ".join(wrong))
    return tuple(spelled)


def read_requirement(text: str) -> Requirement:
    """Reads one. Raises ValueError where it is none, naming the nearest name for one that is unknown."""
    condition = read_condition(text)
    limit = float(computed(condition.right, _no_number))
    if not condition.metrics:
        raise ValueError("names no metric; write e.g. map50_95>=0.5")
    return Requirement(condition, limit)


def _no_number(metric: Metric) -> Values:
    raise ValueError(f"has {metric} on its right side, where a number belongs; write e.g. map50_95>=0.5")


def _apart(text: str) -> list[str]:
    """Splits at commas outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for mark in text:
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        else:
            depth += (mark in "([") - (mark in ")]")
        if mark == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += mark
    return [part.strip() for part in parts if part.strip()]
