"""When are two states the same, bit for bit? When their digests are equal.

A digest is the SHA-256 of a canonical encoding: of what the values are, not of how they lie in memory or in a file.
Channels-last and contiguous tensors, dicts in any order, lists and tuples are the same; -0.0 and 0.0, 1 and 1.0, two
different NaNs are not. It must not know files; the digest of every byte of a file belongs to the writer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from peakmark.checkpoint.format import STATISTICS, TIME_COLUMNS, Checkpoint, history_to_plain

_ENCODING_VERSION = 1
"""Part of every digest: a changed encoding must not pass for a changed state."""


class _Sink(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...


def digest(value: Any) -> str:
    """Gives the SHA-256, in hex, of a tree of tensors and plain values. Raises TypeError for anything else."""
    sink = hashlib.sha256()
    _encode(["peakmark-state", _ENCODING_VERSION, value], sink)
    return sink.hexdigest()


def digests(checkpoint: Checkpoint) -> dict[str, str]:
    """Gives the four digests that people compare: model, training_weights, optimizer, everything."""
    return {
        "model": digest(checkpoint.model),
        "training_weights": digest(checkpoint.training_weights),
        "optimizer": digest(checkpoint.optimizer),
        "everything": everything(checkpoint),
    }


def everything(checkpoint: Checkpoint) -> str:
    """The digest of all that determines the run's future and its results so far: of the digests of its parts.

    Left out: the time columns, settings that don't bear on the result (paths, workers, save options), arithmetic,
    provenance and lineage. Two runs that agree here go on to agree.
    """
    return digest(part_digests(checkpoint))


def part_digests(checkpoint: Checkpoint) -> dict[str, str]:
    """Gives a digest for each named part of the state, the part whose difference tells most first."""
    return {name: digest(part) for name, part in parts(checkpoint).items()}


def parts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Takes all that `everything` covers apart, under names for a person; nothing is copied."""
    weights, position = checkpoint.training_weights, checkpoint.position
    history = history_to_plain(checkpoint.history)
    return {
        "position": {field.name: getattr(position, field.name) for field in dataclasses.fields(position)},
        "training weights": {name: tensor for name, tensor in weights.items() if not name.endswith(STATISTICS)},
        "batch-norm statistics": {name: tensor for name, tensor in weights.items() if name.endswith(STATISTICS)},
        "averaged weights": checkpoint.model,
        "optimizer state": checkpoint.optimizer.get("state"),
        "optimizer settings": {name: value for name, value in checkpoint.optimizer.items() if name != "state"},
        "scaler": checkpoint.scaler,
        "update count": checkpoint.ema_updates,
        "open sums": _without_times(checkpoint.open_epoch),
        "counters": checkpoint.counters,
        "history": {**history, "records": [_without_times(record) for record in history["records"]]},
        "settings": {name: checkpoint.settings[name] for name in checkpoint.result_settings},
        "classes": checkpoint.names,
        "architecture": checkpoint.architecture,
    }


def _without_times(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in TIME_COLUMNS}


def _encode(value: Any, sink: _Sink) -> None:
    """Every value begins with its kind and its length, so that no two values share an encoding."""
    if value is None:
        sink.update(b"n")
    elif isinstance(value, bool):
        sink.update(b"t" if value else b"f")
    elif isinstance(value, int):
        sink.update(b"i%d;" % value)
    elif isinstance(value, float):
        sink.update(b"d" + struct.pack("<d", value))
    elif isinstance(value, str):
        text = value.encode()
        sink.update(b"s%d;" % len(text) + text)
    elif isinstance(value, torch.Tensor):
        _encode_tensor(value, sink)
    elif isinstance(value, list | tuple):
        sink.update(b"l%d;" % len(value))
        for item in value:
            _encode(item, sink)
    elif isinstance(value, Mapping):
        _encode_mapping(value, sink)
    else:
        raise TypeError(f"a state holds tensors and plain values, not a {type(value).__name__}")


def _encode_mapping(mapping: Mapping[Any, Any], sink: _Sink) -> None:
    sink.update(b"m%d;" % len(mapping))
    # Torch numbers the optimizer's states in the order in which parameters were first updated; a resumed optimizer has
    # them in another one.
    for key in sorted(mapping, key=lambda key: (type(key).__name__, key)):
        _encode(key, sink)
        _encode(mapping[key], sink)


def _encode_tensor(tensor: torch.Tensor, sink: _Sink) -> None:
    sink.update(f"T{tensor.dtype}{list(tensor.shape)};".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    sink.update(flat.numpy().data)
