"""Overlaps at their edges: equal, touching, empty and inverted boxes; values and gradients stay finite."""

from __future__ import annotations

import itertools

import pytest
import torch

from peakmark.geometry.iou import complete_iou, pairwise_iou

UNIT = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
DEGENERATE = {
    "no width": [5.0, 2.0, 5.0, 8.0],
    "no height": [2.0, 5.0, 8.0, 5.0],
    "a point": [5.0, 5.0, 5.0, 5.0],
    "the origin": [0.0, 0.0, 0.0, 0.0],
    "inverted": [8.0, 8.0, 2.0, 2.0],
    "far away": [1e6, 1e6, 2e6, 2e6],
    "tiny": [5.0, 5.0, 5.0 + 1e-6, 5.0 + 1e-6],
    "ordinary": [1.0, 2.0, 7.0, 5.0],
}


def test_a_box_overlaps_itself_wholly_and_a_neighbour_not_at_all():
    neighbour = torch.tensor([[10.0, 0.0, 20.0, 10.0]])
    assert pairwise_iou(UNIT, UNIT).item() == pytest.approx(1, abs=1e-6)
    assert complete_iou(UNIT, UNIT).item() == pytest.approx(1, abs=1e-6)
    assert pairwise_iou(UNIT, neighbour).item() == 0


def test_empty_boxes_overlap_nothing():
    empty = torch.tensor([DEGENERATE["no width"], DEGENERATE["a point"], DEGENERATE["no height"]])
    assert pairwise_iou(empty, torch.cat((UNIT, empty))).count_nonzero() == 0


def test_no_boxes_give_an_empty_table():
    assert pairwise_iou(UNIT[:0], UNIT).shape == (0, 1)
    assert complete_iou(UNIT[:0], UNIT[:0]).shape == (0,)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(DEGENERATE, DEGENERATE)))
def test_complete_iou_and_its_gradient_are_finite(first: str, second: str):
    boxes = torch.tensor([DEGENERATE[first]], requires_grad=True)
    found = complete_iou(boxes, torch.tensor([DEGENERATE[second]]))
    torch.autograd.backward(found.sum())
    assert bool(found.isfinite().all())
    assert boxes.grad is not None
    assert bool(boxes.grad.isfinite().all())


def test_the_gradient_pulls_towards_the_truth_also_without_overlap():
    apart = torch.tensor([[20.0, 0.0, 30.0, 10.0]], requires_grad=True)
    torch.autograd.backward(complete_iou(apart, UNIT).sum())
    assert apart.grad is not None
    left, _, right, _ = apart.grad[0].tolist()
    assert left + right < 0  # moving the box to the left, towards the truth, raises it


def test_alpha_takes_no_part_in_the_gradient():
    box = torch.tensor([[0.0, 0.0, 12.0, 5.0]], dtype=torch.float64, requires_grad=True)
    true = torch.tensor([[1.0, 1.0, 6.0, 9.0]], dtype=torch.float64)
    torch.autograd.backward(complete_iou(box, true).sum())
    # The same with alpha as a constant, by finite differences.
    with torch.no_grad():

        def aspect(b: torch.Tensor) -> torch.Tensor:
            return 4 / torch.pi**2 * (torch.atan(torch.tensor(5 / 8)) - torch.atan((b[2] - b[0]) / (b[3] - b[1]))) ** 2

        def parts(b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return complete_iou(b[None], true)[0], aspect(b)

        iou = pairwise_iou(box, true)[0, 0]
        v = aspect(box[0])
        alpha = v / (1 - iou + v)
        for side in range(4):
            step = torch.zeros(4, dtype=torch.float64)
            step[side] = 1e-5
            (high, v_high), (low, v_low) = parts(box[0] + step), parts(box[0] - step)
            alpha_high = v_high / (1 - pairwise_iou(box + step, true)[0, 0] + v_high)
            alpha_low = v_low / (1 - pairwise_iou(box - step, true)[0, 0] + v_low)
            with_constant = (high + alpha_high * v_high - alpha * v_high) - (low + alpha_low * v_low - alpha * v_low)
            assert box.grad is not None
            assert box.grad[0, side].item() == pytest.approx(with_constant.item() / 2e-5, abs=1e-5)
