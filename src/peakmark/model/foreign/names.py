"""What are the tensors of a YOLOv8 detector called elsewhere, and do those of a file fit, one by one?

Everywhere a tensor is called by the index of its layer in the published table; this is the table of both names. Where a
norm was folded into its convolution (a fused file), that has a bias and the norm's five tensors are gone: ours becomes
a norm that changes nothing but adds that bias. It must not know files, nor what the layers compute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from peakmark.errors import ModelFileError
from peakmark.model.blocks import ConvNormAct
from peakmark.model.detector import BINS, Detector

PARTS = {
    "split": "cv1",
    "join": "cv2",
    "bottlenecks": "m",
    "reduce": "cv1",
    "conv1": "cv1",
    "conv2": "cv2",
    "norm": "bn",
    "pool": "m",
    "box": "cv2",
    "cls": "cv3",
    "bins": "dfl.conv.weight",
}
"""What the parts of a name are called elsewhere; all others have the same name."""
OF_STEM, OF_CLASSES = "model.0.conv.weight", "model.22.cv3.0.2.weight"
"""The first convolution and the last of the first class branch: their shapes say scale and classes."""
_WEIGHT, _BIAS, _NORM = ".conv.weight", ".conv.bias", ".norm."


def foreign_names(model: Detector) -> dict[str, str]:
    """Gives the name elsewhere of each tensor of our state dict: backbone.stem.conv.weight is model.0.conv.weight."""
    table = {}
    for index, layer in model.layers().items():
        (prefix,) = (name for name, module in model.named_modules() if module is layer)
        for key in layer.state_dict():
            parts = [PARTS.get(part, part) for part in key.split(".")]
            table[f"{prefix}.{key}"] = ".".join(("model", str(index), *parts))
    return table


def own_names(model: Detector) -> dict[str, str]:
    """The same for weights that have our names: each is its own."""
    return {name: name for name in model.state_dict()}


@dataclass(frozen=True, slots=True)
class Held:
    """The tensors of a file by the names that they have there; none is read before its shape is known."""

    values: Mapping[str, object]
    shape: Callable[[object], tuple[int, ...] | None]
    tensor: Callable[[object], torch.Tensor | None]


def misfits(held: Held, model: Detector, table: Mapping[str, str], fused: Collection[str] = ()) -> list[str]:
    """Says where tensors are missing, too many, or of other shapes than those of `model`, called as in `table`.

    `fused`: the convolutions, by their names there, whose norms are folded into them.
    """
    wanted = {theirs: shape for _, theirs, shape in _wanted(model, table, fused)}
    said = [f"{name} is missing" for name in wanted if name not in held.values]
    for name, value in held.values.items():
        shape = held.shape(value)
        if name not in wanted:
            said.append(f"{name!a:.80} is a tensor too many")
        # The bins of the distribution are a 1 x 1 convolution elsewhere: (1, R, 1, 1) for our (R,).
        elif shape is None or _without_ones(shape) != _without_ones(wanted[name]):
            said.append(f"{name} has shape {shape} instead of {wanted[name]}")
    return said


def our_weights(
    held: Held, model: Detector, table: Mapping[str, str], fused: Collection[str] = ()
) -> dict[str, torch.Tensor]:
    """Gives our state dict of tensors that fit, in float32. Raises ModelFileError where a value is not finite.

    Deterministic; float16 and bfloat16 come over exactly.
    """
    wanted = model.state_dict()
    weights = {}
    for ours, theirs, _ in _wanted(model, table, fused):
        tensor = held.tensor(held.values[theirs])
        assert tensor is not None
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"{theirs} holds values that are not finite")
        shape = wanted[ours].shape if ours in wanted else tensor.shape
        weights[ours] = tensor.reshape(shape).to(wanted[ours].dtype if ours in wanted else torch.float32)
    _unfuse(weights, model)
    if not torch.equal(weights["head.bins"], torch.arange(BINS, dtype=torch.float32)):
        raise ModelFileError(f"its bins of distances ({table['head.bins']}) are not 0 to {BINS - 1}")
    return {name: weights[name] for name in wanted}


def fold_epsilon(weights: dict[str, torch.Tensor], model: Detector, eps_of: Mapping[str, float]) -> None:
    """Has norms of another eps, by their names here, give what they gave with it: their scale takes up the difference.

    In the scale, not in the variance: that stays what it was measured as, and a training goes on from it.
    """
    for name, eps in eps_of.items():
        norm = model.get_submodule(name)
        assert isinstance(norm, nn.BatchNorm2d)
        variance = weights[f"{name}.running_var"].double()
        scale = torch.sqrt((variance + norm.eps) / (variance + eps))
        weights[f"{name}.weight"] = (weights[f"{name}.weight"].double() * scale).float()


def of_convolutions(model: Detector, table: Mapping[str, str]) -> dict[str, str]:
    """The blocks of convolution, norm and activation by their names there, with ours."""
    return {
        table[name + _WEIGHT].removesuffix(_WEIGHT): name
        for name, module in model.named_modules()
        if isinstance(module, ConvNormAct)
    }


def _wanted(
    model: Detector, table: Mapping[str, str], fused: Collection[str]
) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Our name, the name there, and the shape of each tensor that there should be."""
    blocks = of_convolutions(model, table)
    ours_fused = {blocks[name]: name for name in fused}
    for name, tensor in model.state_dict().items():
        block, is_norm, _ = name.partition(_NORM)
        if is_norm and block in ours_fused:
            continue
        yield name, table[name], tuple(tensor.shape)
        block = name.removesuffix(_WEIGHT)
        if block in ours_fused:
            yield block + _BIAS, ours_fused[block] + _BIAS, (tensor.shape[0],)


def _unfuse(weights: dict[str, torch.Tensor], model: Detector) -> None:
    """Puts a norm that only adds it in the place of each bias that a convolution got from its own norm."""
    for name, module in model.named_modules():
        bias = weights.pop(name + _BIAS, None) if isinstance(module, ConvNormAct) else None
        if bias is None:
            continue
        assert isinstance(module, ConvNormAct)
        assert isinstance(module.norm, nn.BatchNorm2d)
        made = {
            "weight": torch.ones_like(bias),
            "bias": bias,
            "running_mean": torch.zeros_like(bias),
            "running_var": torch.full_like(bias, 1 - module.norm.eps),
            # As of a norm that has seen nothing: in a training its statistics then move quickly to true ones.
            "num_batches_tracked": torch.tensor(0),
        }
        weights.update({f"{name}{_NORM}{part}": tensor for part, tensor in made.items()})


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
