"""The assignment and the loss against slow references, written as loops from the papers' words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.geometry.anchors import AnchorGrid, anchor_grid, boxes_from_distributions
from peakmark.geometry.boxes import cxcywh_from_xyxy
from peakmark.geometry.iou import complete_iou
from peakmark.loss.assignment import Assignment, assign, pairs_inside
from peakmark.loss.detection import detection_loss
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import HeadOutput
from peakmark.settings.recipe import VERSION

SIDE_PX = 64
Positive = tuple[int, int, int]
"""Image, anchor, truth."""


def grid_of(side_px: int = SIDE_PX) -> AnchorGrid:
    return anchor_grid([(side_px // s, side_px // s) for s in (8, 16, 32)], (8, 16, 32), torch.device("cpu"))


def slow_assignment(
    scores: torch.Tensor,
    boxes: torch.Tensor,
    grid: AnchorGrid,
    truths: torch.Tensor,
    classes: torch.Tensor,
    images: torch.Tensor,
    version: int,
) -> dict[Positive, float]:
    """TOOD (arXiv 2108.07755), section 3.2: the best 10 anchors inside each truth by score^0.5 x CIoU^6.

    From version 2 on a truth without one of stride 8 takes those that are at most 4 px from its middle, or inside it.
    """
    claims: dict[Positive, tuple[float, float]] = {}
    for truth, (box, label, image) in enumerate(zip(truths, classes, images, strict=True)):
        points = list(enumerate(grid.points_px_A2.tolist()))
        candidates = [anchor for anchor, (x, y) in points if box[0] < x < box[2] and box[1] < y < box[3]]
        if version >= 2 and all(grid.strides_A[anchor] != 8 for anchor in candidates):
            middle_x, middle_y, width, height = cxcywh_from_xyxy(box).tolist()
            candidates += [
                anchor
                for anchor, (x, y) in points
                if grid.strides_A[anchor] == 8
                and abs(x - middle_x) <= max(width, 8) / 2
                and abs(y - middle_y) <= max(height, 8) / 2
            ]
        inside = []
        for anchor in candidates:
            overlap = max(0.0, complete_iou(box, boxes[image, anchor]).item())
            inside.append((scores[image, anchor, label].item() ** 0.5 * overlap**6, overlap, anchor))
        inside.sort(key=lambda one: -one[0])
        for alignment, overlap, anchor in inside[:10]:
            claims[int(image), anchor, truth] = (alignment, overlap)
    owner: dict[tuple[int, int], int] = {}
    for (image, anchor, truth), (_, overlap) in sorted(claims.items(), key=lambda one: one[0][2]):
        held = owner.get((image, anchor))
        if held is None or overlap > claims[image, anchor, held][1]:
            owner[image, anchor] = truth
    won = {(image, anchor, truth): claims[image, anchor, truth] for (image, anchor), truth in owner.items()}
    targets = {}
    for positive, (alignment, _) in won.items():
        own = [claim for other, claim in won.items() if other[2] == positive[2]]
        best_alignment, best_overlap = max(a for a, _ in own), max(o for _, o in own)
        if version == 1:
            targets[positive] = alignment * best_overlap / (best_alignment + 1e-9)
        else:
            targets[positive] = alignment * best_overlap / best_alignment if best_alignment > 0 else 0.0
    return targets


def as_dict(found: Assignment) -> dict[Positive, float]:
    columns = (found.image_M, found.anchor_M, found.truth_M, found.target_score_M)
    return {(i, a, t): score for i, a, t, score in zip(*(column.tolist() for column in columns), strict=True)}


def random_case(seed: int, images: int = 2, classes: int = 3) -> dict[str, torch.Tensor]:
    """Crowded truths, some of them smaller than a cell, and predictions that stray around them."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 9))
    low = rng.uniform(-4, SIDE_PX - 8, (count, 2))
    truths = np.concatenate((low, low + rng.uniform(2, 40, (count, 2))), axis=1)
    points = grid_of().points_px_A2.numpy()
    reach = rng.uniform(2, 30, (images, len(points), 4))
    boxes = np.concatenate((points - reach[..., :2], points + reach[..., 2:]), axis=2)
    return {
        "scores": torch.from_numpy(rng.uniform(0.001, 1, (images, len(points), classes))),
        "boxes": torch.from_numpy(boxes),
        "truths": torch.from_numpy(truths),
        "classes": torch.from_numpy(rng.integers(0, classes, count)),
        "images": torch.from_numpy(np.sort(rng.integers(0, images, count))),
    }


