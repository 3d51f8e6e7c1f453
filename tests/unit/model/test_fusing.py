"""A fused model gives the outputs of the one it was made from, which stays as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from peakmark.model.detector import Detector, build_detector
from peakmark.model.fuse import fused
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
