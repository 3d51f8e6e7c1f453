"""The first difference of two states: named, and measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from peakmark.checkpoint.difference import first_difference
from peakmark.nouns.run import Position


def nudged(tensors: dict[str, torch.Tensor], name: str, index: int, by: float) -> dict[str, torch.Tensor]:
    other = tensors[name].clone()
    other.view(-1)[index] += by
    return {**tensors, name: other}


def test_the_same_state_has_none(tiny_checkpoint):
    weights = {name: tensor.contiguous() for name, tensor in reversed(tiny_checkpoint.training_weights.items())}
    assert first_difference(tiny_checkpoint, replace(tiny_checkpoint, training_weights=weights)) is None
    assert first_difference(tiny_checkpoint, replace(tiny_checkpoint, provenance={}, arithmetic={})) is None


def test_a_tensor_is_named_with_how_far_it_is_off(tiny_checkpoint):
    tensor = torch.zeros(2, 3, 4)
    a = replace(tiny_checkpoint, training_weights={"same": tensor, "first": tensor, "second": tensor})
    b = replace(a, training_weights=nudged(nudged(a.training_weights, "second", 0, 9), "first", 17, 0.25))
    assert first_difference(a, b) == (
        "training weights: first (2, 3, 4) differs in 1 of 24 values, by at most 0.25; first at [1, 1, 1]: "
        "0.0 against 0.25"
    )


def test_minus_zero_and_nan_are_compared_by_their_bits(tiny_checkpoint):
    def with_model(*values: float) -> Any:
        return replace(tiny_checkpoint, model={"w": torch.tensor(values)})

    assert "differs in 1 of 2 values" in str(first_difference(with_model(1.0, 0.0), with_model(1.0, -0.0)))
    assert first_difference(with_model(float("nan")), with_model(float("nan"))) is None


CASES: list[tuple[dict[str, Any], str]] = [
    ({"position": Position(2, 0, "train", 4)}, "position: step is 3 against 4"),
    ({"ema_updates": 9}, "update count: is 2 against 9"),
    ({"scaler": {"scale": 2.0}}, "scaler: is None against {'scale': 2.0}"),
    ({"optimizer": {}}, "optimizer state: is {"),
    ({"names": ("cat", "dog", "bird")}, "classes: has 2 entries against 3"),
    ({"open_epoch": {"box": 0.0, "cls": 0.0, "dfl": 0.0}}, "open sums: images is in the first only"),
    ({"model": {"w": torch.zeros(2)}}, "averaged weights: 0.weight is in the first only"),
    ({"training_weights": {}}, "training weights: 0.weight is in the first only"),
]


@pytest.mark.parametrize(("change", "said"), CASES)
def test_the_part_comes_first(tiny_checkpoint, change, said):
    assert str(first_difference(tiny_checkpoint, replace(tiny_checkpoint, **change))).startswith(said)


def test_another_shape_or_type_is_said(tiny_checkpoint):
    a = replace(tiny_checkpoint, model={"w": torch.zeros(2, 3)})
    b = replace(tiny_checkpoint, model={"w": torch.zeros(3, 2, dtype=torch.float16)})
    said = "averaged weights: w is a tensor (2, 3) of float32 against a tensor (3, 2) of float16"
    assert first_difference(a, b) == said


def test_a_part_that_tells_more_comes_before_one_that_follows_from_it(tiny_checkpoint):
    changed = replace(tiny_checkpoint, ema_updates=9, model={}, training_weights={}, counters={})
    assert str(first_difference(tiny_checkpoint, changed)).startswith("training weights: ")
