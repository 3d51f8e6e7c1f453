"""Where do a detector's predictions sit? On the cell centres of one grid per stride."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class AnchorGrid:
    """The anchors of all levels, finest first, row by row."""

    points_px_A2: torch.Tensor
    """(A, 2) float32: x, y of the cell centres in px of the input"""
    strides_A: torch.Tensor
    """(A,) float32, px"""
    levels: tuple[tuple[int, int, int], ...] = ()
    """Height, width and stride of each level; none where the anchors are some out of a grid."""

    def on_processor(self) -> AnchorGrid:
        """The same on the processor; made anew from the levels, since to read it off a device is to wait for that."""
        return self if self.points_px_A2.device.type == "cpu" else _on_processor(self.levels)


def anchor_grid(level_sizes: Sequence[tuple[int, int]], strides: Sequence[int], device: torch.device) -> AnchorGrid:
    """Makes the grid for feature maps of the given (height, width) at the given strides."""
    points, sizes = [], []
    for (height, width), stride in zip(level_sizes, strides, strict=True):
        x = torch.arange(width, dtype=torch.float32, device=device) + 0.5
        y = torch.arange(height, dtype=torch.float32, device=device) + 0.5
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        points.append(torch.stack((columns, rows), dim=-1).reshape(-1, 2) * stride)
        sizes.append(torch.full((height * width,), float(stride), device=device))
    levels = tuple((height, width, stride) for (height, width), stride in zip(level_sizes, strides, strict=True))
    return AnchorGrid(torch.cat(points), torch.cat(sizes), levels)


@functools.lru_cache(maxsize=32)
def _on_processor(levels: tuple[tuple[int, int, int], ...]) -> AnchorGrid:
    sizes, strides = [(height, width) for height, width, _ in levels], [stride for *_, stride in levels]
    return anchor_grid(sizes, strides, torch.device("cpu"))


def boxes_from_distributions(box_logits_BAR4: torch.Tensor, grid: AnchorGrid) -> torch.Tensor:
    """Takes logits (B, A, 4 x R) to boxes (B, A, 4) xyxy in px of the input.

    Each side's distance is the mean of its distribution over the bins 0..R-1, in strides (arXiv 2006.04388, eq. 3).
    """
    batch, anchors, width = box_logits_BAR4.shape
    bins = torch.arange(width // 4, dtype=box_logits_BAR4.dtype, device=box_logits_BAR4.device)
    shares = box_logits_BAR4.view(batch, anchors, 4, width // 4).softmax(dim=-1)
    distances_px = (shares @ bins) * grid.strides_A[:, None]
    return torch.cat((grid.points_px_A2 - distances_px[..., :2], grid.points_px_A2 + distances_px[..., 2:]), dim=-1)
