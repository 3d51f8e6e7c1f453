"""Does another program's model compute what ours does? Its layers are compared one by one, as its file describes them.

Two models may hold the same tensors under the same names and compute different things: one activation fewer moves boxes
by 65 px. What is expected is read off our own detector, so that the two can't drift apart; what a file says besides is
either known to change nothing or refused. Nothing of the file is run: its modules are plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from torch import nn

from peakmark.errors import ModelFileError
from peakmark.files.foreign_values import ForeignObject
from peakmark.model.blocks import SPPF, Bottleneck, C2f, Conv, ConvNormAct
from peakmark.model.detector import BINS, STRIDES, Detector, Head
from peakmark.model.foreign.names import PARTS

ROOT_KIND = "DetectionModel"
_PROGRAM = "ultralytics."
"""How the names of the classes begin that are known to compute as published; those of torch are known as well."""
_TORCH = "torch.nn.modules."
_NORM = f"{_TORCH}batchnorm.BatchNorm2d"
_GETATTR = ("__builtin__.getattr", "builtins.getattr")
_FUSED_FORWARD = "forward_fuse"
_SOURCES = {11: (10, 6), 14: (13, 4), 17: (16, 12), 20: (19, 9), 22: (15, 18, 21)}
"""Which layers a layer reads; all others read the one before."""
_UPSAMPLE = {"size": None, "scale_factor": 2, "mode": "nearest", "align_corners": None, "recompute_scale_factor": None}
_SAID_BY_NEWER = {"recompute_scale_factor", "n", "add of SPPF", "end2end", "_end2end", "c"}
"""What files of earlier versions don't say, since there it could not be otherwise."""
_CHANGES_NOTHING = {
    *("training", "inplace", "name", "i", "f", "type", "np", "return_indices"),
    *("stride", "anchors", "strides", "shape", "export", "format", "dynamic", "legacy", "max_det", "xyxy"),
    *("agnostic_nms", "separate_outputs"),
}
"""Bookkeeping, how training goes, and what happens to boxes after they were computed."""
_FORWARD_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_MOST_MODULES = 5000
_DEEPEST = 12
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Module:
    """A module of another program, as its file describes it."""

    path: str
    """model.0.conv"""
    kind: str
    """Name of its class, in full."""
    state: Mapping[str, Any]
    children: Mapping[str, object]
    made: ForeignObject
    """What the file says, itself: others may refer to it."""

    @property
    def short_kind(self) -> str:
        """As for a person; a class of an unknown program is named in full."""
        known = self.kind.startswith((_PROGRAM, _TORCH))
        return self.kind.rpartition(".")[2] if known else self.kind


@dataclass(frozen=True, slots=True)
class _Expected:
    kind: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    children: Sequence[str] = ()
    """Where it runs them in the order in which they stand; others call theirs by name."""
    in_order: bool = False


def modules_of(root: ForeignObject) -> dict[str, Module]:
    """Gives a pickled module by "" and all below it by their path. Raises ModelFileError where there is no end."""
    found: dict[str, Module] = {}
    for module in _walk(root, "", 0):
        if len(found) == _MOST_MODULES:
            raise ModelFileError(f"it has more than {_MOST_MODULES} modules")
        found[module.path] = module
    return found


def _walk(value: ForeignObject, path: str, depth: int) -> Iterator[Module]:
    if depth > _DEEPEST:
        raise ModelFileError(f"its modules are nested deeper than {_DEEPEST}, or in themselves")
    state = value.state if isinstance(value.state, dict) else {}
    children = {name: child for name, child in _dict(state.get("_modules")).items() if isinstance(name, str)}
    yield Module(path, value.name, state, children, value)
    for name, child in children.items():
        if isinstance(child, ForeignObject):
            yield from _walk(child, f"{path}.{name}" if path else name, depth + 1)


def fused_blocks(modules: Mapping[str, Module]) -> frozenset[str]:
    """The blocks whose norm is folded into their convolution, by their paths: they have none, and say so by `forward`.

    A block that merely lacks its norm computes something else.
    """
    return frozenset(path for path, module in modules.items() if _is_fused(module))


def _is_fused(module: Module) -> bool:
    calls = module.state.get("forward")
    return (
        _is_of_program(module.kind, "Conv")
        and "bn" not in module.children
        and isinstance(calls, ForeignObject)
        and calls.name in _GETATTR
        and calls.args == (module.made, _FUSED_FORWARD)
    )


@dataclass(frozen=True, slots=True)
class Norms:
    """In what the norms of a file may differ from ours and still be honoured, by their paths there."""

    eps: Mapping[str, float]
    """Those that differ."""
    momentum: Mapping[str, object]
    """Those that differ: how far statistics move in a training."""


