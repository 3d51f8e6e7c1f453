"""Which of many overlapping boxes stay? Greedy non-maximum suppression per class, exact, of many images at once.

Images go side by side, padded with an empty box that overlaps nothing: few large operations instead of many small ones,
and on a GPU a handful of waits for a whole batch. Shapes: B images, K kept so far, S candidates looked at together.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from peakmark.geometry.iou import pairwise_iou

_BLOCK = 96
"""Candidates of an image looked at together. Any size gives the same result; with this one overlaps fit the cache."""


def suppress(
    boxes_xyxy: torch.Tensor,
    scores: torch.Tensor,
    classes: torch.Tensor,
    image_index: torch.Tensor,
    *,
    images: int,
    iou_threshold: float,
    max_kept: int,
) -> list[torch.Tensor]:
    """Gives for each of `images` the indices of its boxes that stay, best score first, at most `max_kept`.

    Equal to taking an image's candidates by descending score (ties: lower index first) and dropping each that overlaps
    a kept one of its class by more than `iou_threshold`. Boxes (N, 4), scores, classes and image_index (N,) share a
    device.
    """
    order = _by_image_and_score(scores, image_index)
    # From here on a candidate is its rank: the lower of two is the better one, and the last of all is no candidate.
    nothing = len(order)
    boxes_xyxy, classes = functional.pad(boxes_xyxy[order], (0, 0, 0, 1)), functional.pad(classes[order], (0, 1))
    counts_B = torch.bincount(image_index, minlength=images)
    first_B = counts_B.cumsum(0) - counts_B
    kept_BK = order.new_empty((images, 0))
    for start in range(0, int(counts_B.max()), _BLOCK):
        number_S = torch.arange(start, start + _BLOCK, device=order.device)
        block_BS = torch.where(number_S < counts_B[:, None], first_B[:, None] + number_S, nothing)
        rivals = _overlap(boxes_xyxy, classes, kept_BK, block_BS, iou_threshold).any(dim=1)
        among_BSS = _overlap(boxes_xyxy, classes, block_BS, block_BS, iou_threshold)
        stays_BS = _greedy(among_BSS, (block_BS != nothing) & ~rivals)
        kept_BK = torch.cat((kept_BK, torch.where(stays_BS, block_BS, nothing)), dim=1).sort(dim=1).values
        kept_B = (kept_BK != nothing).sum(dim=1)
        kept_BK = kept_BK[:, : int(kept_B.max())]
        # The greedy order makes the first max_kept survivors final: what follows scores lower and can't replace them.
        if bool(((kept_B >= max_kept) | (counts_B <= start + _BLOCK)).all()):
            break
    kept_BK = kept_BK[:, :max_kept]
    is_there = kept_BK != nothing
    return list(torch.split(order[kept_BK[is_there]], is_there.sum(dim=1).tolist()))


def _by_image_and_score(scores: torch.Tensor, image_index: torch.Tensor) -> torch.Tensor:
    by_score = torch.sort(scores, descending=True, stable=True).indices
    return by_score[torch.sort(image_index[by_score], stable=True).indices]


def _overlap(
    boxes_xyxy: torch.Tensor, classes: torch.Tensor, first_BM: torch.Tensor, second_BN: torch.Tensor, threshold: float
) -> torch.Tensor:
    """Whether boxes of the same class and image overlap by more than the threshold, (B, M, N)."""
    same_class = classes[first_BM][:, :, None] == classes[second_BN][:, None, :]
    return same_class & (pairwise_iou(boxes_xyxy[first_BM], boxes_xyxy[second_BN]) > threshold)


def _greedy(overlap_BSS: torch.Tensor, eligible_BS: torch.Tensor) -> torch.Tensor:
    """Solves `kept[j] = eligible[j] and no kept i < j overlaps j` by iteration; each round settles at least one."""
    earlier = overlap_BSS.triu(diagonal=1).to(torch.float32)
    kept = eligible_BS
    while True:
        settled = eligible_BS & ((kept.to(torch.float32)[:, None] @ earlier)[:, 0] == 0)
        if torch.equal(settled, kept):
            return kept
        kept = settled
