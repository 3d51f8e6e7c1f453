"""What is in a checkpoint, and how does it become tensors and plain values and back? The one place that knows the keys.

`docs/checkpoint-format.md` is the contract for people; the golden file in the tests holds both to it. It must not know
files, digests or when anything is saved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch

from peakmark.checkpoint.kinds import check_kinds, check_optimizer
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History, Phase, Position, Segment

FORMAT = "peakmark"
FORMAT_VERSION = 7
IMPORTED = "imported"
"""The key of a provenance that tells of the other program whose weights these are, or were trained from."""
TIME_COLUMNS = ("train_s", "validation_s")
"""The parts of a record, or of the open epoch's sums, that differ between two runs of the same fold."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""How the names of a batch norm's buffers end."""

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run at the start of a window: everything that its future follows from, and what people ask about it."""

    model: Weights
    """The EMA: the weights that are validated and used."""
    training_weights: Weights
    optimizer: dict[str, Any]
    """As torch's `optimizer.state_dict()` gives it."""
    scaler: dict[str, Any] | None
    ema_updates: int
    position: Position
    open_epoch: dict[str, float | int]
    """Running sums of the open epoch."""
    counters: dict[str, int]
    history: History
    settings: dict[str, Any]
    result_settings: tuple[str, ...]
    """Names of the settings that bear on the result; the others may differ in a run that is still the same."""
    names: tuple[str, ...]
    """Of the classes."""
    architecture: str
    """yolov8n, yolov8s ..."""
    arithmetic: dict[str, Any]
    """Device kind, threads, precision, memory layout: what a resume must use again to be exact."""
    provenance: dict[str, Any]
    """Where it came from: versions, data fingerprints, created_at, digest of the parent."""
    weights_epoch: int | None
    """The epoch (0-based) whose training ended in these weights; None within an epoch."""
    validated: bool
    fitness: float | None
    best_fitness: float | None
    """Of the best epoch so far, as `selection` decided."""
    metrics: dict[str, float] | None
    """Of these very weights: None where they were not validated, whatever an epoch before them reached."""

    def __post_init__(self) -> None:
        if not self.validated and (self.metrics is not None or self.fitness is not None):
            raise ValueError("weights that were not validated carry no metrics and no fitness")
        missing = [name for name in self.result_settings if name not in self.settings]
        if missing:
            raise ValueError(f"result_settings names settings that are not there: {', '.join(missing)}")

    @property
    def complete(self) -> bool:
        """Whether a run can go on from it; a stripped one has only the weights that are used."""
        return bool(self.training_weights)

    @property
    def is_imported(self) -> bool:
        """Whether another program trained these weights; it has no history then, and nothing was measured."""
        return IMPORTED in self.provenance and not self.history.segments


def snapshot(state: Any) -> Any:
    """Copies a tree of dicts, lists and tensors so that nothing in it shares storage with a live tensor.

    On a processor `state_dict()` and `.cpu()` alias the weights: saved in the background, they would change under the
    save. Tensors come to the processor and keep dtype and layout.
    """
    if isinstance(state, torch.Tensor):
        return _copied(state.detach())
    if isinstance(state, Mapping):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(snapshot(value) for value in state)
    return state


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_cpu or tensor.dtype == torch.bfloat16:
        return tensor.to("cpu", copy=True)
    # By NumPy, in this one thread: torch shares each copy out among its threads and waits for all of them. On 2 cores
    # with other work on them a snapshot of yolov8n took 1.4 s that way instead of 0.04 s.
    copy = torch.empty_like(tensor)
    np.copyto(copy.numpy(), tensor.numpy())
    return copy


def to_plain(checkpoint: Checkpoint) -> dict[str, Any]:
    """Gives tensors and plain values only, so that `torch.load(..., weights_only=True)` reads them.

    Raises TypeError, with the place, for a value that is neither.
    """
    fields = {field.name: getattr(checkpoint, field.name) for field in dataclasses.fields(checkpoint)}
    plain = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "epoch": checkpoint.position.epoch if checkpoint.weights_epoch is None else checkpoint.weights_epoch,
        **fields,
        "position": dataclasses.asdict(checkpoint.position),
        "history": history_to_plain(checkpoint.history),
        "result_settings": list(checkpoint.result_settings),
        "names": list(checkpoint.names),
    }
    return {key: _plain(value, key) for key, value in plain.items()}


