"""How does a processor compute a convolution for inference? oneDNN adds the bias and applies the activation with it.

The weights are laid out as its kernels want them once, where torch does it anew in every call. The activation is
applied before the result is rounded: in bfloat16 that is a little more exact than one step after the other.
"""

from __future__ import annotations

import torch
from torch import nn


def packs_convolutions() -> bool:
    """Whether this build of torch can: not on every processor."""
    return bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class PackedConvolution(nn.Module):
    """A convolution of a processor with its bias, and SiLU after it where `silu`; for inference only."""

    def __init__(self, conv: nn.Conv2d, *, silu: bool) -> None:
        """Takes the weights as they are, precision included; a later change of `conv` has no effect."""
        super().__init__()
        self._padding = [int(length) for length in conv.padding]
        self._stride = list(conv.stride)
        self._dilation = list(conv.dilation)
        self._groups = conv.groups
        self._activation = "swish" if silu else "none"
        self._precision = conv.weight.dtype
        self._bias = None if conv.bias is None else conv.bias.detach().clone()
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight.detach(), self._padding, self._stride, self._dilation, self._groups
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            x.to(self._precision),
            self._weight,
            self._bias,
            self._padding,
            self._stride,
            self._dilation,
            self._groups,
            self._activation,
            [],
            None,
        )
        return out
