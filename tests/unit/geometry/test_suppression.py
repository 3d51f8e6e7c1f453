"""Suppression equals the naive greedy loop: ties, classes, thresholds met exactly, and wherever blocks end."""

from __future__ import annotations

import random
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.geometry import suppression
from peakmark.geometry.iou import pairwise_iou
from peakmark.geometry.suppression import suppress


def naive(
    boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor, iou_threshold: float, max_kept: int
) -> list[int]:
    overlap = pairwise_iou(boxes, boxes)
    kept: list[int] = []
    for candidate in sorted(range(len(scores)), key=lambda number: (-scores[number].item(), number)):
        rivals = [one for one in kept if classes[one] == classes[candidate]]
        if len(kept) < max_kept and all(overlap[one, candidate] <= iou_threshold for one in rivals):
            kept.append(candidate)
    return kept


def alone(
    boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor, *, iou_threshold: float, max_kept: int
) -> torch.Tensor:
    image = torch.zeros(len(boxes), dtype=torch.int64)
    (kept,) = suppress(boxes, scores, classes, image, images=1, iou_threshold=iou_threshold, max_kept=max_kept)
    return kept


@st.composite
def candidates(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    count = draw(st.integers(0, 24))
    whole = st.integers(0, 6)
    boxes = [[x, y, x + 1 + w, y + 1 + h] for x, y, w, h in (draw(st.tuples(*[whole] * 4)) for _ in range(count))]
    # Few different scores and classes, so that ties and rivals are common.
    scores = [draw(st.integers(1, 4)) / 4 for _ in range(count)]
    classes = [draw(st.integers(0, 1)) for _ in range(count)]
    return torch.tensor(boxes).reshape(-1, 4).float(), torch.tensor(scores), torch.tensor(classes, dtype=torch.int64)


@settings(deadline=None, max_examples=150)
@given(candidates(), st.integers(1, 9), st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]), st.sampled_from([1, 3, 8, 300]))
def test_equals_the_naive_loop(
    found: tuple[torch.Tensor, torch.Tensor, torch.Tensor], block: int, iou_threshold: float, max_kept: int
):
    with patch.object(suppression, "_BLOCK", block):
        kept = alone(*found, iou_threshold=iou_threshold, max_kept=max_kept)
    assert kept.tolist() == naive(*found, iou_threshold, max_kept)


@settings(deadline=None, max_examples=100)
@given(st.lists(candidates(), min_size=1, max_size=4), st.integers(1, 9), st.sampled_from([1, 3, 8]), st.randoms())
def test_images_side_by_side_are_as_alone(
    sets: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], block: int, max_kept: int, shuffle: random.Random
):
    """Whatever the order that the candidates of several images come in; images without any have none."""
    image = torch.cat([torch.full((len(scores),), number) for number, (_, scores, _) in enumerate(sets)]).long()
    boxes, scores, classes = (torch.cat(parts) for parts in zip(*sets, strict=True))
    mixed = torch.tensor(shuffle.sample(range(len(image)), len(image)), dtype=torch.int64)
    boxes, scores, classes, image = boxes[mixed], scores[mixed], classes[mixed], image[mixed]
    with patch.object(suppression, "_BLOCK", block):
        found = suppress(boxes, scores, classes, image, images=len(sets) + 1, iou_threshold=0.5, max_kept=max_kept)
    assert len(found) == len(sets) + 1
    for number, kept in enumerate(found):
        own = (image == number).nonzero()[:, 0]
        assert kept.tolist() == own[naive(boxes[own], scores[own], classes[own], 0.5, max_kept)].tolist()


def test_equals_the_naive_loop_over_several_whole_blocks():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(1200, 2, generator=generator) * 60
    boxes = torch.cat((corner, corner + 5 + 20 * torch.rand(1200, 2, generator=generator)), dim=1)
    scores = (torch.rand(1200, generator=generator) * 50).round() / 50
    classes = torch.randint(0, 3, (1200,), generator=generator)
    kept = alone(boxes, scores, classes, iou_threshold=0.6, max_kept=300)
    assert kept.tolist() == naive(boxes, scores, classes, 0.6, 300)
    assert len(kept) == 300


def test_a_dropped_box_drops_no_other():
    # 0 drops 1; 2 overlaps only 1 enough, so it stays.
    boxes = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]])
    kept = alone(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3), iou_threshold=0.5, max_kept=10)
    assert kept.tolist() == [0, 2]


def test_an_overlap_of_just_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])  # IoU 0.5, exact in binary
    assert alone(boxes, torch.tensor([0.9, 0.8]), torch.zeros(2), iou_threshold=0.5, max_kept=10).tolist() == [0, 1]
    assert alone(boxes, torch.tensor([0.9, 0.8]), torch.zeros(2), iou_threshold=0.49, max_kept=10).tolist() == [0]


@pytest.mark.parametrize("max_kept", [1, 300])
def test_no_candidates_give_none(max_kept: int):
    none = torch.zeros(0)
    assert alone(torch.zeros(0, 4), none, none, iou_threshold=0.7, max_kept=max_kept).tolist() == []