def comparable(val_fingerprint: str | None, side_px: int, protocol: str) -> str:
    """What a validation is made of, in words: epochs of equal words can be compared."""
    data = f"validation data {val_fingerprint}" if val_fingerprint else "no validation data"
    return f"{data}, {side_px} px rectangles, {protocol}"


def protocol_in(comparable: str) -> str:
    """Gives the protocol of what `comparable` put together: what the numbers mean."""
    return comparable.split(", ", 2)[2]


def from_plain(plain: Mapping[str, Any]) -> Checkpoint:
    """The inverse of `to_plain`. Raises KeyError, TypeError or ValueError where something is missing or wrong."""
    own = {field.name: plain[field.name] for field in dataclasses.fields(Checkpoint)}
    own["position"] = position_from_plain(plain["position"])
    own["history"] = history_from_plain(plain["history"])
    for name in ("result_settings", "names"):
        if not isinstance(plain[name], list):
            raise TypeError(f"{name} is no list")
        own[name] = tuple(plain[name])
    checkpoint = Checkpoint(**own)
    check_kinds(checkpoint)
    check_optimizer(checkpoint.optimizer)
    return checkpoint


def position_from_plain(plain: Mapping[str, Any]) -> Position:
    """Gives the place that a file says it is of. Raises TypeError or ValueError: files are put in order by it."""
    position = Position(**plain)
    numbers = (position.epoch, position.images, position.step)
    if any(type(number) is not int or number < 0 for number in numbers) or position.phase not in get_args(Phase):
        raise ValueError(f"{position} is no place in a run")
    return position


def history_to_plain(history: History) -> dict[str, Any]:
    """Gives a history as lists, dicts and numbers."""
    return {
        "records": [_record_to_plain(record) for record in history.records],
        "segments": [_segment_to_plain(segment) for segment in history.segments],
    }


def history_from_plain(plain: Mapping[str, Any]) -> History:
    """The inverse of `history_to_plain`."""
    return History(
        records=tuple(record_from_plain(record) for record in plain["records"]),
        segments=tuple(Segment(**{**segment, "gone": tuple(segment["gone"])}) for segment in plain["segments"]),
    )


def _segment_to_plain(segment: Segment) -> dict[str, Any]:
    return {
        **_shallow(segment),
        "settings": dict(segment.settings),
        "recipe": dict(segment.recipe),
        "gone": list(segment.gone),
    }


def _record_to_plain(record: EpochRecord) -> dict[str, Any]:
    return {
        **_shallow(record),
        "train": dataclasses.asdict(record.train),
        "lr": list(record.lr),
        "metrics": None if record.metrics is None else dict(record.metrics),
        "per_class": None
        if record.per_class is None
        else {name: list(values) for name, values in record.per_class.items()},
        "validation": None if record.validation is None else dataclasses.asdict(record.validation),
    }


def record_from_plain(plain: Mapping[str, Any]) -> EpochRecord:
    """Gives one record of a history. Raises as `from_plain` does."""
    per_class, validation = plain["per_class"], plain["validation"]
    return EpochRecord(
        **{
            **plain,
            "train": Losses(**plain["train"]),
            "lr": tuple(plain["lr"]),
            "per_class": None if per_class is None else {name: tuple(values) for name, values in per_class.items()},
            "validation": None if validation is None else Losses(**validation),
        }
    )


def _shallow(noun: EpochRecord | Segment) -> dict[str, Any]:
    return {field.name: getattr(noun, field.name) for field in dataclasses.fields(noun)}


def _plain(value: Any, place: str) -> Any:
    """Copies a tree down to exact plain types: a NumPy number is a float to Python, but code to an unpickler."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        # torch.save writes whole storages: a view would bring along everything that it is a view of.
        return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {_plain(key, f"a key of {place}"): _plain(item, f"{place}[{key!r}]") for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item, f"{place}[{index}]") for index, item in enumerate(value))
    raise TypeError(f"a checkpoint holds tensors and plain values, but {place} is a {type(value).__name__}")
