"""Which anchor answers for which truth? Task-aligned assignment (TOOD, arXiv 2108.07755, section 3.2).

An anchor's alignment with a truth is `score ** ALPHA * CIoU ** BETA`. Each truth takes its best anchors among those
whose centre lies inside it; an anchor claimed twice goes to the truth it overlaps most. Nothing here is differentiated.
By the newer rules of training, the best of a truth's anchors gets its best overlap as its target however small that is,
and a truth that lies between the centres of the finest level takes the nearest of them. A run keeps its version.

Which anchors lie inside which truths is found on the processor, which has the truths; everything after that is computed
where the network's outputs are, with shapes that don't depend on them.
Shapes: B batch, A anchors, C classes, N truths of the whole batch, K best of a truth, P pairs of a truth and an anchor
inside it, M entries of an assignment.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from peakmark.geometry.anchors import AnchorGrid
from peakmark.geometry.iou import complete_iou
from peakmark.machine.apart import is_apart, sent
from peakmark.settings.recipe import Since

ALPHA = 0.5
BETA = 6.0
ANCHORS_PER_TRUTH = 10
_EPSILON = 1e-9
"""Of version 1. An untrained box's alignment with an object of under some 16 px is smaller: it was never learnt."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Truths and the anchors inside them, P pairs, by truth and then by anchor."""

    truth_P: torch.Tensor
    """Index into the truths of the batch."""
    anchor_P: torch.Tensor

    def on(self, device: torch.device) -> Pairs:
        """The same on a device."""
        return Pairs(sent(self.truth_P, device), sent(self.anchor_P, device))


@dataclass(frozen=True, slots=True)
class Assignment:
    """The positive anchors of a batch, M of them, each with the truth it answers for.

    On a device apart, entries that answer for nothing are among them, with a target of 0: how many anchors answer is
    known only there, and to ask would be to wait for it.
    """

    image_M: torch.Tensor
    anchor_M: torch.Tensor
    truth_M: torch.Tensor
    """Index into the truths of the batch."""
    target_score_M: torch.Tensor
    """Soft target of the truth's class, 0 to 1."""

    def only(self, kept_M: torch.Tensor) -> Assignment:
        """Those entries alone; waits for the device."""
        kept = kept_M.nonzero().squeeze(1)
        return Assignment(self.image_M[kept], self.anchor_M[kept], self.truth_M[kept], self.target_score_M[kept])


def pairs_inside(grid: AnchorGrid, truth_boxes_xyxy_px_N4: torch.Tensor, *, version: int) -> Pairs:
    """Finds the anchors that may answer for each truth. Both on the processor, so that their number is known at once.

    `version`: of the rules, see `settings/recipe.py`.
    """
    inside_NA = _inside(grid, truth_boxes_xyxy_px_N4)
    if version >= Since.ANY_SIZE_HAS_TARGETS:
        _add_nearest_to_lone(inside_NA, grid, truth_boxes_xyxy_px_N4)
    return Pairs(*inside_NA.nonzero(as_tuple=True))


