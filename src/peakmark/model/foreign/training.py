"""How far was a training of another program that was interrupted, and what of its state does the file still hold?

The moments of its optimizer are numbered there: by groups of weights, norms and biases, each in the order in which the
file lists the modules. They are taken where the numbers of parameters and every shape agree, all or none. It must not
know what becomes of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from peakmark.errors import ModelFileError
from peakmark.files.foreign_values import ForeignObject
from peakmark.files.torch_file import TorchFile, UnreadableError, opened
from peakmark.model.detector import detector_on_meta
from peakmark.model.foreign.layers import Module, modules_of
from peakmark.model.foreign.names import foreign_names
from peakmark.model.foreign.reading import ForeignModel, read_from

_MOMENTS = {"AdamW": ("exp_avg", "exp_avg_sq"), "Adam": ("exp_avg", "exp_avg_sq"), "SGD": ("momentum_buffer",)}
_MOST_EPOCHS = 100_000


@dataclass(frozen=True, slots=True)
class ForeignTraining:
    """An interrupted training."""

    model: ForeignModel
    epochs_done: int
    updates: int
    """Of its weights, as its average counts them."""
    optimizer: str
    """Whose moments these are; as its settings name it."""
    moments: Mapping[str, Mapping[str, torch.Tensor]]
    """By our names of parameters; empty where none could be taken."""
    lost: str
    """Why none were; empty where they were."""
    lr0: float | None
    momentum: float | None
    """That the optimizer really had, where it says so: its settings may name what was only asked for."""
    history: Mapping[str, Sequence[float]]
    """A value for each epoch done, by the names of its table's columns."""


def read_foreign_training(path: Path) -> ForeignTraining:
    """Reads what is left of an interrupted training. Raises ModelFileError where the file holds none."""
    try:
        with opened(path) as stream:
            file = TorchFile(stream)
            return _read(path, file, read_from(path, file))
    except UnreadableError as error:
        raise ModelFileError(f"{path} can't be read as a model file of another program: {error}.") from error
    except OSError as error:
        raise ModelFileError(
            f"{path} can't be read: {error.strerror or error}. Check its rights and the disk."
        ) from error


def _read(path: Path, file: TorchFile, model: ForeignModel) -> ForeignTraining:
    origin, done = model.origin, model.origin.epochs_done
    if origin.finished is not False or done is None or not 0 < done < _MOST_EPOCHS:
        how = "its training has ended" if origin.finished else "it doesn't say how far its training was"
        raise ModelFileError(
            f"{path} is of another program, and {how}, so there is nothing to go on with: train from its weights with"
            f" peakmark train model={path} data=..."
        )
    root = file.root
    said = root.get("optimizer")
    groups = _groups(said)
    optimizer = str(model.train_args.get("optimizer"))
    try:
        moments, lost = _moments(file, root, said, groups, optimizer, model), ""
    except ValueError as error:
        moments, lost = {}, str(error)
    steps = [float(each["step"]) for each in moments.values() if "step" in each]
    updates = root.get("updates")
    known = isinstance(updates, int) and not isinstance(updates, bool) and 0 <= updates < 1 << 40
    return ForeignTraining(
        model,
        done,
        updates if known else int(max(steps, default=0)),
        optimizer,
        moments,
        lost,
        _number(groups[0].get("initial_lr")) if groups else None,
        _momentum(groups[0]) if groups else None,
        dict(_columns(root.get("train_results"), done)),
    )


def _groups(said: object) -> list[dict[str, Any]]:
    groups = said.get("param_groups") if isinstance(said, dict) else None
    return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []


def _moments(
    file: TorchFile,
    root: Mapping[Any, Any],
    said: object,
    groups: Sequence[Mapping[str, Any]],
    optimizer: str,
    model: ForeignModel,
) -> dict[str, dict[str, torch.Tensor]]:
    """Raises ValueError, with the reason, where they can't be told apart for sure."""
    state = said.get("state") if isinstance(said, dict) else None
    if not isinstance(state, dict) or not state or not groups:
        raise ValueError("the file holds no state of its optimizer")
    if optimizer not in _MOMENTS:
        raise ValueError(f"its optimizer is {optimizer!a:.40}, which Peakmark doesn't have")
    if model.notes:
        raise ValueError("its weights were taken with a change, and moments go with weights as they were")
    module = root.get("ema") or root.get("model")
    assert isinstance(module, ForeignObject)
    known = _parameters_by_group(modules_of(module))
    ours = {theirs: name for name, theirs in foreign_names(detector_on_meta(model.scale, len(model.names))).items()}
    found = {}
    for group in groups:
        numbers = group.get("params")
        names = known.get(str(group.get("param_group")))
        if names is None or not isinstance(numbers, list) or len(numbers) != len(names):
            raise ValueError("the groups of its optimizer are not those of weights, norms and biases")
        for number, name in zip(numbers, names, strict=True):
            if number in state:
                found[ours[name]] = _of_parameter(file, state[number], optimizer, model.weights[ours[name]])
    trained = [name for name in ours.values() if name.endswith(("weight", "bias"))]
    if set(found) != set(trained):
        raise ValueError(f"its optimizer has moments of {len(found)} parameters, where {len(trained)} are trained")
    return found


def _of_parameter(file: TorchFile, said: object, optimizer: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    if not isinstance(said, dict):
        raise ValueError("the state of its optimizer is not built as torch builds it")
    taken = {}
    for key in (*_MOMENTS[optimizer], *(("step",) if optimizer != "SGD" else ())):
        value = said.get(key)
        tensor = torch.tensor(float(value)) if isinstance(value, int | float) else file.tensor(value)
        wanted = () if key == "step" else tuple(weight.shape)
        if tensor is None or tuple(tensor.shape) != wanted or not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"a moment of its optimizer ({key}) doesn't fit its parameter, or isn't finite")
        taken[key] = tensor.float()
    return taken


def _parameters_by_group(modules: Mapping[str, Module]) -> dict[str, list[str]]:
    """Names of parameters as the optimizer there numbers them; held against its own by running the program."""
    groups: dict[str, list[str]] = {"weight": [], "bn": [], "bias": []}
    for path, module in modules.items():
        held = module.state.get("_parameters")
        for name, value in held.items() if isinstance(held, dict) else ():
            if value is not None:
                kind = "bias" if name == "bias" else "bn" if module.short_kind == "BatchNorm2d" else "weight"
                groups[kind].append(f"{path}.{name}")
    return groups


def _columns(said: object, epochs: int) -> Iterator[tuple[str, list[float]]]:
    for name, values in said.items() if isinstance(said, dict) else ():
        if isinstance(name, str) and isinstance(values, list) and len(values) >= epochs:
            numbers = [_number(value) for value in values[:epochs]]
            if None not in numbers:
                yield name, [number for number in numbers if number is not None]


def _momentum(group: Mapping[str, Any]) -> float | None:
    betas = group.get("betas")
    return _number(betas[0] if isinstance(betas, tuple | list) and betas else group.get("momentum"))


def _number(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known and isinstance(value, int | float) else None
