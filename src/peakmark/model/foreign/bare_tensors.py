"""Which detector are bare tensors of, by their names and shapes alone? State dicts of ours and of others.

Names say which layer a tensor is of, not what the layer computes: whoever uses such weights is told so. It must not
know files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from peakmark.errors import ModelFileError
from peakmark.model.detector import CLASS_BIAS, Detector, detector_on_meta
from peakmark.model.foreign.names import (
    OF_CLASSES,
    OF_STEM,
    Held,
    foreign_names,
    misfits,
    of_convolutions,
    our_weights,
    own_names,
)
from peakmark.model.scales import SCALES, Scale

NAMES_ALONE = (
    "It holds bare tensors, whose names say nothing of activations, strides or the eps of norms: they are taken to be"
    " those of YOLOv8. Where that is not sure, compare what it finds with the program that trained it."
)
FUSED = (
    "Its norms were folded into its convolutions: outputs are the same, but a training from it has to learn their"
    " statistics anew."
)
_OUR_STEM = "backbone.stem.conv.weight"
_OUR_CLASSES = CLASS_BIAS.replace("bias", "weight")
_NAMINGS: tuple[tuple[str, str, Callable[[Detector], dict[str, str]]], ...] = (
    (_OUR_STEM, _OUR_CLASSES, own_names),
    (OF_STEM, OF_CLASSES, foreign_names),
)
_INSIDE = ("ema", "ema_state_dict", "model", "model_state_dict", "state_dict", "weights")
"""Where programs keep them in what they save; averaged ones first."""
_SHOWN = 3


def bare_tensors_in(root: object, is_tensor: Callable[[object], bool]) -> tuple[Mapping[str, object], bool | None]:
    """Finds the state dict of a detector in what was saved, and whether it is called an average (None: it isn't said).

    Empty where there is none.
    """
    if _naming(root, is_tensor) is not None:
        return dict(_texts(root)), None
    for key in _INSIDE:
        inside = root.get(key) if isinstance(root, Mapping) else None
        if _naming(inside, is_tensor) is not None:
            return dict(_texts(inside)), key.startswith("ema")
    return {}, None


def from_bare_tensors(held: Held) -> tuple[Scale, dict[str, torch.Tensor], tuple[str, ...]]:
    """Gives scale and state dict, by our names, of tensors of either naming, and what is to be said of them.

    A prefix that all names share (`module.`, `model.`) is looked through. Raises ModelFileError where they are not
    those of a YOLOv8 detector, with what differs as the end of a sentence.
    """
    found = _naming(held.values, lambda value: held.shape(value) is not None)
    if found is None:
        raise ModelFileError(f"it has neither {_OUR_STEM} nor {OF_STEM}, the first layer of a YOLOv8 detector")
    prefix, of_classes, naming = found
    values = {name.removeprefix(prefix): value for name, value in held.values.items() if name.startswith(prefix)}
    said = [f"{name!a:.80} is a tensor too many" for name in held.values if not name.startswith(prefix)]
    held = Held(values, held.shape, held.tensor)
    stem = held.shape(values[_OUR_STEM if naming is own_names else OF_STEM]) or (0,)
    classes = held.shape(values.get(of_classes)) or (0,)
    widths = {scale.channels(64): scale for scale in SCALES.values()}
    if stem[0] not in widths or not classes[0]:
        raise ModelFileError(
            f"its first layer has {stem[0]} channels, where yolov8n, s, m, l and x have {', '.join(map(str, widths))}"
            if classes[0]
            else f"{of_classes} is missing"
        )
    scale = widths[stem[0]]
    model = detector_on_meta(scale, classes[0])
    table = naming(model)
    fused = [block for block in of_convolutions(model, table) if f"{block}.conv.bias" in values]
    said += misfits(held, model, table, fused)
    if said:
        raise ModelFileError(f"it is not a {scale.name} for {classes[0]} classes: {_few(said)}")
    weights = our_weights(held, model, table, fused)
    return scale, weights, (*(() if naming is own_names else (NAMES_ALONE,)), *((FUSED,) if fused else ()))


def in_our_names(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """A state dict under our names, where it has those of others; None where it has ours, or none that are known."""
    found = _naming(weights, lambda value: isinstance(value, torch.Tensor))
    if found is None or (found[2] is own_names and not found[0]):
        return None
    held = Held(weights, _shape, lambda value: value if isinstance(value, torch.Tensor) else None)
    return from_bare_tensors(held)[1]


def _shape(value: object) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _naming(
    said: object, is_tensor: Callable[[object], bool]
) -> tuple[str, str, Callable[[Detector], dict[str, str]]] | None:
    """The prefix of its names, what its class layer is called, and the table; None where it has no first layer."""
    for stem, classes, naming in _NAMINGS:
        for name, value in _texts(said):
            if (name == stem or name.endswith(f".{stem}")) and is_tensor(value):
                return name.removesuffix(stem), classes, naming
    return None


def _texts(said: object) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in said.items() if isinstance(name, str)] if isinstance(said, Mapping) else []


def _few(said: Sequence[str]) -> str:
    more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return f"{'; '.join(said[:_SHOWN])}{more}"
