"""How do weights that another YOLOv8 program trained become ours? By a table of names, where both compute the same.

The table follows from the published layer indices. Nothing but names, numbers and tensors is taken from the file, and
nothing in it is run. A file whose layers compute otherwise is refused with the layer and the difference; one that holds
bare tensors says nothing of its layers, and whoever uses it is told so.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from peakmark.errors import ModelFileError
from peakmark.files.foreign_values import ForeignObject
from peakmark.files.safetensors_file import read_safetensors
from peakmark.files.torch_file import TorchFile, UnreadableError, opened
from peakmark.model.detector import Detector, classes_of, detector_on_meta
from peakmark.model.foreign.bare_tensors import bare_tensors_in, from_bare_tensors
from peakmark.model.foreign.layers import ROOT_KIND, Module, differences, fused_blocks, modules_of, norms_of
from peakmark.model.foreign.names import (
    OF_CLASSES,
    OF_STEM,
    Held,
    fold_epsilon,
    foreign_names,
    misfits,
    of_convolutions,
    our_weights,
)
from peakmark.model.foreign.origin import Origin, origin_of, train_args_of
from peakmark.model.scales import SCALES, Scale

_TASKS = {
    "SegmentationModel": "a segmentation model",
    "PoseModel": "a pose model",
    "ClassificationModel": "a classification model",
    "OBBModel": "a model of rotated boxes",
    "WorldModel": "a YOLO-World model",
    "RTDETRDetectionModel": "an RT-DETR model",
    "YOLOEModel": "a YOLOE model",
    "YOLOESegModel": "a YOLOE model",
    "SemanticSegmentationModel": "a segmentation model",
}
_FAMILIES = {
    "A2C2f": "YOLO12",
    "SCDown": "YOLOv10",
    "v10Detect": "YOLOv10",
    "C3k2": "YOLO11 or later",
    "RepNCSPELAN4": "YOLOv9",
    "SPPELAN": "YOLOv9",
    "C3": "YOLOv5 or YOLOv3",
    "RepVGGBlock": "YOLOv6",
    "GhostConv": "a variant with ghost convolutions",
}
"""Of which family a layer is that YOLOv8 doesn't have; those that tell most first."""
_LAYERS = 23
_MOST_NUMBERS = 8
_SHOWN = 3
_REMEDY = "Give the .pt file of a plain YOLOv8 detector, or start from an architecture such as yolov8n.yaml."


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """A detector that another program trained."""

    scale: Scale
    names: tuple[str, ...]
    """Of its classes; none where a file of bare tensors doesn't say."""
    weights: Mapping[str, torch.Tensor]
    """By our names, float32."""
    origin: Origin = field(default_factory=Origin)
    train_args: Mapping[str, Any] = field(default_factory=dict)
    """The settings that it was trained with, under their names there."""
    notes: tuple[str, ...] = ()
    """What whoever uses it should know, a sentence each."""


def read_foreign_model(path: Path) -> ForeignModel:
    """Reads the averaged weights, else the others, of a YOLOv8 detector in a file of another program.

    Raises ModelFileError where the file holds none, or one that computes otherwise than a published scale.
    """
    try:
        with opened(path) as stream:
            return read_from(path, TorchFile(stream))
    except UnreadableError as error:
        raise ModelFileError(
            f"{path} can't be read as a model file of another program: {error}. "
            "Give a whole .pt file, or one that Peakmark wrote."
        ) from error
    except OSError as error:
        raise ModelFileError(
            f"{path} can't be read: {error.strerror or error}. Check its rights and the disk."
        ) from error


