"""What does a detector put out, and what is its error?

Shape letters: B images of a batch, A anchors, C classes, R bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from peakmark.geometry.anchors import AnchorGrid


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """The raw outputs of the detector for a batch, and the anchors they belong to."""

    box_logits_BAR4: torch.Tensor
    """(B, A, 4 x R): left, top, right, bottom, each a distribution over R bins, in strides"""
    class_logits_BAC: torch.Tensor
    grid: AnchorGrid


@dataclass(frozen=True, slots=True)
class LossSums:
    """Unweighted sums of the three loss terms over a batch, and the sum of target scores they are divided by."""

    box: torch.Tensor
    cls: torch.Tensor
    dfl: torch.Tensor
    target_scores: torch.Tensor


@dataclass(frozen=True, slots=True)
class Losses:
    """The three losses as they are logged: with their gains, divided by the sum of target scores."""

    box: float
    cls: float
    dfl: float
