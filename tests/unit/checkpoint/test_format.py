"""The format: there and back, plain values only, and no numbers for weights that were not validated."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peakmark.checkpoint.digest import digest
from peakmark.checkpoint.format import FORMAT_VERSION, from_plain, snapshot, to_plain
from peakmark.nouns.run import Position


def through_torch(plain: dict[str, Any]) -> dict[str, Any]:
    stream = io.BytesIO()
    torch.save(plain, stream)
    stream.seek(0)
    loaded: dict[str, Any] = torch.load(stream, weights_only=True)
    return loaded


def test_there_and_back_loses_nothing(tiny_checkpoint):
    back = from_plain(through_torch(to_plain(tiny_checkpoint)))
    # NaNs make == useless here; the digest looks at bytes.
    assert digest(to_plain(back)) == digest(to_plain(tiny_checkpoint))
    assert back.history.records[0] == tiny_checkpoint.history.records[0]
    assert back.position == tiny_checkpoint.position
    assert (back.names, back.result_settings) == (tiny_checkpoint.names, tiny_checkpoint.result_settings)
    assert back.history.segments == tiny_checkpoint.history.segments


def test_an_optimizer_goes_on_from_it_exactly(tiny_checkpoint):
    weights = [
        torch.nn.Parameter(tiny_checkpoint.training_weights[name].clone())
        for name in ("0.weight", "1.weight", "1.bias")
    ]
    optimizer = torch.optim.AdamW(weights, lr=0.125)
    optimizer.load_state_dict(from_plain(through_torch(to_plain(tiny_checkpoint))).optimizer)
    assert digest(optimizer.state_dict()) == digest(tiny_checkpoint.optimizer)


def test_frozen_keys(tiny_checkpoint):
    plain = to_plain(tiny_checkpoint)
    assert plain["format"] == "peakmark"
    assert plain["format_version"] == FORMAT_VERSION == 7
    assert plain["epoch"] == 1
    assert plain["best_fitness"] == 0.25
    assert plain["settings"]["lr0"] == 0.01
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2, bias=False), torch.nn.BatchNorm2d(2))
    module.load_state_dict(plain["model"])
    assert "param_groups" in plain["optimizer"]


def test_within_an_epoch_epoch_is_the_open_one(tiny_checkpoint):
    within = replace(
        tiny_checkpoint,
        position=Position(2, 4, "train", 4),
        weights_epoch=None,
        validated=False,
        metrics=None,
        fitness=None,
    )
    assert to_plain(within)["epoch"] == 2
    assert to_plain(within)["best_fitness"] == 0.25


def test_weights_that_were_not_validated_carry_no_numbers(tiny_checkpoint):
    with pytest.raises(ValueError, match="carry no metrics"):
        replace(tiny_checkpoint, validated=False, fitness=None)
    with pytest.raises(ValueError, match="carry no metrics"):
        replace(tiny_checkpoint, validated=False, metrics=None)


def test_result_settings_must_be_there(tiny_checkpoint):
    with pytest.raises(ValueError, match="momentum"):
        replace(tiny_checkpoint, result_settings=("lr0", "momentum"))


def test_numpy_numbers_become_plain(tiny_checkpoint):
    metrics = {"map50_95": np.float64(0.25), "truths": np.int64(3)}
    plain = to_plain(replace(tiny_checkpoint, metrics=metrics))
    assert {type(value) for value in plain["metrics"].values()} == {float, int}
    through_torch(plain)


@pytest.mark.parametrize("value", [Path("here"), {1, 2}, np.zeros(2), object()])
def test_anything_but_plain_values_is_refused_with_its_place(tiny_checkpoint, value):
    with pytest.raises(TypeError, match=r"provenance\['data'\]\[0\]"):
        to_plain(replace(tiny_checkpoint, provenance={"data": [value]}))


def test_a_view_does_not_bring_its_storage_along(tiny_checkpoint):
    flat = torch.zeros(100_000)
    plain = to_plain(replace(tiny_checkpoint, model={"a": flat[:2], "b": flat[2:4]}))
    assert plain["model"]["a"].untyped_storage().nbytes() == 8


def test_a_snapshot_shares_nothing_with_live_tensors():
    module = torch.nn.Linear(3, 3)
    live: dict[str, Any] = {
        "weights": module.state_dict(),
        "list": [torch.zeros(2)],
        "tuple": (torch.ones(1), 0.5),
        "plain": None,
    }
    frozen = snapshot(live)
    before = digest(frozen)
    with torch.no_grad():
        for tensor in (*module.parameters(), live["list"][0], live["tuple"][0]):
            tensor.add_(1)
    assert digest(frozen) == before
    assert type(frozen["tuple"]) is tuple


def test_a_snapshot_keeps_layout_and_dtype():
    tensor = torch.zeros(2, 3, 4, 4, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    copy = snapshot(tensor)
    assert copy.stride() == tensor.stride()
    assert copy.dtype == tensor.dtype
