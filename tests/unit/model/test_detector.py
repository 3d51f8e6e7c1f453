"""The network: published sizes, weights from the seed alone, sensible first scores, layers where the table has them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from peakmark.errors import ModelFileError
from peakmark.model.detector import (
    BINS,
    LAYERS,
    STRIDES,
    Detector,
    build_detector,
    classes_of,
    decode,
    detector_from_weights,
    detector_on_meta,
)
from peakmark.model.scales import SCALES

PARAMETERS_AT_80_CLASSES = {
    "yolov8n": (3_157_200, 3_157_184),
    "yolov8s": (11_166_560, 11_166_544),
    "yolov8m": (25_902_640, 25_902_624),
    "yolov8l": (43_691_520, 43_691_504),
    "yolov8x": (68_229_648, 68_229_632),
}
"""All, and those that train, as published."""


@pytest.fixture(scope="module")
def model() -> Detector:
    return build_detector(SCALES["yolov8n"], 3, seed=0)


@pytest.mark.parametrize("name", PARAMETERS_AT_80_CLASSES)
def test_parameter_counts_are_the_published_ones(name: str):
    model = Detector(SCALES[name], 80)
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    assert (sum(n for n, _ in counts), sum(n for n, trains in counts if trains)) == PARAMETERS_AT_80_CLASSES[name]


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_computes(scale: str):
    with torch.device("meta"):
        output = Detector(SCALES[scale], 2)(torch.empty(1, 3, 64, 96))
    assert output.box_logits_BAR4.shape == (1, 8 * 12 + 4 * 6 + 2 * 3, 4 * BINS)
    assert output.class_logits_BAC.shape == (1, 8 * 12 + 4 * 6 + 2 * 3, 2)


def test_weights_are_a_function_of_the_seed(model: Detector):
    again, other = build_detector(SCALES["yolov8n"], 3, seed=0), build_detector(SCALES["yolov8n"], 3, seed=1)
    ours = model.state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in again.state_dict().items())
    for name, tensor in other.state_dict().items():
        if name.endswith("conv.weight"):
            assert not torch.equal(tensor, ours[name]), name


def test_building_draws_nothing_from_torchs_global_generator():
    before = torch.random.get_rng_state()
    build_detector(SCALES["yolov8n"], 1, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_nothing_is_left_without_a_value(model: Detector):
    for name, tensor in model.state_dict().items():
        assert bool(torch.isfinite(tensor.float()).all()), name
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            bound = 1 / math.sqrt(module.in_channels * module.kernel_size[0] * module.kernel_size[1])
            assert 0.9 * bound < float(module.weight.detach().abs().max()) <= bound
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            assert bool((module.running_var == 1).all())
            assert (module.eps, module.momentum) == (1e-3, 0.03)
    assert model.head.bins.tolist() == list(range(16))


@pytest.mark.parametrize("classes", [1, 3, 80])
def test_first_scores_expect_about_five_objects_an_image(classes: int):
    head = build_detector(SCALES["yolov8n"], classes, seed=0).head
    for branch, stride in zip(head.cls, STRIDES, strict=True):
        assert isinstance(branch, nn.Sequential)
        last = branch[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        cells = (640 // stride) ** 2
        # Odds: small enough to be the probability itself.
        expected_objects = float(last.bias.detach().exp().sum()) * cells
        assert expected_objects == pytest.approx(5, rel=1e-3)
    for branch in head.box:
        assert isinstance(branch, nn.Sequential)
        last = branch[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        assert bool((last.bias == 1).all())


def test_layers_are_numbered_as_published(model: Detector):
    layers = model.layers()
    assert sorted(layers) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 18, 19, 21, 22]
    assert layers[22] is model.head
    assert len(layers) + 6 == LAYERS  # 10, 11, 13, 14, 17, 20 hold no weights
    in_layers = [id(parameter) for layer in layers.values() for parameter in layer.parameters()]
    assert sorted(in_layers) == sorted(id(parameter) for parameter in model.parameters())


def test_layers_are_computed_in_the_order_of_their_numbers(model: Detector):
    seen: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: seen.append(number))
        for number, layer in model.layers().items()
    ]
    model.eval()(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    assert seen == sorted(model.layers())


def test_decoded_boxes_surround_their_anchors_and_scores_are_shares(model: Detector):
    with torch.no_grad():
        output = model.eval()(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        boxes, scores = decode(output)
    points = output.grid.points_px_A2
    assert bool((boxes[..., :2] <= points).all())
    assert bool((boxes[..., 2:] >= points).all())
    assert bool(((scores > 0) & (scores < 1)).all())


def test_channels_last_computes_the_same(model: Detector):
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        plain = model(images)
        other = build_detector(SCALES["yolov8n"], 3, seed=0).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        last = other(images.to(memory_format=torch.channels_last))
    assert torch.allclose(plain.box_logits_BAR4, last.box_logits_BAR4, atol=1e-4)
    assert torch.allclose(plain.class_logits_BAC, last.class_logits_BAC, atol=1e-4)


def test_what_the_head_says_is_float32_in_mixed_precision_too(model: Detector):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        inner = model.backbone.stem(torch.zeros(1, 3, 32, 32))
        output = model.eval()(torch.zeros(1, 3, 32, 32))
    assert inner.dtype == torch.bfloat16, "mixed precision must be on, or nothing is tested"
    assert output.box_logits_BAR4.dtype == output.class_logits_BAC.dtype == torch.float32
    assert output.grid.points_px_A2.dtype == torch.float32


def test_a_detector_of_given_weights_has_a_copy_of_them(model: Detector):
    weights = model.state_dict()
    other = detector_from_weights(SCALES["yolov8n"], weights)
    assert other.head.classes == classes_of(weights) == 3
    assert [p.requires_grad for p in other.parameters()] == [p.requires_grad for p in model.parameters()]
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, weights[name])
        assert tensor.data_ptr() != weights[name].data_ptr()


def test_weights_that_are_not_those_of_the_scale_are_refused(model: Detector):
    weights = model.state_dict()
    with pytest.raises(ModelFileError, match="not those of a yolov8s"):
        detector_from_weights(SCALES["yolov8s"], weights)
    with pytest.raises(ModelFileError, match="not those of a yolov8n"):
        detector_from_weights(SCALES["yolov8n"], {**weights, "more": torch.zeros(1)})
    with pytest.raises(ModelFileError, match="no state dict of a Peakmark detector"):
        detector_from_weights(SCALES["yolov8n"], {"model": torch.zeros(1)})


def test_a_detector_on_meta_has_shapes_without_memory(model: Detector):
    shape = detector_on_meta(SCALES["yolov8n"], 3)
    assert all(tensor.is_meta for tensor in shape.state_dict().values())
    assert {n: (t.shape, t.dtype) for n, t in shape.state_dict().items()} == {
        n: (t.shape, t.dtype) for n, t in model.state_dict().items()
    }
