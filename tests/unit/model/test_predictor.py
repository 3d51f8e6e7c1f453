"""The one predict function: no number depends on how images were grouped, thresholds mean what they say."""

from __future__ import annotations

import copy

import pytest
import torch

from peakmark.geometry.anchors import anchor_grid
from peakmark.machine.devices import Arithmetic
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import STRIDES, Detector, build_detector, decode
from peakmark.model.fuse import fused
from peakmark.model.predictor import Predictor, ReadyPredictor
from peakmark.model.scales import SCALES
from peakmark.nouns.losses import HeadOutput

ARITHMETIC = Arithmetic("cpu", "test", "float32", 1, True, True)


@pytest.fixture(scope="module")
def model() -> Detector:
    model = build_detector(SCALES["yolov8n"], 3, seed=0)
    for branch in model.head.cls:
        branch[-1].bias.data.fill_(0.0)  # type: ignore[index]
    return model


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 3, 64, 64), generator=generator, dtype=torch.uint8)


def predictor(
    model: Detector,
    *,
    confidence: float = 0.5,
    iou: float = 0.7,
    most: int = 20,
    chunk: int = 2,
    one_class_per_box: bool = False,
) -> Predictor:
    thresholds = Thresholds(confidence, iou, most)
    return Predictor(model, ARITHMETIC, thresholds, chunk=chunk, one_class_per_box=one_class_per_box)


def test_grouping_moves_no_bit(model: Detector, images: torch.Tensor):
    detect = predictor(model)
    whole = detect(images)
    alone = [detect(image[None])[0] for image in images]
    shifted = detect(images[1:])
    for one, other in ((whole, alone), (whole[1:], shifted)):
        for a, b in zip(one, other, strict=True):
            assert a.boxes_xyxy_px.tobytes() == b.boxes_xyxy_px.tobytes()
            assert a.scores.tobytes() == b.scores.tobytes()
            assert a.classes.tolist() == b.classes.tolist()
    assert all(len(found) for found in whole)


def test_scores_of_an_image_follow_from_it_alone_to_its_last_anchor():
    """63 scores an image are no whole number of vectors: torch rounds a tensor's last ones otherwise than the rest."""
    generator = torch.Generator().manual_seed(0)
    boxes, logits = torch.zeros(5, 21, 64), 3 * torch.randn(5, 21, 3, generator=generator)
    grid = anchor_grid([(4, 4), (2, 2), (1, 1)], STRIDES, torch.device("cpu"))
    _, together = decode(HeadOutput(boxes, logits, grid))
    for number in range(5):
        own = slice(number, number + 1)
        assert torch.equal(decode(HeadOutput(boxes[own], logits[own], grid))[1][0], together[number])
    assert torch.allclose(logits.sigmoid(), together, rtol=1e-6)


def test_the_network_always_sees_whole_chunks_and_padding_is_cut_off_again(
    model: Detector, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []
    forward = Detector.forward

    def note(self: Detector, images: torch.Tensor) -> HeadOutput:
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(Detector, "forward", note)
    outputs = list(predictor(model, chunk=4).outputs(images))
    assert seen == [4, 4]
    assert [len(seen.first.class_logits_BAC) for seen in outputs] == [4, 1]


def test_scores_fall_and_lie_above_the_confidence(model: Detector, images: torch.Tensor):
    for confidence in (0.5, 0.501):
        for found in predictor(model, confidence=confidence)(images):
            assert (found.scores > confidence).all()
            assert (found.scores[1:] <= found.scores[:-1]).all()
    assert all(len(found) == 0 for found in predictor(model, confidence=0.9999)(images))


def test_at_most_so_many_are_kept_the_best_ones(model: Detector, images: torch.Tensor):
    many, few = predictor(model)(images), predictor(model, most=3)(images)
    for one, other in zip(many, few, strict=True):
        assert len(other) == 3
        assert one.scores[:3].tolist() == other.scores.tolist()


def test_a_box_for_a_person_has_one_class(model: Detector, images: torch.Tensor):
    several, single = (
        predictor(model, iou=1.0, confidence=0.0, most=10_000, one_class_per_box=one)(images[:1])[0]
        for one in (False, True)
    )
    anchors = 64 + 16 + 4
    assert len(several) == 3 * anchors
    assert len(single) == anchors
    assert single.scores[0] == several.scores[0]


def test_the_model_that_is_trained_on_is_not_touched(model: Detector, images: torch.Tensor):
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predictor(model)(images)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_weights_that_are_rounded_once_give_what_autocast_gives(model: Detector, images: torch.Tensor):
    mixed = Arithmetic("cpu", "test", "bfloat16", 1, True, True)
    ready = mixed.place(fused(model))
    with torch.inference_mode(), mixed.autocast():
        called = ready(mixed.prepare(images))
        rounded = mixed.round_weights(copy.deepcopy(ready))(mixed.prepare(images))
    assert torch.equal(rounded.box_logits_BAR4, called.box_logits_BAR4)
    assert torch.equal(rounded.class_logits_BAC, called.class_logits_BAC)
    (plain,) = predictor(model, chunk=5).outputs(images)
    assert not torch.equal(rounded.class_logits_BAC, plain.first.class_logits_BAC)


def test_a_predictor_is_made_anew_only_where_something_differs(model: Detector):
    ready = ReadyPredictor()
    model = copy.deepcopy(model)

    def made(confidence: float = 0.5, chunk: int = 1) -> Predictor:
        thresholds = Thresholds(confidence, 0.7, 20)
        return ready.of(model, ARITHMETIC, thresholds, chunk=chunk, one_class_per_box=True, shared=True)

    first = made()
    assert made() is first
    assert made(chunk=2) is not first
    before = made()
    assert made(confidence=0.4) is not before
    before = made()
    model.head.cls[0][-1].bias.data[0] += 1  # type: ignore[index]
    after = made()
    assert after is not before
    assert made() is after
    dict(model.named_buffers())["backbone.stem.norm.running_mean"][0] += 1
    assert made() is not after


def test_a_model_in_no_other_hands_is_told_by_being_the_same(model: Detector):
    ready, other = ReadyPredictor(), copy.deepcopy(model)

    def made(model: Detector) -> Predictor:
        return ready.of(model, ARITHMETIC, Thresholds(0.5, 0.7, 20), chunk=1, one_class_per_box=True, shared=False)

    first = made(model)
    assert made(model) is first
    assert made(other) is not first
