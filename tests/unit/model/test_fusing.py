"""A fused model gives the outputs of the one it was made from, which stays as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from peakmark.machine.devices import Arithmetic
from peakmark.machine.onednn import PackedConvolution, packs_convolutions
from peakmark.model.detector import Detector, build_detector
from peakmark.model.fuse import fused, packed
from peakmark.model.scales import SCALES


@pytest.fixture(scope="module")
def trained() -> Detector:
    """A model whose batch norms have statistics, scales and shifts of their own."""
    model = build_detector(SCALES["yolov8n"], 3, seed=0).train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.momentum = 0.5
        for _ in range(4):
            model(torch.rand(2, 3, 64, 64, generator=generator) * 2)
    return model


def test_outputs_are_equal(trained: Detector):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain = copy.deepcopy(trained).eval()(images)
        quick = fused(trained)(images)
    for one, other in (
        (plain.box_logits_BAR4, quick.box_logits_BAR4),
        (plain.class_logits_BAC, quick.class_logits_BAC),
    ):
        assert float((one - other).abs().max() / one.abs().max()) < 1e-5
        assert not torch.equal(one, other), "fusing must have done something"


def test_no_norm_is_left_and_nothing_trains(trained: Detector):
    quick = fused(trained)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    assert not any(parameter.requires_grad for parameter in quick.parameters())
    assert not quick.training


def test_the_model_itself_is_left_alone(trained: Detector):
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    quick = fused(trained)
    with torch.no_grad():
        for parameter in quick.parameters():
            parameter.zero_()
    assert trained.training
    assert trained.backbone.stem.conv.weight.requires_grad
    assert before.keys() == trained.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state_dict().items())


needs_onednn = pytest.mark.skipif(not packs_convolutions(), reason="this build of torch has no oneDNN")


def _error(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / one.norm())


@needs_onednn
def test_packing_changes_no_output(trained: Detector):
    images = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        plain, quick = fused(trained)(images), packed(fused(trained))(images)
    assert _error(plain.box_logits_BAR4, quick.box_logits_BAR4) < 1e-5
    assert _error(plain.class_logits_BAC, quick.class_logits_BAC) < 1e-5


@needs_onednn
def test_in_bfloat16_it_is_no_further_from_the_truth(trained: Detector):
    mixed = Arithmetic("cpu", "test", "bfloat16", 1, True, True)
    images = torch.randint(0, 256, (4, 3, 64, 96), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    with torch.inference_mode(), mixed.autocast():
        truth = fused(trained).double()
        step_by_step = mixed.round_weights(mixed.place(fused(trained)))(mixed.prepare(images))
        at_once = packed(mixed.round_weights(mixed.place(fused(trained))))(mixed.prepare(images))
    with torch.inference_mode():
        exact = truth(images.double() / 255)
    assert _error(exact.class_logits_BAC, at_once.class_logits_BAC) < _error(
        exact.class_logits_BAC, step_by_step.class_logits_BAC
    )
    assert _error(exact.class_logits_BAC, at_once.class_logits_BAC) < 0.05


@needs_onednn
def test_a_packed_convolution_keeps_the_weights_that_it_was_made_of():
    conv = nn.Conv2d(8, 4, 3, 2, 1)
    images = torch.rand(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        quick = PackedConvolution(conv, silu=True)
        before = quick(images)
        torch.testing.assert_close(before, nn.functional.silu(conv(images)))
        torch.testing.assert_close(PackedConvolution(conv, silu=False)(images), conv(images))
        conv.weight.add_(1)
        assert conv.bias is not None
        conv.bias.add_(1)
    assert torch.equal(quick(images), before)


def test_where_torch_cannot_the_model_stays_as_it_is(trained: Detector, monkeypatch: pytest.MonkeyPatch):
    quick = fused(trained)
    monkeypatch.setattr("peakmark.model.fuse.packs_convolutions", lambda: False)
    assert packed(quick) is quick
    assert not any(isinstance(module, PackedConvolution) for module in quick.modules())
