"""What a file says is of the kinds that the program takes it for, or the file is refused, by the field's name."""

from __future__ import annotations

from typing import Any

import pytest

from peakmark.checkpoint.format import to_plain
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import write
from peakmark.errors import ModelFileError


def _put(tree: Any, path: tuple[Any, ...], value: Any) -> None:
    for step in path[:-1]:
        tree = tree[step]
    tree[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("names",), ["cat", 3], "names"),
        (("names",), "cat", ""),
        (("architecture",), None, "architecture"),
        (("settings",), [1], "settings"),
        (("settings", "epochs"), {"a": {1.5: 2}}, "settings"),
        (("ema_updates",), "2", "ema_updates"),
        (("ema_updates",), 1 << 80, "ema_updates"),
        (("validated",), 1, "validated"),
        (("metrics",), {"map50": "0.5"}, "metrics"),
        (("counters",), {"skipped": 0.5}, "counters"),
        (("model",), {"w": 1.0}, "model"),
        (("history", "records", 0, "images"), "8", "history"),
        (("history", "records", 1, "per_class"), {"map50": ("a",)}, "history"),
        (("history", "segments", 0, "reason"), 5, "history"),
        (("weights_epoch",), 1.0, "weights_epoch"),
        (("optimizer", "param_groups", 0), 3, "optimizer"),
        (("optimizer", "param_groups", 0, "params"), [{}], "optimizer"),
        (("optimizer", "state"), [], "optimizer"),
        (("optimizer", "state", 0), None, "optimizer"),
    ],
)
def test_a_value_of_another_kind_is_refused(tmp_path, tiny_checkpoint, path, value, named):
    plain = to_plain(tiny_checkpoint)
    _put(plain, path, value)
    with open(tmp_path / "last.pt", "wb") as stream:
        write(plain, stream)
    with pytest.raises(ModelFileError, match=rf"last\.pt is no complete checkpoint of Peakmark: .*{named}"):
        read(tmp_path / "last.pt")
