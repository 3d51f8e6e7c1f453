"""What does an exported file compute? The fused network and its decoding, in forms that every converter knows.

Images (B, 3, H, W) float32, RGB, 0 to 1, to (B, 4 + C, A) float32: centre x, centre y, width and height in px of the
input, then a score per class, as other programs of the field expect it. The anchors follow from the input's size in
the graph, so a file whose size is free is right at any. Shapes: B images, A anchors, C classes, R bins.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from peakmark.geometry.anchors import anchor_grid
from peakmark.model.blocks import Doubled
from peakmark.model.detector import BINS, STRIDES, Detector
from peakmark.model.fuse import fused


class ExportedNetwork(nn.Module):
    """A detector as it is written into a file of another program, in evaluation mode."""

    def __init__(self, model: Detector) -> None:
        """Takes a copy; the model itself is left as it is."""
        super().__init__()
        self.detector = _with_plain_upsampling(fused(model))
        self.bins: torch.Tensor
        self.register_buffer("bins", torch.arange(BINS, dtype=torch.float32).view(1, BINS, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        detector = self.detector
        levels = detector.neck(*detector.backbone(images))
        # Channels first to the end: converters for small devices know no other order.
        sides, logits = (
            torch.cat([branch(level).flatten(2) for branch, level in zip(branches, levels, strict=True)], dim=2).float()
            for branches in (detector.head.box, detector.head.cls)
        )
        grid = anchor_grid([(level.shape[2], level.shape[3]) for level in levels], STRIDES, sides.device)
        # The mean over the bins as a convolution: a product with a vector is what some converters get wrong.
        shares_BR4A = sides.reshape(sides.shape[0], 4, BINS, -1).transpose(1, 2).softmax(dim=1)
        left_top, right_bottom = functional.conv2d(shares_BR4A, self.bins).flatten(1, 2).chunk(2, dim=1)
        points_px, strides = grid.points_px_A2.t()[None], grid.strides_A[None, None]
        first, last = points_px - left_top * strides, points_px + right_bottom * strides
        return torch.cat(((first + last) * 0.5, last - first, logits.sigmoid()), dim=1)


def _with_plain_upsampling(model: Detector) -> Detector:
    """`Doubled` takes another form under a compiler, which runtimes would carry out step by step."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Doubled):
                setattr(module, name, nn.Upsample(scale_factor=2, mode="nearest"))
    return model