def both(
    case: dict[str, torch.Tensor], grid: AnchorGrid, version: int = VERSION
) -> tuple[dict[Positive, float], dict[Positive, float]]:
    rest = (case["truths"], case["classes"], case["images"])
    pairs = pairs_inside(grid, case["truths"], version=version)
    found = as_dict(assign(case["scores"], case["boxes"], pairs, *rest, version=version))
    return found, slow_assignment(case["scores"], case["boxes"], grid, *rest, version)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 100_000), st.integers(1, VERSION))
def test_assignment_equals_the_slow_one(seed: int, version: int):
    found, expected = (
        {p: score for p, score in one.items() if score > 0} for one in both(random_case(seed), grid_of(), version)
    )
    # Anchors that overlap nothing are alike; which of them fill up the ten weighs nothing, their target is 0.
    assert found == pytest.approx(expected, abs=1e-9)


def test_random_cases_hold_what_is_to_be_tested():
    kinds = set()
    for seed in range(40):
        case = random_case(seed)
        found, _ = both(case, grid_of(), version=1)
        answered = {truth for _, _, truth in found}
        kinds.add("no truths" if not len(case["truths"]) else "truths")
        kinds |= {"a truth without anchors"} if answered != set(range(len(case["truths"]))) else set()
        kinds |= {"ten anchors"} if any([t for _, _, t in found].count(n) == 10 for n in answered) else set()
    assert kinds == {"no truths", "truths", "a truth without anchors", "ten anchors"}


def place(box: tuple[float, float, float, float], **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    """One truth in one image; every anchor predicts just this box with score 0.25."""
    anchors = len(grid_of().strides_A)
    case = {
        "scores": torch.full((1, anchors, 1), 0.25, dtype=torch.float64),
        "boxes": torch.tensor(box, dtype=torch.float64).expand(1, anchors, 4).clone(),
        "truths": torch.tensor([box], dtype=torch.float64),
        "classes": torch.zeros(1, dtype=torch.int64),
        "images": torch.zeros(1, dtype=torch.int64),
    }
    return case | changes


def test_an_anchor_claimed_twice_goes_to_the_truth_it_overlaps_most():
    small, large = (20.0, 20.0, 36.0, 36.0), (16.0, 16.0, 40.0, 40.0)
    case = place(small, truths=torch.tensor([large, small], dtype=torch.float64))
    case["classes"] = case["images"] = torch.zeros(2, dtype=torch.int64)
    found, expected = both(case, grid_of())
    assert found == pytest.approx(expected)
    contested = [anchor for anchor, (x, y) in enumerate(grid_of().points_px_A2.tolist()) if 20 < x < 36 and 20 < y < 36]
    assert contested
    assert all(truth == 1 for _, anchor, truth in found if anchor in contested)


def test_equal_truths_share_nothing_the_first_takes_all():
    box = (8.0, 8.0, 40.0, 40.0)
    case = place(box, truths=torch.tensor([box, box], dtype=torch.float64))
    case["classes"] = case["images"] = torch.zeros(2, dtype=torch.int64)
    found, _ = both(case, grid_of())
    assert {truth for _, _, truth in found} == {0}
    assert len(found) == 10


@pytest.mark.parametrize(
    ("box", "nearest"),
    [
        ((17.0, 17.0, 19.0, 19.0), [(20, 20)]),
        ((30.0, 17.0, 34.0, 19.0), [(28, 20), (36, 20)]),  # in the very middle between two
        ((30.0, 30.0, 34.0, 34.0), [(28, 28), (36, 28), (28, 36), (36, 36)]),
        ((13.0, 29.5, 43.0, 34.5), [(20, 28), (28, 28), (36, 28), (20, 36), (28, 36), (36, 36)]),  # long and thin
        ((0.0, 0.0, 3.0, 3.0), [(4, 4)]),
        ((21.0, 21.0, 27.0, 27.0), [(20, 20), (28, 20), (20, 28), (28, 28), (24, 24)]),  # and one of stride 16 inside
    ],
)
def test_a_truth_between_the_centres_takes_the_nearest_ones(
    box: tuple[float, float, float, float], nearest: list[tuple[int, int]]
):
    found, expected = both(place(box), grid_of())
    assert [tuple(grid_of().points_px_A2[anchor].tolist()) for _, anchor, _ in found] == nearest
    assert found == pytest.approx(expected)
    assert list(found.values()) == pytest.approx([1.0] * len(nearest))
    inside = [(x, y) for x, y in nearest if box[0] < x < box[2] and box[1] < y < box[3]]
    assert len(both(place(box), grid_of(), version=1)[0]) == len(inside)


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(*[st.floats(0, 60)] * 2), st.tuples(*[st.floats(0.5, 64)] * 2), st.floats(-80, 80), st.integers(0, 1000)
)
def test_every_truth_has_a_target_near_its_best_overlap_however_small_that_is(
    start: tuple[float, float], size: tuple[float, float], logit: float, seed: int
):
    """The boxes of an untrained network are some 100 px wide and high; alignments are to the sixth power."""
    box = (*start, *(min(64.0, low + side) for low, side in zip(start, size, strict=True)))
    case, grid = place(box), grid_of()  # type: ignore[arg-type]
    reach = torch.rand(len(grid.strides_A), 4, generator=torch.Generator().manual_seed(seed)) * 150
    points = grid.points_px_A2
    case["boxes"] = torch.cat((points - reach[:, :2], points + reach[:, 2:]), dim=1)[None]
    case["scores"] = torch.full((1, len(points), 1), logit).sigmoid()
    case["truths"] = case["truths"].float()
    found, _ = both(case, grid)
    overlaps = [complete_iou(case["truths"][0], case["boxes"][0, anchor]).item() for _, anchor, _ in found]
    assert overlaps
    assert max(found.values()) == pytest.approx(max(0.0, *overlaps), rel=1e-4)


