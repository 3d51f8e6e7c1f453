"""What does training minimise? Overlap, class and distribution terms over the anchors that were assigned a truth.

Always in float32, whatever the network computed in. Shapes: B batch, A anchors, C classes, R bins, M positive
anchors and, on a device apart, entries that weigh 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from peakmark.geometry.anchors import AnchorGrid, boxes_from_distributions
from peakmark.geometry.iou import complete_iou
from peakmark.loss.assignment import Assignment, assign, pairs_inside
from peakmark.machine.apart import sent
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Gains, HeadOutput, LossSums

_BELOW_LAST_BIN = 0.01
"""A distance of exactly the last bin would need a bin to its right to lie between."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What a run minimises: the weighted sum of its losses, with targets by one version of the rules."""

    gains: Gains
    version: int
    """See `settings/recipe.py`."""
    class_weights: tuple[float, ...] = ()
    """Of each class in the class loss; empty where all weigh the same."""


def detection_loss(output: HeadOutput, batch: Batch, *, version: int, class_weights: Sequence[float] = ()) -> LossSums:
    """Gives the sums of the terms over the batch and the sum of target scores, as float32 scalars with gradient.

    The loss is `gain * term / max(target scores, 1)` added over the terms; whoever adds owns the gains. `version`: of
    the rules by which anchors get their targets. `class_weights`: C of them, or none.
    """
    device = output.class_logits_BAC.device
    pairs = pairs_inside(output.grid.on_processor(), batch.boxes_xyxy_px, version=version).on(device)
    truth_boxes, truth_classes = sent(batch.boxes_xyxy_px, device), sent(batch.classes, device)
    with torch.no_grad():
        predicted_boxes = boxes_from_distributions(output.box_logits_BAR4, output.grid)
        scores = output.class_logits_BAC.sigmoid()
    truth_image = sent(batch.image_index, device)
    assignment = assign(scores, predicted_boxes, pairs, truth_boxes, truth_classes, truth_image, version=version)
    cls = _class_term(output.class_logits_BAC, assignment, truth_classes, class_weights)
    target_boxes = truth_boxes[assignment.truth_M]
    # Boxes once more, with a gradient, of the few that have one: over all anchors it would be zeros for the most part.
    logits_MR4 = output.box_logits_BAR4[assignment.image_M, assignment.anchor_M]
    grid_M = AnchorGrid(output.grid.points_px_A2[assignment.anchor_M], output.grid.strides_A[assignment.anchor_M])
    found = boxes_from_distributions(logits_MR4[None], grid_M)[0]
    box = _overlap_term(found, target_boxes, assignment)
    dfl = _distribution_term(logits_MR4, grid_M, target_boxes, assignment)
    return LossSums(box, cls, dfl, assignment.target_score_M.sum())


def _class_term(
    logits_BAC: torch.Tensor, assignment: Assignment, truth_classes: torch.Tensor, class_weights: Sequence[float]
) -> torch.Tensor:
    """Binary cross-entropy of every class of every anchor against soft targets; background is 0 everywhere.

    A class's weight is that of its whole column, positives and background alike: the score at which a column's loss is
    least then stays the expected target, whatever its weight. Of the positives alone, a weight of 10 would have a place
    where one time in ten there is the class score 0.53 instead of 0.1: a rare class would be found by false alarms.
    """
    target_BAC = torch.zeros_like(logits_BAC)
    place = (assignment.image_M, assignment.anchor_M, truth_classes[assignment.truth_M])
    # Added, not written: where an anchor has entries that lost it, their target of 0 must not take the winner's place.
    target_BAC.index_put_(place, assignment.target_score_M, accumulate=True)
    # No weights rather than ones: a multiplication by 1 would change no bit, but take its time.
    weights = torch.tensor(class_weights, dtype=logits_BAC.dtype) if class_weights else None
    weight_C = None if weights is None else sent(weights, logits_BAC.device)
    return functional.binary_cross_entropy_with_logits(logits_BAC, target_BAC, weight_C, reduction="sum")


def _overlap_term(found: torch.Tensor, target_boxes: torch.Tensor, assignment: Assignment) -> torch.Tensor:
    """`1 - CIoU`, weighted by the target score (arXiv 1911.08287)."""
    overlap = complete_iou(found, target_boxes)
    return ((1 - overlap) * assignment.target_score_M).sum()


def _distribution_term(
    logits_MR4: torch.Tensor, grid_M: AnchorGrid, target_boxes: torch.Tensor, assignment: Assignment
) -> torch.Tensor:
    """Cross-entropy of the two bins around each true distance, mean over the sides (arXiv 2006.04388, eq. 6)."""
    bins = logits_MR4.shape[1] // 4
    points = grid_M.points_px_A2
    distances = (
        torch.cat((points - target_boxes[:, :2], target_boxes[:, 2:] - points), dim=1) / grid_M.strides_A[:, None]
    )
    distances = distances.clamp(0, bins - 1 - _BELOW_LAST_BIN)
    lower = distances.floor().long()
    upper_weight = distances - lower
    log_share = logits_MR4.view(-1, 4, bins).log_softmax(dim=-1)
    at_lower = log_share.gather(2, lower[..., None]).squeeze(2)
    at_upper = log_share.gather(2, lower[..., None] + 1).squeeze(2)
    cross_entropy = -(at_lower * (1 - upper_weight) + at_upper * upper_weight)
    return (cross_entropy.mean(dim=1) * assignment.target_score_M).sum()