def norms_of(modules: Mapping[str, Module], model: Detector) -> Norms:
    """Reads eps and momentum of every norm that `model` has as well; those that make no sense are left to refuse."""
    ours = {path: wish.attributes for path, wish in _expected(model) if wish.kind == _NORM}
    said = {path: modules[path].state for path in ours if path in modules and modules[path].kind == _NORM}
    eps = {path: state.get("eps") for path, state in said.items()}
    momenta = {path: state.get("momentum", _ABSENT) for path, state in said.items()}
    return Norms(
        {path: value for path, value in eps.items() if _is_eps(value) and value != ours[path]["eps"]},
        {path: value for path, value in momenta.items() if value != ours[path]["momentum"] and _is_share(value)},
    )


def _is_eps(value: object) -> TypeGuard[float]:
    return isinstance(value, float) and 0 < value <= 1


def _is_share(value: object) -> bool:
    return value is None or (isinstance(value, float) and 0 <= value <= 1)


def differences(
    modules: Mapping[str, Module],
    model: Detector,
    numbers: Callable[[object], Sequence[float] | None],
    fused: Collection[str] = (),
) -> list[str]:
    """Says in words where a pickled detector computes otherwise than `model`; an empty list where it doesn't.

    `numbers` reads a small tensor of the file, or gives None; `fused` blocks need no norm. Those that tell most come
    first: a layer of another class before an attribute of one. What `norms_of` gives is no difference.
    """
    norms = norms_of(modules, model)
    expected = {path: wish for path, wish in _expected(model) if not _is_norm_of(path, fused)}
    for path, wish in expected.items():
        honoured = {name for name, found in (("eps", norms.eps), ("momentum", norms.momentum)) if path in found}
        if honoured:
            expected[path] = replace(
                wish, attributes={name: value for name, value in wish.attributes.items() if name not in honoured}
            )
    kinds: list[str] = []
    details: list[str] = []
    for path, wish in expected.items():
        module = modules.get(path)
        if module is None:
            kinds.append(f"{path} is missing, a {_short(wish.kind)}")
        elif module.kind != wish.kind and not _is_of_program(module.kind, wish.kind):
            kinds.append(f"{path} is {module.short_kind} instead of {_short(wish.kind)}")
        else:
            details.extend(f"{path} {said}" for said in _details(module, wish, numbers, may_be_fused=path in fused))
    kinds.extend(f"{path} is a {modules[path].short_kind} too many" for path in modules if path not in {*expected, ""})
    if "" in modules:
        details.extend(f"the model {said}" for said in _run_besides(modules[""].state))
    return kinds + details


def _is_norm_of(path: str, blocks: Collection[str]) -> bool:
    return path.endswith(".bn") and path.removesuffix(".bn") in blocks


def _is_of_program(kind: str, wanted: str) -> bool:
    return not wanted.startswith(_TORCH) and kind.startswith(_PROGRAM) and kind.rpartition(".")[2] == wanted


def _short(kind: str) -> str:
    return kind.rpartition(".")[2]


# --- what is expected ------------------------------------------------------------------------------------------------


def _expected(model: Detector) -> Iterator[tuple[str, _Expected]]:
    last = max(_SOURCES)
    layers = model.layers()
    numbers = [str(index) for index in range(last + 1)]
    yield "model", _Expected(f"{_TORCH}container.Sequential", {}, numbers, True)
    for index in range(last + 1):
        place = {"i": index, "f": _SOURCES.get(index, (index - 1,))}
        if index in layers:
            for path, wish in _expected_inside(layers[index], f"model.{index}"):
                own = place if path == f"model.{index}" else {}
                yield path, _Expected(wish.kind, {**wish.attributes, **own}, wish.children, wish.in_order)
        elif index in _SOURCES:
            yield f"model.{index}", _Expected("Concat", {"d": 1, **place})
        else:
            yield f"model.{index}", _Expected(f"{_TORCH}upsampling.Upsample", {**_UPSAMPLE, **place})
    yield f"model.{last}.dfl", _Expected("DFL", {"c1": BINS})
    yield f"model.{last}.dfl.conv", _expected_of(Conv(BINS, 1, 1, bias=False))


def _expected_inside(layer: nn.Module, path: str) -> Iterator[tuple[str, _Expected]]:
    for name, module in layer.named_modules():
        parts = [PARTS.get(part, part) for part in name.split(".") if part]
        yield ".".join((path, *parts)), _expected_of(module)


