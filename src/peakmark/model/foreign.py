"""How do weights that another YOLOv8 program trained become ours? By a table of names, where both compute the same.

The table follows from the published layer indices. Nothing but names, numbers and tensors is taken from the file, and
nothing in it is run. A file whose layers compute otherwise is refused with the layer and the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from peakmark.errors import ModelFileError
from peakmark.files.foreign_values import ForeignObject
from peakmark.files.torch_file import TorchFile, UnreadableError, opened
from peakmark.model.detector import BINS, Detector, detector_on_meta
from peakmark.model.foreign_layers import FOREIGN_PARTS, ROOT_KIND, Module, differences, modules_of
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
    "C3k2": "YOLO11",
    "A2C2f": "YOLO12",
    "SCDown": "YOLOv10",
    "v10Detect": "YOLOv10",
    "RepNCSPELAN4": "YOLOv9",
    "SPPELAN": "YOLOv9",
    "C3": "YOLOv5 or YOLOv3",
    "RepVGGBlock": "YOLOv6",
}
"""Of which family a layer is that YOLOv8 doesn't have; those that tell most first."""
_OF_STEM, _OF_CLASSES = "model.0.conv.weight", "model.22.cv3.0.2.weight"
_MOST_NUMBERS = 8
_SHOWN = 3
_REMEDY = "Give the .pt file of a plain YOLOv8 detector, or start from an architecture such as yolov8n.yaml."


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
            parts = [FOREIGN_PARTS.get(part, part) for part in key.split(".")]
            table[f"{prefix}.{key}"] = ".".join(("model", str(index), *parts))
    return table


def read_foreign_model(path: Path) -> ForeignModel:
    """Reads the averaged weights, else the raw ones, of a YOLOv8 detector in a file of another program.

    Raises ModelFileError where the file holds none, or one that computes otherwise than a published scale.
    """
    try:
        with opened(path) as stream:
            return _read(path, TorchFile(stream))
    except UnreadableError as error:
        raise ModelFileError(
            f"{path} can't be read as a model file of another program: {error}. "
            "Give a whole .pt file, or one that Peakmark wrote."
        ) from error
    except OSError as error:
        raise ModelFileError(
            f"{path} can't be read: {error.strerror or error}. Check its rights and the disk."
        ) from error


def _read(path: Path, file: TorchFile) -> ForeignModel:
    root = file.root if isinstance(file.root, dict) else {}
    module = root.get("ema") or root.get("model")
    if not isinstance(module, ForeignObject):
        raise ModelFileError(f"{path} holds no YOLOv8 detector with class names. Give the .pt file of a detector.")
    try:
        modules = modules_of(module)
    except ModelFileError as error:
        raise ModelFileError(f"{path} can't be imported: {error}. {_REMEDY}") from error
    _check_kind(path, root, modules)
    names = _class_names(modules[""])
    if names is None:
        raise ModelFileError(f"{path} holds no YOLOv8 detector with class names. Give the .pt file of a detector.")
    found = dict(_tensors(modules))
    model = _alike(path, file, found, names)
    said = [*differences(modules, model, lambda value: _numbers(file, value)), *_of_tensors(file, found, model)]
    if said:
        more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
        raise ModelFileError(
            f"{path} can't be imported{_written_by(root)}: it computes otherwise than {model.architecture}. "
            f"{'; '.join(said[:_SHOWN])}{more}. {_REMEDY}"
        )
    return ForeignModel(SCALES[model.architecture], names, _weights(path, file, found, model))


# --- what the file is ------------------------------------------------------------------------------------------------


