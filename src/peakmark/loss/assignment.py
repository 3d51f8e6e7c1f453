"""Which anchor answers for which truth? Task-aligned assignment (TOOD, arXiv 2108.07755, section 3.2).

An anchor's alignment with a truth is `score ** ALPHA * CIoU ** BETA`. Each truth takes its best anchors among those
whose centre lies inside it; an anchor claimed twice goes to the truth it overlaps most. Nothing here is differentiated.
By the newer rules of training, the best of a truth's anchors gets its best overlap as its target however small that is,
and a truth that lies between the centres of the finest level takes the nearest of them. A run keeps its version.
Shapes: B batch, A anchors, C classes, N truths of the whole batch, P pairs of a truth and an anchor inside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from peakmark.geometry.anchors import AnchorGrid
from peakmark.geometry.iou import complete_iou
from peakmark.settings.recipe import Since

ALPHA = 0.5
BETA = 6.0
ANCHORS_PER_TRUTH = 10
_EPSILON = 1e-9
"""Of version 1. An untrained box's alignment with an object of under some 16 px is smaller: it was never learnt."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The positive anchors of a batch, M of them, each with the truth it answers for."""

    image_M: torch.Tensor
    anchor_M: torch.Tensor
    truth_M: torch.Tensor
    """Index into the truths of the batch."""
    target_score_M: torch.Tensor
    """Soft target of the truth's class, 0 to 1."""


@torch.no_grad()
def assign(
    scores_BAC: torch.Tensor,
    boxes_xyxy_px_BA4: torch.Tensor,
    grid: AnchorGrid,
    truth_boxes_xyxy_px_N4: torch.Tensor,
    truth_classes_N: torch.Tensor,
    truth_image_N: torch.Tensor,
    *,
    version: int,
) -> Assignment:
    """Assigns anchors to the truths of the whole batch at once; images without truths simply get none.

    `version`: of the rules, see `settings/recipe.py`.
    """
    inside_NA = _inside(grid, truth_boxes_xyxy_px_N4)
    if version >= Since.ANY_SIZE_HAS_TARGETS:
        _add_nearest_to_lone(inside_NA, grid, truth_boxes_xyxy_px_N4)
    truth_P, anchor_P = inside_NA.nonzero(as_tuple=True)
    image_P = truth_image_N[truth_P]
    overlap_P = complete_iou(truth_boxes_xyxy_px_N4[truth_P], boxes_xyxy_px_BA4[image_P, anchor_P]).clamp(min=0)
    score_P = scores_BAC[image_P, anchor_P, truth_classes_N[truth_P]]
    # To the sixth power an overlap of 1e-7 is no number any more, so it is taken as a share of the truth's best one.
    share_P = overlap_P if version < Since.ANY_SIZE_HAS_TARGETS else _share(overlap_P, truth_P, len(truth_classes_N))
    alignment_P = score_P.pow(ALPHA) * share_P.pow(BETA)

    best = _best_per_truth(alignment_P, truth_P, anchor_P, len(truth_classes_N), len(grid.strides_A))
    truth_P, anchor_P, image_P = truth_P[best], anchor_P[best], image_P[best]
    overlap_P, alignment_P = overlap_P[best], alignment_P[best]

    won = _wins_anchor(image_P * len(grid.strides_A) + anchor_P, overlap_P, scores_BAC.shape[0] * scores_BAC.shape[1])
    truth_M, overlap_M, alignment_M = truth_P[won], overlap_P[won], alignment_P[won]

    truths = len(truth_classes_N)
    best_overlap_N = _maximum_per(truth_M, overlap_M, truths)
    if version < Since.ANY_SIZE_HAS_TARGETS:
        best_alignment_N = _maximum_per(truth_M, alignment_M, truths)
        target_score_M = alignment_M * best_overlap_N[truth_M] / (best_alignment_N[truth_M] + _EPSILON)
    else:
        target_score_M = _share(alignment_M, truth_M, truths) * best_overlap_N[truth_M]
    return Assignment(image_P[won], anchor_P[won], truth_M, target_score_M)


