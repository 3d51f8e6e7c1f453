"""Which rate and momentum does an update take? Pure functions of settings and position: nothing is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass

from peakmark.nouns.run import Segment
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe_of
from peakmark.train.windows import Window


@dataclass(frozen=True, slots=True)
class Rates:
    """What the optimizer is set to before one update."""

    weights_lr: float
    biases_lr: float
    momentum: float

    def per_group(self) -> tuple[float, float, float]:
        """Learning rates of the groups weights, norms, biases."""
        return (self.weights_lr, self.weights_lr, self.biases_lr)


def rates(settings: Settings, segment: Segment, epoch: int, window: Window) -> Rates:
    """Gives the rates of the update that ends `window` of `epoch`.

    The decay moves once an epoch, as the field's curves show it; the warm-up moves with every update, from 0 for
    weights and norms and from `warmup_bias_lr` for biases, to the epoch's rate.
    """
    recipe, warmup = recipe_of(segment), window.warmup
    lr = recipe.lr0 * decay(settings, segment.horizon, epoch)
    return Rates(
        weights_lr=window.rewarm * lr * warmup,
        biases_lr=window.rewarm * (recipe.warmup_bias_lr + (lr - recipe.warmup_bias_lr) * warmup),
        momentum=settings.warmup_momentum + (recipe.momentum - settings.warmup_momentum) * warmup,
    )


def decay(settings: Settings, horizon: int, epoch: int) -> float:
    """The share of lr0 in this epoch: from 1 towards lrf, along a line or a cosine over `horizon` epochs.

    Epochs beyond the horizon keep the rate of its last one, so that a run that is made longer goes on as it was.
    """
    progress = min(epoch, horizon - 1) / horizon
    left = (1 + math.cos(math.pi * progress)) / 2 if settings.cos_lr else 1 - progress
    return settings.lrf + (1 - settings.lrf) * left
