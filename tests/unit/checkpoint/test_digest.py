"""Digests: the same for the same values however they lie, another for any other value."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest
import torch

from peakmark.checkpoint.digest import digest, digests, everything, part_digests
from peakmark.checkpoint.format import Checkpoint
from peakmark.nouns.run import History, Position


def nan(payload: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000 | payload))
    return float(value)


SAME = [
    (
        torch.arange(96.0).reshape(2, 3, 4, 4),
        torch.arange(96.0).reshape(2, 3, 4, 4).to(memory_format=torch.channels_last),
    ),
    (torch.arange(9.0)[3:6], torch.tensor([3.0, 4.0, 5.0])),
    (torch.arange(6.0).reshape(2, 3).T, torch.tensor([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]])),
    (torch.nn.Parameter(torch.ones(2)), torch.ones(2)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({0: {"step": 1.0}, 1: {}}, {1: {}, 0: {"step": 1.0}}),
    ([1, 2], (1, 2)),
    (nan(1), nan(1)),
]
OTHER = [
    (0.0, -0.0),
    (torch.tensor(0.0), torch.tensor(-0.0)),
    (nan(0), nan(1)),
    (1, 1.0),
    (1, True),
    (0, None),
    ("", None),
    ("1", 1),
    ({"1": 0}, {1: 0}),
    ([], {}),
    (["ab"], ["a", "b"]),
    ([[1], 2], [[1, 2]]),
    ([None], []),
    (torch.zeros(2, 3), torch.zeros(3, 2)),
    (torch.zeros(0), torch.zeros(0, 1)),
    (torch.zeros(1), torch.zeros(())),
    (torch.zeros(2, dtype=torch.float32), torch.zeros(1, dtype=torch.float64)),
    (torch.zeros(2, dtype=torch.float16), torch.zeros(2, dtype=torch.bfloat16)),
    (torch.zeros(1, dtype=torch.uint8), torch.zeros(1, dtype=torch.bool)),
    (torch.tensor(1.0), 1.0),
    (torch.tensor([1.0]), [1.0]),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_same_values_same_digest(left, right):
    assert digest(left) == digest(right)


@pytest.mark.parametrize(("left", "right"), OTHER)
def test_other_values_other_digest(left, right):
    assert digest(left) != digest(right)
    assert digest({"x": [left]}) != digest({"x": [right]})


def test_one_bit_of_a_tensor_is_seen():
    tensor = torch.ones(1000)
    before = digest(tensor)
    tensor[999] = torch.nextafter(tensor[999], torch.tensor(2.0))
    assert digest(tensor) != before


def test_frozen_encoding():
    # Digests are compared between machines and versions; a changed encoding needs another _ENCODING_VERSION.
    value = {"t": torch.tensor([[1, -2]], dtype=torch.int64), "x": [None, True, 3, -0.5, "ä"]}
    assert digest(value) == "c5e29bf76ce204e73ff84ac5ca2ce1f5dd1310c8a0ac63bc29fd577f88f42824"


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="set"):
        digest({1, 2})


COVERED: dict[str, tuple[Any, str]] = {
    "model": ({"w": torch.zeros(1)}, "averaged weights"),
    "scaler": ({"scale": 2.0}, "scaler"),
    "ema_updates": (99, "update count"),
    "position": (Position(2, 4, "train", 3), "position"),
    "open_epoch": ({"box": 1.0}, "open sums"),
    "counters": ({"skipped": 7}, "counters"),
    "history": (History(), "history"),
    "names": (("dog", "cat"), "classes"),
    "architecture": ("yolov8s", "architecture"),
    "result_settings": (("lr0",), "settings"),
}
COVERED_BY_TWO_PARTS = {
    "training_weights": {"0.weight": "training weights", "1.bias": "training weights"}
    | {f"1.{name}": "batch-norm statistics" for name in ("running_mean", "running_var", "num_batches_tracked")},
    "optimizer": {"state": "optimizer state", "param_groups": "optimizer settings"},
}
LEFT_OUT = {
    "arithmetic": {"threads": 64},
    "provenance": {"created_at": "later"},
    "best_fitness": 0.5,  # a function of the history
}


def differing(a: Checkpoint, b: Checkpoint) -> set[str]:
    of_a, of_b = part_digests(a), part_digests(b)
    assert of_a.keys() == of_b.keys()
    return {name for name in of_a if of_a[name] != of_b[name]}


@pytest.mark.parametrize("field", COVERED)
def test_everything_covers(tiny_checkpoint, field):
    value, part = COVERED[field]
    changed = replace(tiny_checkpoint, **{field: value})
    assert everything(changed) != everything(tiny_checkpoint)
    assert differing(changed, tiny_checkpoint) == {part}


@pytest.mark.parametrize(
    ("field", "inner", "part"),
    [(field, inner, part) for field, inside in COVERED_BY_TWO_PARTS.items() for inner, part in inside.items()],
)
def test_a_change_is_seen_in_its_part_alone(tiny_checkpoint, field, inner, part):
    value = getattr(tiny_checkpoint, field)
    other = value[inner] + 1 if isinstance(value[inner], torch.Tensor) else {"another": 1}
    changed = replace(tiny_checkpoint, **{field: {**value, inner: other}})
    assert everything(changed) != everything(tiny_checkpoint)
    assert differing(changed, tiny_checkpoint) == {part}


def test_the_parts_come_by_what_they_tell(tiny_checkpoint):
    assert list(part_digests(tiny_checkpoint))[:6] == [
        "position", "training weights", "batch-norm statistics", "averaged weights", "optimizer state",
        "optimizer settings",
    ]  # fmt: skip


def test_the_time_that_an_open_epoch_took_is_left_out(tiny_checkpoint):
    sums = tiny_checkpoint.open_epoch
    assert not differing(replace(tiny_checkpoint, open_epoch={**sums, "train_s": 2.5}), tiny_checkpoint)


@pytest.mark.parametrize("field", LEFT_OUT)
def test_everything_leaves_out(tiny_checkpoint, field):
    changed = replace(tiny_checkpoint, **{field: LEFT_OUT[field]})
    assert everything(changed) == everything(tiny_checkpoint)


def test_everything_looks_at_settings_that_bear_on_the_result_only(tiny_checkpoint):
    settings = tiny_checkpoint.settings
    assert everything(replace(tiny_checkpoint, settings={**settings, "workers": 9})) == everything(tiny_checkpoint)
    assert everything(replace(tiny_checkpoint, settings={**settings, "lr0": 0.02})) != everything(tiny_checkpoint)


@pytest.mark.parametrize(
    ("column", "value", "same"), [("train_s", 99.0, True), ("validation_s", 99.0, True), ("fitness", 0.26, False)]
)
def test_everything_covers_history_but_its_times(tiny_checkpoint, column, value, same):
    records = tiny_checkpoint.history.records
    changed = replace(tiny_checkpoint.history, records=(records[0], replace(records[1], **{column: value})))
    assert (everything(replace(tiny_checkpoint, history=changed)) == everything(tiny_checkpoint)) is same


def test_every_field_is_decided(tiny_checkpoint):
    """A new field of the checkpoint must be put on one side, or a state could differ unseen."""
    derived = {"settings", "weights_epoch", "validated", "fitness", "metrics"}
    assert set(COVERED) | set(COVERED_BY_TWO_PARTS) | set(LEFT_OUT) | derived == set(
        type(tiny_checkpoint).__dataclass_fields__
    )


def test_the_four_digests(tiny_checkpoint):
    before = digests(tiny_checkpoint)
    assert set(before) == {"model", "training_weights", "optimizer", "everything"}
    after = digests(replace(tiny_checkpoint, model={"w": torch.zeros(1)}))
    assert {name for name in before if before[name] != after[name]} == {"model", "everything"}
