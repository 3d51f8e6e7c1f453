"""What must a logger be able to do? The few calls by which TensorBoard, MLflow and W&B are one thing to the rest.

It must not know any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is told of a run before its numbers."""

    folder: Path
    name: str
    settings: Mapping[str, Any]
    """Every one, as they are now, with what is known of the model and the data."""
    changed: Mapping[str, str]
    """Settings that a resume changed, each with when and what it was."""


@dataclass(frozen=True, slots=True)
class Point:
    """The numbers of one finished epoch."""

    number: int
    """0-based, of all points of the journal. An epoch that a resume repeats with other numbers is another point."""
    epoch: int
    """1-based, as in results.csv."""
    at_s: float
    """Seconds since 1970, when the epoch ended."""
    values: Mapping[str, float]
    """Finite numbers by the names that `story.metric_name` gives them."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run ended, or where it was stopped."""

    outcome: str
    text: str
    best_epoch: int | None
    """1-based."""
    best_fitness: float | None


class Logger(Protocol):
    """A place for runs. Every call may raise whatever its library raises; it is then made again from `open` on."""

    @property
    def keeps_what_is_sent(self) -> bool:
        """Whether a point is safe once `send` has returned; else only once `close` has, and it is sent again if not."""

    def open(self, run: RunFacts, known_id: str | None) -> str:
        """Begins a logged run, or goes on in the one of this id, and gives its id. Tells settings."""

    def send(self, points: Sequence[Point]) -> None:
        """Tells points, ascending in their numbers. One that was told before changes nothing."""

    def close(self, ending: Ending | None) -> None:
        """Says how the run ended, or None where that isn't known, and lets go of the place."""

    @property
    def where(self) -> str:
        """Where a person finds the logged run."""
