"""How good was an epoch, in one number? Each form of fitness has a name, a formula and its words.

To add a form, add a line to `FITNESS`. This file must not know which epoch is compared with which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from peakmark.errors import SettingsError

DEFAULT_FITNESS: Final = "map50_95"


@dataclass(frozen=True, slots=True)
class FitnessForm:
    """One way to make a single number of an evaluation; larger is better."""

    compute: Callable[[Mapping[str, float]], float]
    words: str


FITNESS: Final[Mapping[str, FitnessForm]] = MappingProxyType(
    {
        "map50_95": FitnessForm(lambda metrics: metrics["map50_95"], "mAP50-95"),
        "map50": FitnessForm(lambda metrics: metrics["map50"], "mAP50"),
        # As published with YOLOv5 and with YOLOv8 at its release.
        "classic": FitnessForm(
            lambda metrics: 0.1 * metrics["map50"] + 0.9 * metrics["map50_95"], "0.1 × mAP50 + 0.9 × mAP50-95"
        ),
    }
)


def fitness(name: str, metrics: Mapping[str, float]) -> float | None:
    """Makes one number of an evaluation's metrics; None where one that it needs is not finite (nothing to compare).

    Raises SettingsError for a name that is not in `FITNESS`.
    """
    value = _form(name).compute(metrics)
    return value if math.isfinite(value) else None


def describe(name: str) -> str:
    """Gives the formula of a fitness for a person, with the protocol its numbers follow.

    Raises SettingsError for a name that is not in `FITNESS`.
    """
    return f"{_form(name).words} (COCO protocol)"


def _form(name: str) -> FitnessForm:
    if name not in FITNESS:
        raise SettingsError([f"fitness={name!r} is not known; choose one of: {', '.join(FITNESS)}."])
    return FITNESS[name]
