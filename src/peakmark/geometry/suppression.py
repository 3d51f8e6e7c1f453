"""Which of many overlapping boxes stay? Greedy non-maximum suppression per class, exact and in few large operations."""

from __future__ import annotations

import torch

from peakmark.geometry.iou import pairwise_iou

_BLOCK = 512
"""Candidates looked at together. Any size gives the same result; this one keeps the overlap matrix in the cache."""


def suppress(
    boxes_xyxy: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor, *, iou_threshold: float, max_kept: int
) -> torch.Tensor:
    """Gives the indices of the boxes that stay, best score first, at most `max_kept`.

    Equal to taking candidates by descending score (ties: lower index first) and dropping each that overlaps a kept one
    of its class by more than `iou_threshold`. Boxes (N, 4), scores (N,) and classes (N,) share a device.
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    kept = order[:0]
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if len(kept):
            block = block[~_overlaps(boxes_xyxy, classes, kept, block, iou_threshold).any(dim=0)]
        kept = torch.cat((kept, block[_greedy(_overlaps(boxes_xyxy, classes, block, block, iou_threshold))]))
        # The greedy order makes the first max_kept survivors final: what follows scores lower and can't replace them.
        if len(kept) >= max_kept:
            break
    return kept[:max_kept]


def _overlaps(
    boxes_xyxy: torch.Tensor, classes: torch.Tensor, first: torch.Tensor, second: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    same_class = classes[first][:, None] == classes[second][None, :]
    return same_class & (pairwise_iou(boxes_xyxy[first], boxes_xyxy[second]) > iou_threshold)


def _greedy(overlaps: torch.Tensor) -> torch.Tensor:
    """Solves `kept[j] = no kept i < j overlaps j` by iteration; each round settles at least one more candidate."""
    earlier = overlaps.triu(diagonal=1).to(torch.float32)
    kept = torch.ones(len(overlaps), dtype=torch.bool, device=overlaps.device)
    while True:
        settled = (kept.to(torch.float32) @ earlier) == 0
        if torch.equal(settled, kept):
            return kept
        kept = settled
