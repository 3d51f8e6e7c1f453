"""Overlaps against brute force: pixels counted, and the paper's formulas written out for one pair at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.geometry.iou import complete_iou, pairwise_iou

Box = tuple[float, float, float, float]


def slow_iou(box: Box, other: Box) -> float:
    width = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
    height = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
    union = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - width * height
    return width * height / union


def slow_complete_iou(predicted: Box, true: Box) -> float:
    """Zheng et al., arXiv 1911.08287: R_CIoU = rho^2 / c^2 + alpha v, eq. 8 to 11."""
    rho_squared = ((predicted[0] + predicted[2] - true[0] - true[2]) / 2) ** 2
    rho_squared += ((predicted[1] + predicted[3] - true[1] - true[3]) / 2) ** 2
    c_squared = (max(predicted[2], true[2]) - min(predicted[0], true[0])) ** 2
    c_squared += (max(predicted[3], true[3]) - min(predicted[1], true[1])) ** 2
    angle_true = math.atan((true[2] - true[0]) / (true[3] - true[1]))
    angle = math.atan((predicted[2] - predicted[0]) / (predicted[3] - predicted[1]))
    v = 4 / math.pi**2 * (angle_true - angle) ** 2
    iou = slow_iou(predicted, true)
    alpha = v / ((1 - iou) + v) if v > 0 else 0.0
    return iou - rho_squared / c_squared - alpha * v


def random_boxes(count: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 300, (count, 2)), rng.uniform(0.5, 200, (count, 2))
    return torch.from_numpy(np.concatenate((corner, corner + size), axis=1))


def test_iou_equals_counted_pixels():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 20, (30, 2))
    boxes = np.concatenate((low, low + rng.integers(1, 13, (30, 2))), axis=1)
    masks = np.zeros((30, 32, 32), dtype=bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    both = (masks[:, None] & masks[None]).sum(axis=(2, 3))
    either = (masks[:, None] | masks[None]).sum(axis=(2, 3))
    found = pairwise_iou(torch.from_numpy(boxes).double(), torch.from_numpy(boxes).double())
    np.testing.assert_allclose(found.numpy(), both / either, rtol=1e-12)
    assert (both > 0).mean() > 0.1, "the boxes must overlap, or nothing is tested"


def test_complete_iou_equals_the_paper():
    boxes, others = random_boxes(500, 1), random_boxes(500, 2)
    expected = [slow_complete_iou(tuple(a), tuple(b)) for a, b in zip(boxes.tolist(), others.tolist(), strict=True)]
    found = complete_iou(boxes, others)
    # The guards against division by zero, 1e-7 px, show beside boxes of half a px.
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    single = complete_iou(boxes.float(), others.float())
    np.testing.assert_allclose(single.numpy(), expected, atol=1e-4)
    assert (found < 0).any()
    assert (found > 0.3).any()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_complete_iou_is_symmetric_in_value_bounded_and_at_most_iou(seed: int):
    boxes, others = random_boxes(20, seed), random_boxes(20, seed + 1)
    found = complete_iou(boxes, others)
    assert torch.allclose(found, complete_iou(others, boxes), atol=1e-6)
    assert bool((found <= pairwise_iou(boxes, others).diagonal() + 1e-6).all())
    assert bool((found > -2).all())
