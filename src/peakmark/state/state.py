"""What is the state of a run? Everything that its future depends on besides settings, data and seed, in one object.

The loop changes this object and nothing else; a checkpoint is a picture of it. What is not in here is a pure function
of settings, seed and position, or does not bear on the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from peakmark.model.detector import Detector
from peakmark.nouns.losses import NO_LOSSES, TERMS, Losses
from peakmark.nouns.run import History, Position


@dataclass(slots=True)
class OpenEpoch:
    """Running sums of the epoch that is being trained; reset when its record is written."""

    sums: Losses = NO_LOSSES
    """Losses as they are logged, each times the images it was computed over."""
    images: int = 0
    skipped_steps: int = 0
    train_s: float = 0.0
    """Time spent so far, over all interruptions; bears on nothing."""

    def add(self, losses: Losses, images: int) -> None:
        """Adds the losses of a microbatch of so many images."""
        self.sums = Losses(**{name: total + losses[name] * images for name, total in self.sums.items()})
        self.images += images

    def losses(self) -> Losses:
        """Gives their means over the images so far; 0 before the first."""
        images = max(1, self.images)
        return Losses(**{name: total / images for name, total in self.sums.items()})

    def to_plain(self) -> dict[str, float | int]:
        """Gives what a checkpoint holds: each sum by the name of its term, beside the counts."""
        counts = {count.name: getattr(self, count.name) for count in fields(self) if count.name != "sums"}
        return {**self.sums, **counts}

    @staticmethod
    def from_plain(plain: Mapping[str, float | int]) -> OpenEpoch:
        """Gives back what `to_plain` was given. Raises KeyError and TypeError where it is of another version."""
        counts: dict[str, Any] = {name: value for name, value in plain.items() if name not in TERMS}
        return OpenEpoch(Losses(**{name: plain[name] for name in TERMS}), **counts)


@dataclass(slots=True)
class RunState:
    """The named parts of a run's state."""

    model: Detector
    """Raw weights and buffers, float32."""
    ema: Detector
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    """Only where the precision needs one."""
    ema_updates: int = 0
    position: Position = field(default_factory=Position)
    open_epoch: OpenEpoch = field(default_factory=OpenEpoch)
    skipped_in_a_row: int = 0
    history: History = field(default_factory=History)
    skipped_steps: int = 0
    """In the whole run."""
    whole: bool = True
    """False from the first tensor that an update changes until position and counts have followed: cut off in between,
    it is the state of no place in the run and must not be saved."""

    @property
    def trained_s(self) -> float:
        """What the run took until here, over all interruptions, validations included; bears on nothing."""
        ended = sum(record.train_s + record.validation_s for record in self.history.records)
        return ended + self.open_epoch.train_s