def _expected_of(module: nn.Module) -> _Expected:
    if isinstance(module, ConvNormAct):
        return _Expected("Conv")
    if isinstance(module, Bottleneck):
        return _Expected("Bottleneck", {"add": module.shortcut})
    if isinstance(module, C2f):
        return _Expected("C2f", {"c": module.split.conv.out_channels // 2})
    if isinstance(module, SPPF):
        return _Expected("SPPF", {"n": 3, "add of SPPF": False})
    if isinstance(module, Head):
        said = {"nc": module.classes, "nl": len(STRIDES), "reg_max": BINS, "no": module.classes + 4 * BINS}
        flags = {"end2end": False, "_end2end": False, "stride": STRIDES}
        return _Expected("Detect", {**said, **flags})
    known = _ATTRIBUTES[type(module)]
    kind = f"{_TORCH}{_TORCH_NAMES[type(module)]}"
    children = [name for name, _ in module.named_children()]
    in_order = isinstance(module, nn.Sequential | nn.ModuleList)
    return _Expected(kind, {name: getattr(module, name) for name in known}, children, in_order)


_OF_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "transposed")
_ATTRIBUTES: Mapping[type[nn.Module], tuple[str, ...]] = {
    Conv: (*_OF_CONV, "output_padding", "groups", "padding_mode"),
    nn.BatchNorm2d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"),
    nn.SiLU: (),
    nn.ModuleList: (),
    nn.Sequential: (),
}
_TORCH_NAMES: Mapping[type[nn.Module], str] = {
    Conv: "conv.Conv2d",
    nn.BatchNorm2d: "batchnorm.BatchNorm2d",
    nn.MaxPool2d: "pooling.MaxPool2d",
    nn.SiLU: "activation.SiLU",
    nn.ModuleList: "container.ModuleList",
    nn.Sequential: "container.Sequential",
}


# --- what differs ----------------------------------------------------------------------------------------------------


def _details(
    module: Module, wish: _Expected, numbers: Callable[[object], Sequence[float] | None], *, may_be_fused: bool
) -> Iterator[str]:
    state = {name: value for name, value in module.state.items() if name != "forward" or not may_be_fused}
    for name, wanted in wish.attributes.items():
        said_as = name.partition(" ")[0]
        value = state.get(said_as, _ABSENT)
        if value is _ABSENT:
            if name not in _SAID_BY_NEWER:
                yield f"doesn't say {said_as}, {_words(wanted)} here"
            continue
        value = numbers(value) if isinstance(value, ForeignObject) else value
        if name == "f":
            value = _resolved(value, wish.attributes["i"])
        if _normal(value) != _normal(wanted):
            yield f"has {said_as} {_words(value)} instead of {_words(wanted)}"
    children = list(module.children)
    if wish.in_order and sorted(children) == sorted(wish.children) and children != list(wish.children):
        yield "runs its layers in another order"
    said = {name.partition(" ")[0] for name in wish.attributes}
    for name, value in state.items():
        if name in ("eps", "momentum") and wish.kind == _NORM:
            continue  # held against ours above, or honoured
        known = not isinstance(name, str) or name.startswith("_") or name in said or name in _CHANGES_NOTHING
        if not known and value is not None and value is not False:
            yield f"has {name!a:.60} {_words(value)}, which is unknown here"
    yield from _run_besides(state)


def _run_besides(state: Mapping[str, Any]) -> Iterator[str]:
    for hooks in _FORWARD_HOOKS:
        if state.get(hooks):
            yield "runs a function of its own besides (a hook)"
    if "forward" in state:
        yield "computes by a function of its own (forward)"


def _resolved(value: object, index: int) -> object:
    """The layers that are read, counted from the start; -1 is the one before."""
    given = value if isinstance(value, list | tuple) else [value]
    numbers = [each for each in given if isinstance(each, int)]
    return tuple(index + each if each < 0 else each for each in numbers) if len(numbers) == len(given) else value


def _normal(value: object) -> object:
    """One form for what means the same: 3, (3, 3) and [3, 3]."""
    if isinstance(value, list | tuple) and 0 < len(value) <= _DEEPEST:
        items = [item if isinstance(item, int | float | str | None) else _ABSENT for item in value]
        return items[0] if all(item == items[0] for item in items) else tuple(items)
    return value if isinstance(value, int | float | str | None) else _ABSENT


def _words(value: object) -> str:
    if isinstance(value, list | tuple) and len(value) <= _DEEPEST:
        return f"({', '.join(_words(item) for item in value)})" if _normal(value) is not _ABSENT else "a list"
    if isinstance(value, ForeignObject):
        return f"a {value.name!a:.60}"
    return f"{value!a:.60}" if isinstance(value, int | float | str | None) else "something"


def _dict(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}
