"""Looked at several times: what all views show comes back in px of the image and is suppressed together, exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.geometry.test_views import to_view

from peakmark.deploy.frames import Frame, Origin
from peakmark.deploy.predict import predict
from peakmark.geometry.anchors import AnchorGrid
from peakmark.geometry.letterbox import Letterbox
from peakmark.geometry.views import AUGMENTED, ONCE, View, Views
from peakmark.machine.devices import Arithmetic
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import Detector, build_detector, decode
from peakmark.model.predictor import Predictor, ReadyPredictor
from peakmark.model.scales import SCALES
from peakmark.nouns.images import Detections
from peakmark.nouns.losses import HeadOutput

ARITHMETIC = Arithmetic("cpu", "test", "float32", 1, True, True)
SEVERAL: Views = (View(1.0), View(1.0, mirrored=True), View(0.83, mirrored=True), View(0.67))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 3, 96, 64), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def model(images) -> Detector:
    """It finds boxes of many sizes and scores, and other ones in a mirrored image."""
    model = build_detector(SCALES["yolov8t"], 3, seed=0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # with the statistics of a new network all outputs are alike
    for box, cls in zip(model.head.box, model.head.cls, strict=True):
        box[-1].weight.data.mul_(8)  # type: ignore[index]
        box[-1].bias.data.copy_(torch.linspace(2, -2, 16).repeat(4))  # type: ignore[index]
        cls[-1].weight.data.mul_(1.5)  # type: ignore[index]
        cls[-1].bias.data.fill_(0.0)  # type: ignore[index]
    with torch.no_grad():
        model.train()(images.float() / 255)
    return model


def predictor(
    model: Detector,
    views: Views = SEVERAL,
    *,
    arithmetic: Arithmetic = ARITHMETIC,
    thresholds: Thresholds = Thresholds(0.5, 0.6, 300),  # noqa: B008 - frozen
    chunk: int = 2,
    one_class_per_box: bool = False,
) -> Predictor:
    return Predictor(model, arithmetic, thresholds, chunk=chunk, one_class_per_box=one_class_per_box, views=views)


def rows(found: Detections) -> np.ndarray:
    return np.concatenate((found.boxes_xyxy_px, found.scores[:, None], found.classes[:, None]), axis=1)


def same_bits(some: list[Detections], others: list[Detections]) -> bool:
    return [rows(one).tobytes() for one in some] == [rows(other).tobytes() for other in others]


def by_hand(model: Detector, image: torch.Tensor, views: Views, limits: Thresholds) -> np.ndarray:
    """Candidates of all views, one image, one class and one box after the other: rows of box, score, class."""
    once, candidates = predictor(model, ONCE), []
    height, width = image.shape[1:]
    for view in views:
        (seen,) = once.outputs(view.pixels(image[None]))
        boxes, scores = decode(seen.first)
        for box, by_class in zip(view.to_image(boxes[0], width, height).numpy(), scores[0].numpy(), strict=True):
            candidates += [(*box, score, number) for number, score in enumerate(by_class) if score > limits.confidence]
    kept: list[np.ndarray] = []
    for row in sorted(map(np.array, candidates), key=lambda row: -row[4]):
        rivals = [other for other in kept if other[5] == row[5] or limits.agnostic]
        if all(_iou(row, other) <= limits.iou for other in rivals):
            kept.append(row)
    return np.array(kept)[: limits.max_detections]


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:4], other[2:4]) - np.maximum(one[:2], other[:2])
    inside = max(sides[0], 0) * max(sides[1], 0)
    return float(inside / (sum((row[2] - row[0]) * (row[3] - row[1]) for row in (one, other)) - inside))


@pytest.mark.parametrize(
    "limits", [Thresholds(0.5, 0.6, 300), Thresholds(0.5, 0.3, 300, True), Thresholds(0.5, 0.6, 7)]
)
def test_all_views_are_suppressed_together_as_by_hand(model, images, limits):
    found = predictor(model, thresholds=limits)(images[:1])[0]
    expected = by_hand(model, images[0], SEVERAL, limits)
    assert len(found) == len(expected) > 5
    np.testing.assert_allclose(rows(found), expected, rtol=1e-6, atol=1e-5)


def test_looked_at_once_gives_the_bits_that_the_network_and_suppression_give(model, images):
    once = predictor(model, ONCE)(images)
    unasked = Predictor(model, ARITHMETIC, Thresholds(0.5, 0.6, 300), chunk=2, one_class_per_box=False)
    assert same_bits(once, unasked(images))
    expected = by_hand(model, images[0], ONCE, Thresholds(0.5, 0.6, 300)).astype(np.float32)
    assert rows(once[0]).astype(np.float32).tobytes() == expected.tobytes()
    assert not same_bits(once, predictor(model)(images))


def test_what_others_show_is_no_part_of_the_first_output(model, images):
    """Losses are made of it."""
    (several,), (once,) = (list(predictor(model, views, chunk=5).outputs(images)) for views in (SEVERAL, ONCE))
    assert torch.equal(several.first.box_logits_BAR4, once.first.box_logits_BAR4)
    assert torch.equal(several.first.class_logits_BAC, once.first.class_logits_BAC)
    assert (len(several.others), len(once.others)) == (3, 0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("views", [SEVERAL, AUGMENTED])
def test_grouping_moves_no_bit(model, images, views, precision):
    detect = predictor(model, views, arithmetic=Arithmetic("cpu", "test", precision, 1, True, True))
    whole = detect(images)
    assert same_bits(whole, [detect(image[None])[0] for image in images])
    assert same_bits(whole[1:], detect(images[1:]))
    assert all(len(found) for found in whole)


def test_boxes_for_a_person_have_one_class_in_every_view(model, images):
    limits = Thresholds(0.0, 1.0, 100_000)
    one, every = (
        predictor(model, thresholds=limits, one_class_per_box=single)(images[:1])[0] for single in (True, False)
    )
    assert len(every) == 3 * len(one)
    # 96 x 64 twice, 96 x 64 for 80 x 53, and 64 x 64 for 64 x 43: cells of 8, 16 and 32 px
    assert len(one) == 3 * (12 * 8 + 6 * 4 + 3 * 2) + (8 * 8 + 4 * 4 + 2 * 2)


def test_mirrored_images_give_mirrored_boxes_where_both_sides_are_looked_at(model, images):
    both = (View(1.0), View(1.0, mirrored=True))
    found, mirrored = (predictor(model, both)(pixels) for pixels in (images, images.flip(3)))
    for one, other in zip(found, mirrored, strict=True):
        back = rows(other)
        back[:, [0, 2]] = 64 - back[:, [2, 0]]
        assert len(one) > 5
        np.testing.assert_allclose(rows(one), back, atol=1e-4)
    once, once_mirrored = (predictor(model, ONCE)(pixels) for pixels in (images, images.flip(3)))
    assert [len(one) for one in once] != [len(one) for one in once_mirrored]


class Known:
    """Stands for a network that sees one box, another one in each view, of an image of known size."""

    def __init__(self, boxes_xyxy_px: np.ndarray, views: Views, box: Letterbox) -> None:
        """`boxes_xyxy_px`: (views, 4) in px of the image."""
        padded = boxes_xyxy_px.astype(np.float64).copy()
        for axis, (inner, size, start) in enumerate(
            ((box.inner_width_px, box.width_px, box.left_px), (box.inner_height_px, box.height_px, box.top_px))
        ):
            padded[:, axis::2] = padded[:, axis::2] * inner / size + start
        size_px = box.padded_width_px, box.padded_height_px
        self._answers = [to_view(padded[[n]], view, *size_px)[0] for n, view in enumerate(views)]
        self._asked = 0

    def __call__(self, images_BCHW: torch.Tensor) -> HeadOutput:
        """The middle of the box is its anchor, and each half of a side is shared by the two bins next to it."""
        left, top, right, bottom = self._answers[self._asked]
        number, self._asked = self._asked, self._asked + 1
        width, height = right - left, bottom - top
        stride = max(width, height) / 16
        middle = torch.tensor([[(left + right) / 2, (top + bottom) / 2]], dtype=torch.float32)
        logits = torch.full((1, 1, 4, 16), -1000.0)
        for side, length in enumerate((width, height, width, height)):
            bins = length / 2 / stride
            lower = min(int(bins), 14)
            share = bins - lower
            logits[0, 0, side, lower] = float(np.log(max(1 - share, 1e-30)))
            logits[0, 0, side, lower + 1] = float(np.log(max(share, 1e-30)))
        classes = torch.full((1, 1, len(self._answers)), -50.0)
        classes[0, 0, number] = 3.0 - 0.1 * number
        strides = torch.tensor([stride], dtype=torch.float32)
        return HeadOutput(logits.view(1, 1, 64), classes, AnchorGrid(middle, strides))


DETECT = predictor(build_detector(SCALES["yolov8t"], len(SEVERAL), seed=0), chunk=1, one_class_per_box=True)


@settings(deadline=None)
@given(
    st.integers(1, 2000),
    st.integers(1, 2000),
    st.sampled_from([64, 320, 640, 1280]),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=len(SEVERAL), max_size=len(SEVERAL)),
)
def test_what_each_view_shows_comes_back_into_the_picture(width, height, side_px, fractions):
    corners = np.array(fractions).reshape(-1, 2, 2)
    corners.sort(axis=1)
    corners[:, 1] = np.maximum(corners[:, 1], np.minimum(corners[:, 0] + 0.01, 1))
    corners[:, 0] = np.minimum(corners[:, 0], corners[:, 1] - 0.01)
    boxes = (corners * [width, height]).reshape(-1, 4)
    DETECT._model = Known(boxes, SEVERAL, Letterbox(width, height, side_px))  # type: ignore[assignment]
    frame = Frame(np.zeros((height, width, 3), np.uint8), Origin("a.png", None, 0, 1))
    [found] = predict([frame], DETECT, names="abcd", side_px=side_px)
    assert found.boxes.cls.tolist() == [0, 1, 2, 3]
    # A view of 64 px can't tell a thousandth of a pixel of a picture of 2,000: there it is a thousandth of its own.
    assert np.abs(found.boxes.xyxy.numpy() - boxes).max() < 1e-3 * max(1, max(width, height) / side_px)


def test_a_predictor_is_kept_for_its_views(model):
    ready = ReadyPredictor()

    def made(views: Views) -> Predictor:
        limits = Thresholds(0.5, 0.7, 20)
        return ready.of(model, ARITHMETIC, limits, chunk=1, one_class_per_box=True, shared=False, views=views)

    once = made(ONCE)
    assert made(ONCE) is once
    several = made(SEVERAL)
    assert several is not once
    assert made(SEVERAL) is several
