"""Weights go into another model where shapes fit, classes by their names; what has no counterpart stays fresh."""

from __future__ import annotations

import pytest
import torch

from peakmark.model.detector import Detector, build_detector
from peakmark.model.scales import SCALES
from peakmark.model.transfer import transfer

OLD_NAMES = ("cat", "dog", "bird")
LAST = [f"head.cls.{level}.2.{part}" for level in range(3) for part in ("weight", "bias")]


@pytest.fixture(scope="module")
def old() -> dict[str, torch.Tensor]:
    return build_detector(SCALES["yolov8n"], 3, seed=1).state_dict()


def fresh(classes: int) -> Detector:
    return build_detector(SCALES["yolov8n"], classes, seed=2)


def test_equal_classes_carry_everything(old: dict[str, torch.Tensor]):
    model = fresh(3)
    said = transfer(model, old, old_names=OLD_NAMES, new_names=OLD_NAMES)
    assert all(torch.equal(tensor, old[name]) for name, tensor in model.state_dict().items())
    assert said == f"{len(old)} of {len(old)} tensors are carried over, the head for all 3 classes."


def test_classes_go_by_name_not_by_number(old: dict[str, torch.Tensor]):
    names = ("horse", "bird", "cat", "cow")
    model, untouched = fresh(4), fresh(4).state_dict()
    said = transfer(model, old, old_names=OLD_NAMES, new_names=names)
    for name, tensor in model.state_dict().items():
        if name in LAST:
            assert torch.equal(tensor[1], old[name][2])
            assert torch.equal(tensor[2], old[name][0])
            assert torch.equal(tensor[[0, 3]], untouched[name][[0, 3]])
        else:
            assert torch.equal(tensor, old[name]), name
    assert "the head for 2 of 4 classes" in said


def test_equally_many_other_classes_do_not_take_over_rows(old: dict[str, torch.Tensor]):
    model, untouched = fresh(3), fresh(3).state_dict()
    transfer(model, old, old_names=OLD_NAMES, new_names=("a", "b", "c"))
    assert all(torch.equal(model.state_dict()[name], untouched[name]) for name in LAST)


def test_another_scale_keeps_fresh_what_does_not_fit(old: dict[str, torch.Tensor]):
    model = build_detector(SCALES["yolov8s"], 3, seed=2)
    untouched = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    said = transfer(model, old, old_names=OLD_NAMES, new_names=OLD_NAMES)
    stem = "backbone.stem.conv.weight"
    assert torch.equal(model.state_dict()[stem], untouched[stem])
    assert int(said.split()[0]) < len(untouched) / 2


def test_frozen_and_trained_tensors_stay_the_same_objects(old: dict[str, torch.Tensor]):
    model = fresh(3)
    parameters = [id(parameter) for parameter in model.parameters()]
    transfer(model, old, old_names=OLD_NAMES, new_names=OLD_NAMES)
    assert [id(parameter) for parameter in model.parameters()] == parameters
    assert model.backbone.stem.conv.weight.requires_grad