@torch.no_grad()
def assign(
    scores_BAC: torch.Tensor,
    boxes_xyxy_px_BA4: torch.Tensor,
    pairs: Pairs,
    truth_boxes_xyxy_px_N4: torch.Tensor,
    truth_classes_N: torch.Tensor,
    truth_image_N: torch.Tensor,
    *,
    version: int,
) -> Assignment:
    """Assigns anchors to the truths of the whole batch at once; images without truths simply get none.

    All on one device, which isn't waited for. `version`: of the rules, see `settings/recipe.py`.
    """
    truths, anchors = len(truth_classes_N), scores_BAC.shape[1]
    truth_P, anchor_P = pairs.truth_P, pairs.anchor_P
    image_P = truth_image_N[truth_P]
    if len(truth_P) == 0:
        return Assignment(image_P, anchor_P, truth_P, scores_BAC.new_zeros(0))
    overlap_P = complete_iou(truth_boxes_xyxy_px_N4[truth_P], boxes_xyxy_px_BA4[image_P, anchor_P]).clamp(min=0)
    score_P = scores_BAC[image_P, anchor_P, truth_classes_N[truth_P]]
    # To the sixth power an overlap of 1e-7 is no number any more, so it is taken as a share of the truth's best one.
    share_P = overlap_P if version < Since.ANY_SIZE_HAS_TARGETS else _share(overlap_P, truth_P, truths)
    alignment_P = score_P.pow(ALPHA) * share_P.pow(BETA)

    best_M, is_pair_M = _best_per_truth(alignment_P, pairs, truths, anchors)
    truth_M, anchor_M, image_M = truth_P[best_M], anchor_P[best_M], image_P[best_M]
    # What is no pair overlaps less than nothing: it takes no anchor from those that are.
    overlap_M = torch.where(is_pair_M, overlap_P[best_M], -1.0)
    won_M = _wins_anchor(image_M * anchors + anchor_M, overlap_M, scores_BAC.shape[0] * anchors)
    overlap_M, alignment_M = torch.where(won_M, overlap_M, 0.0), torch.where(won_M, alignment_P[best_M], 0.0)

    best_overlap_N = _maximum_per(truth_M, overlap_M, truths)
    if version < Since.ANY_SIZE_HAS_TARGETS:
        best_alignment_N = _maximum_per(truth_M, alignment_M, truths)
        target_score_M = alignment_M * best_overlap_N[truth_M] / (best_alignment_N[truth_M] + _EPSILON)
    else:
        target_score_M = _share(alignment_M, truth_M, truths) * best_overlap_N[truth_M]
    found = Assignment(image_M, anchor_M, truth_M, target_score_M)
    # Without this line, sums on a processor would be taken over zeros as well, and have other last digits than before.
    return found if is_apart(scores_BAC.device) else found.only(won_M)


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
    alignment_P: torch.Tensor, pairs: Pairs, truths: int, anchors: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best pairs of each truth, in the order of the pairs, as many for each; and which of them are pairs at all."""
    # Dense (N, A) only for this step: -1 marks anchors outside, so that a truth with fewer than ten inside takes just
    # those, also where every alignment is 0 because nothing overlaps yet.
    dense_NA = alignment_P.new_full((truths, anchors), -1.0)
    dense_NA[pairs.truth_P, pairs.anchor_P] = alignment_P
    value_NK, anchor_NK = dense_NA.topk(min(ANCHORS_PER_TRUTH, anchors), dim=1)
    anchor_NK, order_NK = anchor_NK.sort(dim=1)
    is_pair_NK = value_NK.gather(1, order_NK) >= 0
    first_anchor_N1 = torch.arange(truths, device=alignment_P.device)[:, None] * anchors
    place_P = pairs.truth_P * anchors + pairs.anchor_P
    best_NK = torch.searchsorted(place_P, first_anchor_N1 + anchor_NK).clamp_(max=len(place_P) - 1)
    return best_NK.flatten(), is_pair_NK.flatten()


def _wins_anchor(cell_M: torch.Tensor, overlap_M: torch.Tensor, cells: int) -> torch.Tensor:
    """Which entries keep their anchor when several truths of an image claim it: the most overlap, then the first.

    One whose overlap is under 0 never does.
    """
    top_M = overlap_M >= _maximum_per(cell_M, overlap_M, cells)[cell_M]
    rank_M = torch.arange(len(cell_M), device=cell_M.device)
    first = torch.full((cells,), len(cell_M), dtype=torch.int64, device=cell_M.device)
    first.scatter_reduce_(0, cell_M, torch.where(top_M, rank_M, len(cell_M)), "amin")
    return first[cell_M] == rank_M


def _maximum_per(group_P: torch.Tensor, value_P: torch.Tensor, groups: int) -> torch.Tensor:
    """The largest value of each group, 0 for an empty one."""
    return value_P.new_zeros(groups).scatter_reduce_(0, group_P, value_P, "amax")