def read_from(path: Path, file: TorchFile) -> ForeignModel:
    """The same of a file that is open. Raises UnreadableError as well."""
    root = file.root if isinstance(file.root, dict) else {}
    averaged = bool(root.get("ema"))
    module = root.get("ema") or root.get("model")
    bare, is_average = bare_tensors_in(root, lambda value: file.shape(value) is not None)
    if bare:
        held = Held(bare, file.shape, file.tensor)
        return _of_bare_tensors(path, held, class_names(root.get("names")), origin_of(root, None, averaged=is_average))
    if not isinstance(module, ForeignObject):
        raise ModelFileError(
            f"{path} holds no YOLOv8 detector with class names, and is no checkpoint of Peakmark. Give the .pt"
            " file of a detector."
        )
    try:
        modules = modules_of(module)
    except ModelFileError as error:
        raise ModelFileError(f"{path} can't be imported: {error}. {_REMEDY}") from error
    _check_kind(path, root, modules)
    names = class_names(modules[""].state.get("names"))
    if names is None:
        raise ModelFileError(f"{path} holds no YOLOv8 detector with class names. Give the .pt file of a detector.")
    held = Held(_tensors(modules), file.shape, file.tensor)
    model = _alike(path, held, names)
    table, fused = foreign_names(model), fused_blocks(modules)
    # Blocks that our model doesn't have are said to be too many below.
    fused &= of_convolutions(model, table).keys()
    said = [
        *differences(modules, model, lambda value: _numbers(file, value), fused),
        *misfits(held, model, table, fused),
    ]
    if said:
        raise ModelFileError(
            f"{path} can't be imported{_written_by(root)}: it computes otherwise than {model.architecture}. "
            f"{_few(said)}. {_REMEDY}"
        )
    try:
        weights = our_weights(held, model, table, fused)
    except ModelFileError as error:
        raise ModelFileError(f"{path} can't be imported: {error}. {_REMEDY}") from error
    norms = norms_of(modules, model)
    ours = {theirs.rpartition(".")[0]: name.rpartition(".")[0] for name, theirs in table.items()}
    fold_epsilon(weights, model, {ours[name]: eps for name, eps in norms.eps.items()})
    notes = (*_about_fused(fused), *_about_norms(norms.eps, norms.momentum))
    origin = origin_of(root, modules[""].kind, averaged=averaged)
    return ForeignModel(SCALES[model.architecture], names, weights, origin, train_args_of(root), notes)


def read_foreign_safetensors(path: Path) -> ForeignModel:
    """Reads a detector out of a safetensors file: its tensors by their names, class names where it says them.

    Raises ModelFileError as `read_foreign_model`.
    """
    tensors, said = read_safetensors(path)
    held = Held(tensors, lambda value: _shape(value), lambda value: value if isinstance(value, torch.Tensor) else None)
    names = None
    with contextlib.suppress(ValueError, RecursionError):
        names = class_names(_by_number(json.loads(said.get("names", ""))))
    return _of_bare_tensors(path, held, names, origin_of(said, None, averaged=None))


def _shape(value: object) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _by_number(names: object) -> object:
    """JSON has no numbers for keys."""
    known = isinstance(names, dict) and all(name.isdecimal() for name in names)
    return {int(name): value for name, value in names.items()} if known and isinstance(names, dict) else names


def _of_bare_tensors(path: Path, held: Held, names: tuple[str, ...] | None, origin: Origin) -> ForeignModel:
    try:
        scale, weights, notes = from_bare_tensors(held)
    except ModelFileError as error:
        raise ModelFileError(f"{path} can't be imported: {error}. {_REMEDY}") from error
    if names is not None and len(names) != classes_of(weights):
        raise ModelFileError(
            f"{path} can't be imported: it names {len(names)} classes, and its weights are for {classes_of(weights)}."
            f" {_REMEDY}"
        )
    return ForeignModel(scale, names or (), weights, origin, notes=notes)


# --- what is said of it ----------------------------------------------------------------------------------------------


def _about_fused(fused: Collection[str]) -> tuple[str, ...]:
    if not fused:
        return ()
    return (
        f"The norms of {len(fused)} convolutions were folded into them (a fused file): its outputs are the same, but a"
        " training from it has to learn their statistics anew. To train from it, take the file from before it was"
        " fused where there is one.",
    )


def _about_norms(eps: Mapping[str, float], momentum: Mapping[str, object]) -> tuple[str, ...]:
    said = []
    if eps:
        shown = ", ".join(sorted({f"{value:g}" for value in eps.values()}))
        said.append(
            f"{len(eps)} of its norms have another eps ({shown}, 0.001 here): their scales take up the difference, so"
            " its outputs are the same."
        )
    if momentum:
        said.append(
            f"{len(momentum)} of its norms have another momentum, which changes no output; a training from it moves"
            " their statistics as all trainings here do."
        )
    return tuple(said)


