"""How do weights that another YOLOv8 program trained become ours? By a table of names; the architecture is the same.

The table follows from the published layer indices. Nothing but names of classes and tensors is taken from the file, and
nothing in it is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from peakmark.errors import ModelFileError
from peakmark.machine.foreign_pickle import ForeignFile, ForeignObject, read_foreign
from peakmark.model.detector import Detector
from peakmark.model.scales import SCALES, Scale

_FOREIGN_PARTS = {
    "split": "cv1",
    "join": "cv2",
    "bottlenecks": "m",
    "reduce": "cv1",
    "conv1": "cv1",
    "conv2": "cv2",
    "norm": "bn",
    "box": "cv2",
    "cls": "cv3",
    "bins": "dfl.conv.weight",
}
"""What the parts of a tensor's name are called elsewhere; all others have the same name."""


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """A detector that another program trained."""

    scale: Scale
    names: tuple[str, ...]
    weights: Mapping[str, torch.Tensor]
    """By our names, float32."""


def foreign_names(model: Detector) -> dict[str, str]:
    """Gives the name elsewhere of each tensor of our state dict: backbone.stem.conv.weight is model.0.conv.weight."""
    table = {}
    for index, layer in model.layers().items():
        (prefix,) = (name for name, module in model.named_modules() if module is layer)
        for key in layer.state_dict():
            parts = [_FOREIGN_PARTS.get(part, part) for part in key.split(".")]
            table[f"{prefix}.{key}"] = ".".join(("model", str(index), *parts))
    return table


def read_foreign_model(path: Path) -> ForeignModel:
    """Reads the averaged weights, else the raw ones, of a YOLOv8 detector in a file of another program.

    Raises ModelFileError where the file holds none, or one whose tensors are not those of a published scale.
    """
    file = read_foreign(path)
    root = file.root if isinstance(file.root, dict) else {}
    module = root.get("ema") or root.get("model")
    names = _class_names(module)
    if not isinstance(module, ForeignObject) or names is None:
        raise ModelFileError(f"{path} holds no YOLOv8 detector with class names. Give the .pt file of a detector.")
    found = dict(_tensors(file, module, ""))
    for scale in SCALES.values():
        weights = _fitting(found, scale, len(names))
        if weights is not None:
            return ForeignModel(scale, names, weights)
    raise ModelFileError(
        f"{path} holds a model of another architecture than yolov8n, s, m, l or x for {len(names)} classes. "
        "Give the .pt file of a YOLOv8 detector."
    )


def _class_names(module: object) -> tuple[str, ...] | None:
    names = _state(module).get("names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _tensors(file: ForeignFile, module: object, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Walks a pickled module as `state_dict` would."""
    state = _state(module)
    for kind in ("_parameters", "_buffers"):
        for name, value in _mapping(state.get(kind)).items():
            tensor = file.tensor(value)
            if tensor is not None:
                yield f"{prefix}{name}", tensor
    for name, child in _mapping(state.get("_modules")).items():
        yield from _tensors(file, child, f"{prefix}{name}.")


def _fitting(found: Mapping[str, torch.Tensor], scale: Scale, classes: int) -> dict[str, torch.Tensor] | None:
    """Gives the tensors under our names, or None unless all of them are there and fit."""
    model = Detector(scale, classes)
    table = foreign_names(model)
    if set(table.values()) != set(found):
        return None
    weights = {}
    for ours, wanted in model.state_dict().items():
        tensor = found[table[ours]]
        # The bins of the distribution are a 1 x 1 convolution elsewhere: (1, R, 1, 1) for our (R,).
        if tensor.numel() != wanted.numel() or tuple(tensor.squeeze().shape) != tuple(wanted.squeeze().shape):
            return None
        weights[ours] = tensor.reshape(wanted.shape).to(wanted.dtype)
    return weights


def _state(module: object) -> dict[str, Any]:
    return _mapping(module.state) if isinstance(module, ForeignObject) else {}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
