"""Where does the time of a training go?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Stage = Literal["loading", "forward", "loss", "backward", "update", "validation", "saving", "other"]
"""loading: waiting for a batch. update: clipping, optimizer and average. saving: the copy of the state."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a stretch of a training went."""

    seconds: Mapping[Stage, float]
    images: int
    microbatches: int
    updates: int

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    def share(self, *stages: Stage) -> float:
        """The part of the time that these took together, 0 to 1."""
        return sum(self.seconds.get(stage, 0.0) for stage in stages) / self.total_s if self.total_s else 0.0
