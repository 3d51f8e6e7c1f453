"""Does the training fit into memory? An estimate from the network's own shapes, made before anything starts.

The processor's memory is promised without being there: a run that takes too much is killed without a word, at its
largest batch, hours in. So it is counted beforehand.
"""

from __future__ import annotations

import torch
from torch import nn

from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import Detector
from peakmark.model.scales import Scale

_KEPT_COPIES = 3
"""Of each convolution's output that the backward pass needs: before the norm, after it, after the activation."""
_STATE_COPIES = 7
"""Of the weights in float32: raw, average, gradient, two moments, and two snapshots on their way to disk."""
_BASE_BYTES = 400 * 2**20
"""What the process holds before it trains."""


def training_bytes(scale: Scale, classes: int, *, side_px: int, batch: int, arithmetic: Arithmetic) -> int:
    """Estimates the memory of a training in bytes; on the machines it was measured on, within a third of the truth."""
    outputs = 0

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    with torch.device("meta"), torch.no_grad():
        model = Detector(scale, classes).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        model(torch.empty(1, 3, side_px, side_px))
    bytes_each = 4 if arithmetic.precision == "float32" else 2
    weights: int = sum(tensor.numel() for tensor in model.state_dict().values())
    total: int = _BASE_BYTES + outputs * batch * bytes_each * _KEPT_COPIES + weights * 4 * _STATE_COPIES
    return total
