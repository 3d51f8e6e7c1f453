"""The average follows its formula, buffers included, and counters are copied."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.train.ema import ema_decay, update_ema


@pytest.mark.parametrize("updates", [1, 100, 2000, 100_000])
def test_decay_is_the_published_one(updates: int):
    assert ema_decay(updates) == pytest.approx(0.9999 * (1 - math.exp(-updates / 2000)))


def test_every_tensor_moves_by_its_share():
    model = build_detector(SCALES["yolov8n"], 1, seed=0).train()
    ema = copy.deepcopy(model).eval()
    expected = {name: tensor.double() for name, tensor in ema.state_dict().items()}
    for updates in (1, 2, 3):
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                tensor += updates if tensor.is_floating_point() else 1
        update_ema(ema, model, updates)
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = ema_decay(updates) * expected[name] + (1 - ema_decay(updates)) * tensor.double()
    for name, tensor in ema.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-5)
        else:
            assert tensor.item() == model.state_dict()[name].item() == 3
    assert not ema.training
    assert model.training
