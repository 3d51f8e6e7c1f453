"""What will a resume do to each part of a run, and did the run go on soundly?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Fate = Literal["carried over", "rescaled", "re-initialised", "changed", "refused"]


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """What becomes of one part of a run at a resume; everything in words for a person."""

    part: str
    """weights, optimizer, learning rate ..."""
    fate: Fate
    why: str
    moves: str = ""
    """How much it may move the first epochs; empty for not at all."""
    dangerous: bool = False
    """A jump that experience calls dangerous: it needs the user's yes."""


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """What a resume will do, part by part; read before the first step."""

    changes: tuple[str, ...]
    """Settings that have another value, as `name: old -> new`."""
    parts: tuple[PlannedPart, ...]
    inexact: tuple[str, ...]
    """Why the run can't be bit for bit the one without the stop; empty where it is."""
    expected: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """How far the first epochs may leave their band because of this plan, below (negative) and above it, by the names
    that `Continuity` uses."""

    @property
    def dangers(self) -> tuple[PlannedPart, ...]:
        return tuple(part for part in self.parts if part.dangerous)

    @property
    def refusals(self) -> tuple[PlannedPart, ...]:
        return tuple(part for part in self.parts if part.fate == "refused")


ContinuityKind = Literal["continuous", "drifting", "broken", "too early"]


@dataclass(frozen=True, slots=True)
class Observed:
    """One number of one epoch after a resume, held against the band around the trend before it."""

    epoch: int
    name: str
    """train/ or val/ and a term of the loss, or map50_95."""
    value: float
    expected: float
    normal: float
    """Half the width within which it is ordinary."""
    alarm: float
    """Half the width beyond which something is wrong."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What may have broken a run, with what speaks for it."""

    name: str
    """optimizer state missing, data changed ..."""
    evidence: str
    remedy: str
    certainty: float
    """0 to 1; by it causes are ranked."""


@dataclass(frozen=True, slots=True)
class Continuity:
    """Whether the epochs after a resume follow from those before it."""

    kind: ContinuityKind
    text: str
    """One sentence for a person."""
    observed: tuple[Observed, ...] = ()
    causes: tuple[Cause, ...] = ()
    """Likeliest first; looked for only where the verdict is broken."""
