"""Does the training fit into memory? An estimate from the network's own shapes, made before anything starts.

The processor's memory is promised without being there: a run that takes too much is killed without a word, at its
largest batch, hours in. So it is counted beforehand.
"""

from __future__ import annotations

import torch
from torch import nn

from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import STRIDES, Detector

_LEAST_SIDE_PX = STRIDES[-1]
"""Every map grows with the square of the side, so the smallest image says it all."""
_KEPT_COPIES = 3
"""Of each convolution's output that the backward pass needs: before the norm, after it, after the activation."""
_STATE_COPIES = 7
"""Of the weights in float32: raw, average, gradient, two moments, and two snapshots on their way to disk."""
_BASE_BYTES = 400 * 2**20
"""What the process holds before it trains."""


@torch.no_grad()
def training_bytes(model: Detector, *, side_px: int, batch: int, arithmetic: Arithmetic) -> int:
    """Estimates the memory of a training in bytes; on the machines it was measured on, within a third of the truth.

    `model` is in evaluation mode: it looks at one small image.
    """
    outputs = 0

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    hooks = [part.register_forward_hook(count) for part in model.modules() if isinstance(part, nn.Conv2d)]
    model(torch.zeros(1, 3, _LEAST_SIDE_PX, _LEAST_SIDE_PX))
    for hook in hooks:
        hook.remove()
    outputs *= (side_px // _LEAST_SIDE_PX) ** 2
    bytes_each = 4 if arithmetic.precision == "float32" else 2
    weights: int = sum(tensor.numel() for tensor in model.state_dict().values())
    total: int = _BASE_BYTES + outputs * batch * bytes_each * _KEPT_COPIES + weights * 4 * _STATE_COPIES
    return total
