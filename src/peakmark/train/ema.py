"""What is validated? An exponential moving average of the weights, which is ahead of the raw ones and less noisy."""

from __future__ import annotations

import math

import torch

from peakmark.model.detector import Detector, tensors_of

_DECAY = 0.9999
_RAMP_UPDATES = 2000


def ema_decay(updates: int) -> float:
    """The share of the average that an update keeps: short memory at first, long later (as in the YOLO family)."""
    return _DECAY * (1 - math.exp(-updates / _RAMP_UPDATES))


@torch.no_grad()
def update_ema(ema: Detector, model: Detector, updates: int) -> None:
    """Moves the average, buffers included, towards the model after its update number `updates` (1 for the first)."""
    share = 1 - ema_decay(updates)
    averages, currents = [], []
    for average, current in zip(tensors_of(ema), tensors_of(model), strict=True):
        if average.is_floating_point():
            averages.append(average)
            currents.append(current)
        else:
            average.copy_(current)  # counters of batches: an average of them means nothing
    torch._foreach_lerp_(averages, currents, share)
