"""How much do two boxes overlap? Plain IoU for suppression, complete IoU for assignment and loss."""

from __future__ import annotations

import math

import torch

_EPSILON = 1e-7


def pairwise_iou(boxes_xyxy: torch.Tensor, others_xyxy: torch.Tensor) -> torch.Tensor:
    """Gives the IoU of every box (..., N, 4) with every other (..., M, 4) as (..., N, M), 0 to 1; empty ones: 0."""
    # Side by side, not (N, M, 2): operations along a last axis of two are several times slower.
    left, top, right, bottom = (side[..., :, None] for side in boxes_xyxy.unbind(-1))
    other_left, other_top, other_right, other_bottom = (side[..., None, :] for side in others_xyxy.unbind(-1))
    across = (torch.minimum(right, other_right) - torch.maximum(left, other_left)).clamp(min=0)
    down = (torch.minimum(bottom, other_bottom) - torch.maximum(top, other_top)).clamp(min=0)
    intersection = across * down
    area, other_area = (right - left) * (bottom - top), (other_right - other_left) * (other_bottom - other_top)
    return intersection / (area + other_area - intersection).clamp(min=_EPSILON)


def complete_iou(boxes_xyxy: torch.Tensor, others_xyxy: torch.Tensor) -> torch.Tensor:
    """Gives the complete IoU of boxes (..., 4) with others (..., 4), element by element, -1 to 1.

    IoU less the squared distance of the centres over the squared diagonal of the enclosing box, less the aspect term
    `alpha v` (Zheng et al., arXiv 1911.08287, eq. 8 to 11). As there, `alpha` takes no part in the gradient.
    """
    left, top, right, bottom = boxes_xyxy.unbind(-1)
    other_left, other_top, other_right, other_bottom = others_xyxy.unbind(-1)
    width, height = right - left, bottom - top + _EPSILON
    other_width, other_height = other_right - other_left, other_bottom - other_top + _EPSILON

    overlap_width = (torch.minimum(right, other_right) - torch.maximum(left, other_left)).clamp(min=0)
    overlap_height = (torch.minimum(bottom, other_bottom) - torch.maximum(top, other_top)).clamp(min=0)
    intersection = overlap_width * overlap_height
    iou = intersection / (width * height + other_width * other_height - intersection + _EPSILON)

    enclosing_width = torch.maximum(right, other_right) - torch.minimum(left, other_left)
    enclosing_height = torch.maximum(bottom, other_bottom) - torch.minimum(top, other_top)
    diagonal_squared = enclosing_width.square() + enclosing_height.square() + _EPSILON
    twice_x, twice_y = other_left + other_right - left - right, other_top + other_bottom - top - bottom
    distance_squared = (twice_x.square() + twice_y.square()) / 4

    aspect = (4 / math.pi**2) * (torch.atan(other_width / other_height) - torch.atan(width / height)).square()
    with torch.no_grad():
        alpha = aspect / (aspect - iou + (1 + _EPSILON))
    return iou - distance_squared / diagonal_squared - alpha * aspect