def test_version_1_gives_a_small_object_next_to_nothing():
    """What the rule fixes: one of 8 px, seen by a network that has learnt nothing yet."""
    case, grid = place((24.5, 24.5, 32.5, 32.5)), grid_of()
    points, reach = grid.points_px_A2.double(), 7.5 * grid.strides_A[:, None].double()
    case["boxes"] = torch.cat((points - reach, points + reach), dim=1)[None]
    case["scores"] = torch.full_like(case["scores"], 0.01)
    (before, _), (now, _) = (both(case, grid, version) for version in (1, 2))
    assert 0 < max(before.values()) < 1e-6
    assert max(now.values()) == pytest.approx(64 / 120**2, rel=0.1)


def test_a_centre_on_the_edge_is_not_inside():
    found, _ = both(place((4.0, 4.0, 12.5, 12.5)), grid_of())
    centres = [grid_of().points_px_A2[anchor].tolist() for _, anchor, _ in found]
    assert sorted(centres) == [[8.0, 8.0], [12.0, 12.0]]


def test_a_truth_that_nothing_overlaps_yet_still_takes_ten_anchors_with_target_zero():
    case = place((0.0, 0.0, 64.0, 64.0))
    case["boxes"] = torch.tensor([200.0, 200.0, 210.0, 210.0], dtype=torch.float64).expand_as(case["boxes"]).clone()
    found, _ = both(case, grid_of())
    assert len(found) == 10
    assert set(found.values()) == {0.0}


def test_the_best_anchor_of_a_truth_has_its_overlap_as_target():
    case = random_case(3, images=1)
    found, _ = both(case, grid_of())
    for truth in {truth for _, _, truth in found}:
        own = {anchor: score for _, anchor, t, score in ((*key, value) for key, value in found.items()) if t == truth}
        overlaps = [complete_iou(case["truths"][truth], case["boxes"][0, anchor]).item() for anchor in own]
        assert max(own.values()) == pytest.approx(max(0, *overlaps), abs=1e-6)


# --- the terms -----------------------------------------------------------------------------------------------------


