"""The loss is differentiable where it should be, finite without truths, float32, and blind to the order of truths."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch
from torch.nn import functional

from peakmark.geometry.anchors import anchor_grid, boxes_from_distributions
from peakmark.loss import detection
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import HeadOutput, LossSums
from peakmark.settings.recipe import VERSION

SIDE_PX = 64
ANCHORS = 64 + 16 + 4
TRUTHS = ([4.0, 6.0, 30.0, 28.0], [20.0, 20.0, 60.0, 62.0], [33.0, 5.0, 61.0, 30.0])


def make(dtype: torch.dtype = torch.float32, truths: int = 3, images: int = 2) -> tuple[HeadOutput, Batch]:
    generator = torch.Generator().manual_seed(1)
    grid = anchor_grid([(8, 8), (4, 4), (2, 2)], (8, 16, 32), torch.device("cpu"))
    output = HeadOutput(
        torch.randn(images, ANCHORS, 64, generator=generator).to(dtype).requires_grad_(),
        torch.randn(images, ANCHORS, 2, generator=generator).to(dtype).requires_grad_(),
        grid,
    )
    batch = Batch(
        torch.zeros(images, 3, SIDE_PX, SIDE_PX, dtype=torch.uint8),
        torch.tensor(TRUTHS, dtype=dtype)[:truths],
        torch.tensor([0, 1, 1])[:truths],
        torch.tensor([0, 0, 1])[:truths],
        ("a.png", "b.png")[:images],
    )
    return output, batch


@pytest.fixture(params=range(1, VERSION + 1), autouse=True)
def _version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it holds by every version of the rules."""
    monkeypatch.setitem(globals(), "detection_loss", partial(detection.detection_loss, version=request.param))


detection_loss = partial(detection.detection_loss, version=VERSION)


def total(sums: LossSums) -> torch.Tensor:
    return sums.box * 7.5 + sums.cls * 0.5 + sums.dfl * 1.5


def test_gradient_equals_finite_differences():
    output, batch = make(torch.float64)
    torch.autograd.backward(total(detection_loss(output, batch)))
    # Of the class term only the logits' own part is differentiated, targets are constants. An anchor that answers for a
    # truth moves its target with its logit, so the check is made where targets stay: at the background.
    answered = _answered(output, batch)
    background = next(a for a in range(ANCHORS) if (0, a) not in answered)
    step = 1e-5
    for anchor, column in ((background, 0), (background, 1)):
        changed = [output.class_logits_BAC.detach().clone() for _ in range(2)]
        changed[0][0, anchor, column] += step
        changed[1][0, anchor, column] -= step
        high, low = (total(detection_loss(dataclasses.replace(output, class_logits_BAC=c), batch)) for c in changed)
        assert output.class_logits_BAC.grad is not None
        found = output.class_logits_BAC.grad[0, anchor, column].item()
        assert found == pytest.approx((high - low).item() / (2 * step), rel=1e-5)
        assert found != 0


def _answered(output: HeadOutput, batch: Batch) -> set[tuple[int, int]]:
    """Image and anchor of every positive: those whose box logits receive a gradient."""
    logits = output.box_logits_BAR4.detach().clone().requires_grad_()
    alone = HeadOutput(logits, output.class_logits_BAC.detach(), output.grid)
    torch.autograd.backward(total(detection_loss(alone, batch)))
    assert logits.grad is not None
    return {(int(i), int(a)) for i, a in logits.grad.abs().sum(dim=2).nonzero()}


def test_box_gradient_equals_finite_differences_with_the_assignment_held(monkeypatch: pytest.MonkeyPatch):
    from peakmark.loss.assignment import assign, pairs_inside

    output, batch = make(torch.float64)
    held = assign(
        output.class_logits_BAC.detach().sigmoid(),
        boxes_from_distributions(output.box_logits_BAR4.detach(), output.grid),
        pairs_inside(output.grid, batch.boxes_xyxy_px, version=VERSION),
        batch.boxes_xyxy_px,
        batch.classes,
        batch.image_index,
        version=VERSION,
    )
    monkeypatch.setattr(detection, "assign", lambda *_, **__: held)
    # The aspect term's alpha is a constant in the gradient, which a difference can't hold; truths of the aspect that is
    # predicted have none. So the distribution term is looked at on its own, and the overlap term by its direction.
    torch.autograd.backward(detection_loss(output, batch).dfl)
    image, anchor = int(held.image_M[0]), int(held.anchor_M[0])
    step = 1e-6
    for column in (0, 17, 40, 63):
        changed = [output.box_logits_BAR4.detach().clone() for _ in range(2)]
        changed[0][image, anchor, column] += step
        changed[1][image, anchor, column] -= step
        high, low = (detection_loss(dataclasses.replace(output, box_logits_BAR4=c), batch).dfl for c in changed)
        assert output.box_logits_BAR4.grad is not None
        found = output.box_logits_BAR4.grad[image, anchor, column].item()
        assert found == pytest.approx((high - low).item() / (2 * step), rel=1e-4, abs=1e-8)