def _check_kind(path: Path, root: Mapping[Any, Any], modules: Mapping[str, Module]) -> None:
    """Refuses another task, program or family of models by its name."""
    kind = modules[""].short_kind
    if kind != ROOT_KIND:
        is_what = _TASKS.get(kind, "a model of another program")
        raise ModelFileError(
            f"{path} holds {is_what} ({kind!a:.80}){_written_by(root)}; Peakmark imports YOLOv8 detectors. {_REMEDY}"
        )
    layers = {module.short_kind for path, module in modules.items() if path.count(".") == 1}
    for layer, family in _FAMILIES.items():
        if layer in layers:
            raise ModelFileError(
                f"{path} holds {_called(modules['']) or 'a model'}, of {family}: it has layers {layer}"
                f"{_written_by(root)}; Peakmark imports YOLOv8 detectors. {_REMEDY}"
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


def _class_names(module: Module) -> tuple[str, ...] | None:
    names = module.state.get("names")
    if isinstance(names, dict):
        # Keys of several types can't even be sorted.
        if not all(type(key) is int for key in names) or sorted(names) != list(range(len(names))):
            return None
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


# --- its tensors -----------------------------------------------------------------------------------------------------


def _tensors(modules: Mapping[str, Module]) -> Iterator[tuple[str, object]]:
    """What stands for each tensor, by the name that it has in a `state_dict`."""
    for path, module in modules.items():
        for kind in ("_parameters", "_buffers"):
            held = module.state.get(kind)
            for name, value in held.items() if isinstance(held, dict) else ():
                if value is not None:
                    yield f"{path}.{name}" if path else f"{name}", value


def _alike(path: Path, file: TorchFile, found: Mapping[str, object], names: Sequence[str]) -> Detector:
    """Builds the detector that this should be one like, without memory for its weights; by the width of the stem."""
    widths = {scale.channels(64): scale for scale in SCALES.values()}
    stem, classes = (file.shape(found.get(name)) or (0,) for name in (_OF_STEM, _OF_CLASSES))
    if stem[0] not in widths:
        raise ModelFileError(
            f"{path} holds a model of another architecture than yolov8n, s, m, l or x: {_OF_STEM} has {stem[0]} "
            f"channels, where these have {', '.join(map(str, widths))}. {_REMEDY}"
        )
    if classes[0] != len(names):
        raise ModelFileError(
            f"{path} holds a model of another architecture than {widths[stem[0]].name} for {len(names)} classes: "
            f"{_OF_CLASSES} is for {classes[0]}. {_REMEDY}"
        )
    return detector_on_meta(widths[stem[0]], len(names))


def _of_tensors(file: TorchFile, found: Mapping[str, object], model: Detector) -> list[str]:
    """Says where tensors are missing, too many or of other shapes."""
    tensors = model.state_dict()
    wanted = {name: tuple(tensors[ours].shape) for ours, name in foreign_names(model).items()}
    said = [f"{name} is missing" for name in wanted if name not in found]
    for name, value in found.items():
        shape = file.shape(value)
        if name not in wanted:
            said.append(f"{name!a:.80} is a tensor too many")
        # The bins of the distribution are a 1 x 1 convolution elsewhere: (1, R, 1, 1) for our (R,).
        elif shape is None or _without_ones(shape) != _without_ones(wanted[name]):
            said.append(f"{name} has shape {shape} instead of {wanted[name]}")
    return said


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _weights(path: Path, file: TorchFile, found: Mapping[str, object], model: Detector) -> dict[str, torch.Tensor]:
    weights = {}
    table = foreign_names(model)
    for ours, wanted in model.state_dict().items():
        tensor = file.tensor(found[table[ours]])
        assert tensor is not None
        weights[ours] = tensor.reshape(wanted.shape).to(wanted.dtype)
    if not torch.equal(weights["head.bins"], torch.arange(BINS, dtype=torch.float32)):
        raise ModelFileError(
            f"{path} can't be imported: its bins of distances (model.22.dfl.conv.weight) are not 0 to {BINS - 1}. "
            f"{_REMEDY}"
        )
    return weights


def _numbers(file: TorchFile, value: object) -> list[float] | None:
    shape = file.shape(value)
    if shape is None or len(shape) != 1 or shape[0] > _MOST_NUMBERS:
        return None
    tensor = file.tensor(value)
    return None if tensor is None else [float(number) for number in tensor]