def loss_case(seed: int, dtype: torch.dtype = torch.float64, *, images: int = 2) -> tuple[HeadOutput, Batch]:
    case, grid = random_case(seed, images), grid_of()
    generator = torch.Generator().manual_seed(seed)
    anchors = len(grid.strides_A)
    output = HeadOutput(
        torch.randn(images, anchors, 64, generator=generator, dtype=dtype).requires_grad_(),
        torch.randn(images, anchors, 3, generator=generator, dtype=dtype).requires_grad_(),
        grid,
    )
    pixels = torch.zeros(images, 3, SIDE_PX, SIDE_PX, dtype=torch.uint8)
    return output, Batch(pixels, case["truths"].to(dtype), case["classes"], case["images"], ("a.png",) * images)


def slow_terms(output: HeadOutput, batch: Batch, version: int = VERSION) -> tuple[float, float, float, float]:
    """The three sums and the sum of target scores, one anchor after another."""
    grid = output.grid
    boxes = boxes_from_distributions(output.box_logits_BAR4, grid).detach()
    scores = output.class_logits_BAC.detach().sigmoid()
    truths, classes = batch.boxes_xyxy_px, batch.classes
    positives = slow_assignment(scores, boxes, grid, truths, classes, batch.image_index, version)
    targets = {(image, anchor, int(classes[truth])): score for (image, anchor, truth), score in positives.items()}
    cls = 0.0
    for place_, score in np.ndenumerate(scores.numpy()):
        target = targets.get(place_, 0.0)
        cls -= target * math.log(score) + (1 - target) * math.log(1 - score)
    box = dfl = 0.0
    for (image, anchor, truth), weight in positives.items():
        box += weight * (1 - complete_iou(boxes[image, anchor], truths[truth]).item())
        x, y = grid.points_px_A2[anchor].tolist()
        left, top, right, bottom = truths[truth].tolist()
        sides = (x - left, y - top, right - x, bottom - y)
        for side, distance_px in enumerate(sides):
            # Between two bins, a true distance pulls at both, at the nearer one more (arXiv 2006.04388, eq. 6).
            distance = min(max(distance_px / grid.strides_A[anchor].item(), 0.0), 14.99)
            lower = int(distance)
            shares = output.box_logits_BAR4[image, anchor].detach().view(4, 16)[side].softmax(0).tolist()
            pulls = (lower + 1 - distance) * math.log(shares[lower]) + (distance - lower) * math.log(shares[lower + 1])
            dfl -= weight * pulls / 4
    return box, cls, dfl, sum(positives.values())


@pytest.mark.parametrize("version", range(1, VERSION + 1))
@pytest.mark.parametrize("seed", range(6))
def test_terms_equal_the_slow_ones(seed: int, version: int):
    output, batch = loss_case(seed)
    sums = detection_loss(output, batch, version=version)
    found = [term.item() for term in (sums.box, sums.cls, sums.dfl, sums.target_scores)]
    assert found == pytest.approx(slow_terms(output, batch, version), rel=1e-5, abs=1e-9)


def test_a_side_beyond_the_last_bin_pulls_at_the_last_two():
    generator = torch.Generator().manual_seed(0)
    grid = AnchorGrid(torch.tensor([[32.0, 32.0]], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64))
    output = HeadOutput(
        torch.randn(1, 1, 64, generator=generator, dtype=torch.float64).requires_grad_(),
        torch.randn(1, 1, 3, generator=generator, dtype=torch.float64).requires_grad_(),
        grid,
    )
    pixels = torch.zeros(1, 3, SIDE_PX, SIDE_PX, dtype=torch.uint8)
    sides_of_20 = torch.tensor([[12.0, 12.0, 52.0, 52.0]], dtype=torch.float64)
    batch = Batch(pixels, sides_of_20, torch.tensor([1]), torch.tensor([0]), ("a.png",))
    sums = detection_loss(output, batch, version=VERSION)
    assert sums.dfl.item() > 0
    assert sums.dfl.item() == pytest.approx(slow_terms(output, batch)[2], rel=1e-6)


def test_the_cases_have_positives():
    assert sum(detection_loss(*loss_case(seed), version=VERSION).target_scores.item() > 0 for seed in range(6)) >= 3