def _inside(grid: AnchorGrid, boxes_xyxy_px_N4: torch.Tensor) -> torch.Tensor:
    """Which anchor centres (A) lie inside which boxes (N): (N, A)."""
    x, y = grid.points_px_A2.unbind(1)
    left, top, right, bottom = boxes_xyxy_px_N4.unbind(1)
    across = (x > left[:, None]) & (x < right[:, None])
    return across & (y > top[:, None]) & (y < bottom[:, None])


def _add_nearest_to_lone(inside_NA: torch.Tensor, grid: AnchorGrid, boxes_xyxy_px_N4: torch.Tensor) -> None:
    """Adds to a box that lies between all centres of the finest level those of them that are nearest to it."""
    is_finest_A = grid.strides_A == grid.strides_A.min()
    # Of the few boxes that this is about alone: over all of them it would take longer than the rest of the assignment.
    lone_L = (~(inside_NA & is_finest_A).any(dim=1)).nonzero().squeeze(1)
    start_L2, end_L2 = boxes_xyxy_px_N4[lone_L, :2], boxes_xyxy_px_N4[lone_L, 2:]
    # At most half a stride away, to either side where it is in the very middle: so there is one in any case.
    reach_L2 = (end_L2 - start_L2).clamp(min=grid.strides_A.min()) / 2
    near_x_LA, near_y_LA = (
        (points_A - middle_L[:, None]).abs() <= reach_L[:, None]
        for points_A, middle_L, reach_L in zip(
            grid.points_px_A2.unbind(1), ((start_L2 + end_L2) / 2).unbind(1), reach_L2.unbind(1), strict=True
        )
    )
    inside_NA[lone_L] |= near_x_LA & near_y_LA & is_finest_A


def _share(value_P: torch.Tensor, truth_P: torch.Tensor, truths: int) -> torch.Tensor:
    """Each value as a share of its truth's largest, 0 to 1; 0 where that is 0."""
    largest_P = _maximum_per(truth_P, value_P, truths)[truth_P]
    return value_P / largest_P.clamp(min=torch.finfo(value_P.dtype).tiny)


def _best_per_truth(
    alignment_P: torch.Tensor, truth_P: torch.Tensor, anchor_P: torch.Tensor, truths: int, anchors: int
) -> torch.Tensor:
    """Which of the pairs are among the best of their truth: (P,) bool."""
    # Dense (N, A) only for this step: -1 marks anchors outside, so that a truth with fewer than ten inside takes just
    # those, also where every alignment is 0 because nothing overlaps yet.
    dense_NA = alignment_P.new_full((truths, anchors), -1.0)
    dense_NA[truth_P, anchor_P] = alignment_P
    best_value, best_anchor = dense_NA.topk(min(ANCHORS_PER_TRUTH, anchors), dim=1)
    chosen_NA = torch.zeros((truths, anchors), dtype=torch.bool, device=alignment_P.device)
    chosen_NA.scatter_(1, best_anchor, best_value >= 0)
    return chosen_NA[truth_P, anchor_P]


def _wins_anchor(cell_P: torch.Tensor, overlap_P: torch.Tensor, cells: int) -> torch.Tensor:
    """Which pairs keep their anchor when several truths of an image claim it: the most overlap, then the first."""
    top = overlap_P >= _maximum_per(cell_P, overlap_P, cells)[cell_P]
    rank_P = torch.arange(len(cell_P), device=cell_P.device)
    first = torch.full((cells,), len(cell_P), dtype=torch.int64, device=cell_P.device)
    first.scatter_reduce_(0, cell_P[top], rank_P[top], "amin")
    return first[cell_P] == rank_P


def _maximum_per(group_P: torch.Tensor, value_P: torch.Tensor, groups: int) -> torch.Tensor:
    """The largest value of each group, 0 for an empty one."""
    return value_P.new_zeros(groups).scatter_reduce_(0, group_P, value_P, "amax")
