"""Which optimizer, with which numbers? What the settings leave open is chosen here, by a stated rule.

`optimizer=auto` follows the published behaviour for short trainings (under 10,000 updates): AdamW at
0.002 * 5 / (4 + classes), beta1 0.9, biases warmed up from 0. Longer ones take SGD at 0.01, momentum 0.9. An explicit
lr0, momentum or warmup_bias_lr always beats the rule. It must not know torch.

A recipe has a version, since rules of training change as more is learnt; a run keeps the rules that it began with:
1: as published for YOLOv8.
2: objects of any size get targets, also those that lie between all anchors (`loss/assignment.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peakmark.settings.fields import Settings

VERSION = 2
"""Of the rules by which new runs train."""
SHORT_RUN_UPDATES = 10_000
OptimizerName = Literal["SGD", "Adam", "AdamW"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The optimizer with every number filled in."""

    optimizer: OptimizerName
    lr0: float
    momentum: float
    warmup_bias_lr: float
    weight_decay: float
    """Scaled by the images of a window over the nominal batch."""
    why: str
    """For a person."""
    version: int = 1
    """Of the rules; checkpoints from before there were others don't name it."""


def recipe(settings: Settings, *, classes: int, images: int) -> Recipe:
    """Fills in what the settings leave open, for a run over `images` training images."""
    updates = settings.epochs * -(-images // max(settings.batch, settings.nbs))
    automatic = settings.optimizer == "auto"
    short = updates < SHORT_RUN_UPDATES
    name: OptimizerName = ("AdamW" if short else "SGD") if settings.optimizer == "auto" else settings.optimizer
    if automatic:
        lr0, momentum, bias_lr = (round(0.002 * 5 / (4 + classes), 6), 0.9, 0.0) if short else (0.01, 0.9, 0.0)
        why = f"auto: about {updates} updates, {'under' if short else 'not under'} {SHORT_RUN_UPDATES}"
    else:
        lr0, momentum, bias_lr = 0.01, 0.937, 0.1
        why = "as set"
    return Recipe(
        optimizer=name,
        lr0=lr0 if settings.lr0 is None else settings.lr0,
        momentum=momentum if settings.momentum is None else settings.momentum,
        warmup_bias_lr=bias_lr if settings.warmup_bias_lr is None else settings.warmup_bias_lr,
        weight_decay=settings.weight_decay * window_images(settings) / settings.nbs,
        why=why,
        version=VERSION,
    )


def window_images(settings: Settings) -> int:
    """Images of a full accumulation window: as near to nbs as whole microbatches come."""
    return settings.batch * max(1, round(settings.nbs / settings.batch))
