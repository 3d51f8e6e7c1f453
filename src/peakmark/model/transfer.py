"""How do trained weights get into a model for other classes? Everything that fits is copied; classes go by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from peakmark.model.detector import CLASS_BIAS, Detector, detector_on_meta
from peakmark.model.scales import SCALES


@torch.no_grad()
def transfer(
    model: Detector, weights: Mapping[str, torch.Tensor], *, old_names: Sequence[str], new_names: Sequence[str]
) -> str:
    """Copies `weights` into a freshly built model, in place, and says in words what was carried over.

    Tensors of equal shape are copied; the last layer of the class branches goes class by class where names match.
    What has no counterpart (other scale, other classes) keeps its fresh weights.
    """
    class_outputs = _class_output_names(model)
    known = {name: old_names.index(name) for name in new_names if name in old_names}
    copied = 0
    for key, tensor in model.state_dict().items():
        old = weights.get(key)
        if old is None:
            continue
        if key in class_outputs:
            if old.shape[1:] == tensor.shape[1:]:
                for row, name in enumerate(new_names):
                    if name in known:
                        tensor[row].copy_(old[known[name]])
                copied += 1
        elif old.shape == tensor.shape:
            tensor.copy_(old)
            copied += 1
    share = f"{copied} of {len(model.state_dict())} tensors are carried over"
    if len(known) == len(new_names):
        return f"{share}, the head for all {len(new_names)} classes."
    return f"{share}, the head for {len(known)} of {len(new_names)} classes, those whose names match."


def misfit(weights: Mapping[str, torch.Tensor], architecture: str, classes: int) -> str | None:
    """Says in words why weights are not those of an architecture for so many classes; None where they are."""
    outputs = weights.get(CLASS_BIAS)
    if outputs is None or outputs.shape != (classes,):
        # Before a detector for as many classes is made: a file may name more of them than fit into memory.
        return f"its weights are not those of a detector for the {classes:,} classes that it names"
    wanted = detector_on_meta(SCALES[architecture], classes).state_dict()
    if weights.keys() != wanted.keys():
        return f"its weights have other names than those of {architecture}"
    for name, tensor in wanted.items():
        if weights[name].shape != tensor.shape or weights[name].dtype != tensor.dtype:
            return (
                f"its {name} is {tuple(weights[name].shape)} of {weights[name].dtype}, where {architecture} has "
                f"{tuple(tensor.shape)} of {tensor.dtype}"
            )
    return None


def _class_output_names(model: Detector) -> set[str]:
    names = set()
    for level, branch in enumerate(model.head.cls):
        assert isinstance(branch, nn.Sequential)
        names |= {f"head.cls.{level}.{len(branch) - 1}.{part}" for part in ("weight", "bias")}
    return names
