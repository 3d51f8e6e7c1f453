"""How large is a detector? Layers, parameters, and the arithmetic of one image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from peakmark.model.detector import LAYERS, STRIDES, Detector


class ModelSize(NamedTuple):
    """As the field's `info()` gives it."""

    layers: int
    parameters: int
    gradients: int
    """Parameters that train."""
    gflops: float
    """Of one image: a multiplication and an addition are two operations."""

    def __str__(self) -> str:
        return f"{self.layers} layers, {self.parameters:,} parameters, {self.gflops:.1f} GFLOPs an image"


def size_of(model: Detector, side_px: int) -> ModelSize:
    """Measures a detector; its arithmetic on square images of `side_px`, of which it follows from a small one."""
    parameters = list(model.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    small_px = 2 * max(STRIDES)
    count = FlopCounterMode(display=False)
    was_training = model.training
    # In training mode, a pass would move the statistics of the batch norms.
    model.eval()
    with torch.no_grad(), count:
        model(torch.zeros(1, 3, small_px, small_px, device=parameters[0].device, dtype=parameters[0].dtype))
    model.train(was_training)
    # Convolutions only, so it grows with the area.
    gflops = count.get_total_flops() * (side_px / small_px) ** 2 / 1e9
    return ModelSize(LAYERS, sum(p.numel() for p in parameters), trainable, gflops)


def parameters_by_layer(model: Detector) -> Iterator[str]:
    """A line for each layer that holds weights, by its number in the published table."""
    for number, layer in model.layers().items():
        yield f"{number:>4}  {type(layer).__name__:<12} {sum(p.numel() for p in layer.parameters()):>10,}"