def test_descending_the_gradient_lowers_the_loss():
    output, batch = make(torch.float64)
    before = detection_loss(output, batch)
    torch.autograd.backward(7.5 * before.box + 1.5 * before.dfl)
    assert output.box_logits_BAR4.grad is not None
    moved = (output.box_logits_BAR4 - 0.05 * output.box_logits_BAR4.grad).detach()
    after = detection_loss(dataclasses.replace(output, box_logits_BAR4=moved), batch)
    mean_before = (7.5 * before.box + 1.5 * before.dfl) / before.target_scores
    assert ((7.5 * after.box + 1.5 * after.dfl) / after.target_scores).item() < mean_before.item()


@pytest.mark.parametrize("truths", [0, 1])
def test_images_without_truths_give_a_finite_loss_and_gradient(truths: int):
    output, batch = make(truths=truths)  # with one truth, the second image is the background
    sums = detection_loss(output, batch)
    torch.autograd.backward(total(sums))
    assert bool(torch.isfinite(total(sums)))
    assert sums.cls.item() > 0
    for logits in (output.box_logits_BAR4, output.class_logits_BAC):
        assert logits.grad is not None
        assert bool(logits.grad.isfinite().all())
    if truths == 0:
        assert sums.box.item() == sums.dfl.item() == sums.target_scores.item() == 0
        assert output.box_logits_BAR4.grad is not None
        assert output.box_logits_BAR4.grad.count_nonzero() == 0


def test_the_order_of_an_images_truths_changes_nothing():
    output, batch = make()
    swapped = dataclasses.replace(batch, boxes_xyxy_px=batch.boxes_xyxy_px[[1, 0, 2]], classes=batch.classes[[1, 0, 2]])
    for name in ("box", "cls", "dfl", "target_scores"):
        first, second = (getattr(detection_loss(output, one), name).item() for one in (batch, swapped))
        assert first == pytest.approx(second, rel=1e-5)


def test_images_do_not_touch_each_other():
    output, batch = make()
    whole = detection_loss(output, batch)
    parts = []
    for image in (0, 1):
        own = batch.image_index == image
        alone = Batch(
            batch.images_BCHW[image : image + 1],
            batch.boxes_xyxy_px[own],
            batch.classes[own],
            torch.zeros(int(own.sum()), dtype=torch.int64),
            (batch.files[image],),
        )
        part = HeadOutput(output.box_logits_BAR4[[image]], output.class_logits_BAC[[image]], output.grid)
        parts.append(detection_loss(part, alone))
    for name in ("box", "cls", "dfl", "target_scores"):
        assert getattr(whole, name).item() == pytest.approx(sum(getattr(p, name).item() for p in parts), rel=1e-5)


def test_a_truth_beyond_the_last_bin_stays_finite():
    output, batch = make()
    huge = dataclasses.replace(batch, boxes_xyxy_px=torch.tensor([[-1e4, -1e4, 1e4, 1e4]] * 3))
    assert bool(torch.isfinite(total(detection_loss(output, huge))))


def test_a_class_weighs_in_its_whole_column():
    """By single columns: what the others hold is set to a score of 0, whose cross-entropy is 0."""
    output, batch = make(torch.float64)
    weights = (0.25, 3.0)
    with_both = detection_loss(output, batch, class_weights=weights)
    by_column: list[torch.Tensor] = []
    entropy = functional.binary_cross_entropy_with_logits

    def look(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, reduction: str) -> torch.Tensor:
        by_column.extend(entropy(logits[..., c], target[..., c], reduction="sum") for c in range(2))
        return entropy(logits, target, weight, reduction=reduction)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "binary_cross_entropy_with_logits", look)
        unweighted = detection_loss(output, batch)
    assert torch.stack(by_column).sum().item() == pytest.approx(unweighted.cls.item())
    expected = sum(weight * column.item() for weight, column in zip(weights, by_column, strict=True))
    assert with_both.cls.item() == pytest.approx(expected)
    for name in ("box", "dfl", "target_scores"):
        assert getattr(with_both, name).item() == getattr(unweighted, name).item()
    assert detection_loss(output, batch, class_weights=(2.0, 2.0)).cls.item() == pytest.approx(
        2 * unweighted.cls.item()
    )


def test_without_class_weights_nothing_is_multiplied(monkeypatch: pytest.MonkeyPatch):
    entropy = functional.binary_cross_entropy_with_logits
    given: list[torch.Tensor | None] = []

    def look(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, reduction: str) -> torch.Tensor:
        given.append(weight)
        return entropy(logits, target, weight, reduction=reduction)

    monkeypatch.setattr(functional, "binary_cross_entropy_with_logits", look)
    output, batch = make()
    off, ones = detection_loss(output, batch), detection_loss(output, batch, class_weights=(1.0, 1.0))
    assert given[0] is None
    assert given[1] is not None
    assert given[1].tolist() == [1, 1]
    assert torch.equal(off.cls, ones.cls)
