"""What is the state of a run? Everything that its future depends on besides settings, data and seed, in one object.

The loop changes this object and nothing else; a checkpoint is a picture of it. What is not in here is a pure function
of settings, seed and position, or does not bear on the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from peakmark.model.detector import Detector
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import History, Position


@dataclass(slots=True)
class OpenEpoch:
    """Running sums of the epoch that is being trained; reset when its record is written."""

    box: float = 0.0
    cls: float = 0.0
    dfl: float = 0.0
    """Losses as they are logged, each times the images it was computed over."""
    images: int = 0
    skipped_steps: int = 0
    train_s: float = 0.0
    """Time spent so far, over all interruptions; bears on nothing."""

    def losses(self) -> Losses:
        images = max(1, self.images)
        return Losses(self.box / images, self.cls / images, self.dfl / images)


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
