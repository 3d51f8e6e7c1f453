"""How large a detector is: the published figures."""

from __future__ import annotations

import torch

from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.model.size import parameters_by_layer, size_of


def test_the_nano_model_is_as_large_as_published():
    model = build_detector(SCALES["yolov8n"], 80, seed=0)
    size = size_of(model, 640)
    assert (size.layers, size.parameters) == (23, 3_157_200)
    assert size.gradients == 3_157_200 - 16  # the bins of the distribution don't train
    assert round(size.gflops, 1) == 8.7
    assert str(size) == "23 layers, 3,157,200 parameters, 8.7 GFLOPs an image"
    assert size_of(model, 320).gflops == size.gflops / 4


def test_measuring_leaves_the_model_as_it_is():
    model = build_detector(SCALES["yolov8n"], 2, seed=0).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    size_of(model, 64)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_lines_of_the_layers_sum_up():
    model = build_detector(SCALES["yolov8n"], 80, seed=0)
    lines = list(parameters_by_layer(model))
    assert lines[0].split() == ["0", "ConvNormAct", "464"]
    assert sum(int(line.split()[-1].replace(",", "")) for line in lines) == 3_157_200