def _few(said: Sequence[str]) -> str:
    more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return f"{'; '.join(said[:_SHOWN])}{more}"


# --- what the file is ------------------------------------------------------------------------------------------------


def _check_kind(path: Path, root: Mapping[Any, Any], modules: Mapping[str, Module]) -> None:
    """Refuses another task, program or family of models by its name."""
    kind = modules[""].short_kind
    if kind != ROOT_KIND:
        is_what = _TASKS.get(kind, "a model of another program")
        raise ModelFileError(
            f"{path} holds {is_what} ({kind!a:.80}){_written_by(root)}; Peakmark imports YOLOv8 detectors. {_REMEDY}"
        )
    called = _called(modules[""]) or "a model"
    layers = {module.short_kind for path, module in modules.items() if path.count(".") == 1}
    for layer, family in _FAMILIES.items():
        if layer in layers:
            raise ModelFileError(
                f"{path} holds {called}, of {family}: it has layers {layer}"
                f"{_written_by(root)}; Peakmark imports YOLOv8 detectors. {_REMEDY}"
            )
    count = len(modules["model"].children) if "model" in modules else 0
    if count not in (0, _LAYERS):
        raise ModelFileError(
            f"{path} holds {called} of {count} layers{_written_by(root)}, where a YOLOv8 detector has {_LAYERS}. "
            f"{_REMEDY}"
        )


def _called(module: Module) -> str | None:
    table = module.state.get("yaml")
    name = table.get("yaml_file") if isinstance(table, dict) else None
    stem = name.rpartition("/")[2].partition(".")[0] if isinstance(name, str) else ""
    return stem if re.fullmatch(r"[\w-]{1,40}", stem) else None


def _written_by(root: Mapping[Any, Any]) -> str:
    version = root.get("version")
    return f" (written by version {version})" if isinstance(version, str) and _is_version(version) else ""


def _is_version(text: str) -> bool:
    return bool(re.fullmatch(r"[\w.+-]{1,40}", text))


def class_names(names: object) -> tuple[str, ...] | None:
    """Reads the names of classes as programs write them: a list, or a dict by number. None where they are none."""
    if isinstance(names, dict):
        # Keys of several types can't even be sorted.
        if not all(type(key) is int for key in names) or sorted(names) != list(range(len(names))):
            return None
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


# --- its tensors -----------------------------------------------------------------------------------------------------


def _tensors(modules: Mapping[str, Module]) -> dict[str, object]:
    """What stands for each tensor, by the name that it has in a `state_dict`."""
    found = {}
    for path, module in modules.items():
        for kind in ("_parameters", "_buffers"):
            held = module.state.get(kind)
            for name, value in held.items() if isinstance(held, dict) else ():
                if value is not None:
                    found[f"{path}.{name}" if path else f"{name}"] = value
    return found


def _alike(path: Path, held: Held, names: Sequence[str]) -> Detector:
    """Builds the detector that this should be one like, without memory for its weights; by the width of the stem."""
    widths = {scale.channels(64): scale for scale in SCALES.values()}
    stem, classes = (held.shape(held.values.get(name)) or (0,) for name in (OF_STEM, OF_CLASSES))
    if stem[0] not in widths:
        raise ModelFileError(
            f"{path} holds a model of another architecture than yolov8n, s, m, l or x: {OF_STEM} has {stem[0]} "
            f"channels, where these have {', '.join(map(str, widths))}. {_REMEDY}"
        )
    if classes[0] != len(names):
        raise ModelFileError(
            f"{path} holds a model of another architecture than {widths[stem[0]].name} for {len(names)} classes: "
            f"{OF_CLASSES} is for {classes[0]}. {_REMEDY}"
        )
    return detector_on_meta(widths[stem[0]], len(names))


def _numbers(file: TorchFile, value: object) -> list[float] | None:
    shape = file.shape(value)
    if shape is None or len(shape) != 1 or shape[0] > _MOST_NUMBERS:
        return None
    tensor = file.tensor(value)
    return None if tensor is None else [float(number) for number in tensor]
