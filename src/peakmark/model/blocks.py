"""What are the bricks of YOLOv8? Convolution with norm and activation, the split block, the pooling pyramid.

Comments give shapes as B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

NORM_MOMENTUM = 0.03
"""How far statistics move to those of a microbatch, once they are settled (`norm_statistics.py`)."""


class Conv(nn.Conv2d):
    """A convolution whose weights are set by whoever builds or reads the network, never by torch's generator.

    torch's own draws would hang on what else was drawn before, and take longer than reading a checkpoint.
    """

    def reset_parameters(self) -> None:
        pass


class ConvNormAct(nn.Module):
    """Convolution without bias, batch norm, SiLU. `fuse` folds the norm into the convolution for inference."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=NORM_MOMENTUM)
        # Not in place: autograd needs what went in, so in place torch would copy it first.
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.act(self.norm(self.conv(x)))
        return out


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, added to the input where `shortcut`."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(channels, channels, 3)
        self.conv2 = ConvNormAct(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv2(self.conv1(x))
        return x + out if self.shortcut else out


class C2f(nn.Module):
    """Splits the channels, runs one half through a chain of bottlenecks and joins every stage of the chain."""

    def __init__(self, in_channels: int, out_channels: int, repeats: int, *, shortcut: bool) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.split = ConvNormAct(in_channels, 2 * hidden)
        self.bottlenecks = nn.ModuleList(Bottleneck(hidden, shortcut=shortcut) for _ in range(repeats))
        self.join = ConvNormAct((2 + repeats) * hidden, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stages = list(self.split(x).chunk(2, dim=1))
        for bottleneck in self.bottlenecks:
            stages.append(bottleneck(stages[-1]))
        out: torch.Tensor = self.join(torch.cat(stages, dim=1))
        return out


class SPPF(nn.Module):
    """Joins a feature map with three successive 5x5 maxima of itself: pooling at 5, 9 and 13 for the price of three."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.reduce = ConvNormAct(in_channels, hidden)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.join = ConvNormAct(4 * hidden, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stages = [self.reduce(x)]
        for _ in range(3):
            stages.append(self.pool(stages[-1]))
        out: torch.Tensor = self.join(torch.cat(stages, dim=1))
        return out


class Doubled(nn.Module):
    """Twice the height and width, each value four times."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            return functional.interpolate(x, scale_factor=2, mode="nearest")
        # What torch compiles of `interpolate` adds its gradient up in whatever order threads come by, value by value;
        # of this it makes a sum in a fixed order, which is also many times as fast.
        b, c, h, w = x.shape
        return x[:, :, :, None, :, None].expand(b, c, h, 2, w, 2).reshape(b, c, 2 * h, 2 * w)
