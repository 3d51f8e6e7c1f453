"""Model files for tests of reading and formats, made without a training: a small one of ours, one of others."""

from __future__ import annotations

import copy
import functools
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from peakmark.checkpoint.format import Checkpoint, snapshot
from peakmark.model.detector import Detector
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History, Position, Segment

RECIPE = {
    "optimizer": "AdamW", "lr0": 0.01, "momentum": 0.9, "warmup_bias_lr": 0.0, "weight_decay": 0.0005, "nbs": 64,
    "close_mosaic": 1, "why": "as set", "version": 3,
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Checkpoint:
    """A whole checkpoint of a real module and optimizer after three updates, a few KB small, the same every time."""
    settings = {"lr0": 0.01, "epochs": 3, "imgsz": 32, "mosaic": 1.0, "workers": 2, "name": None}
    result_settings = ("lr0", "epochs", "imgsz", "mosaic")
    module, optimizer = _trained_module()
    weights = snapshot(module.state_dict())
    metrics = {"map50_95": 0.25, "map50": 0.5, "precision": 0.75, "recall": 0.5, "map_small": float("nan")}
    records = (
        EpochRecord(
            0, 0, 1, 8, Losses(3.0, 4.0, 2.0), (0.1, 0.0, 0.0), None, None, None, None, 1, train_s=1.5, validation_s=0.0
        ),
        EpochRecord(
            epoch=1,
            segment=0,
            step=3,
            images=8,
            train=Losses(2.5, 3.5, 1.5),
            lr=(0.1, 0.01, 0.01),
            metrics=metrics,
            per_class={"map50": (0.5, float("nan"))},
            validation=Losses(2.25, 3.25, 1.25),
            fitness=0.25,
            train_s=1.25,
            validation_s=0.5,
        ),
    )
    bearing = {name: settings[name] for name in result_settings}
    return Checkpoint(
        model={name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in weights.items()},
        training_weights=weights,
        optimizer=snapshot(optimizer.state_dict()),
        scaler=None,
        ema_updates=2,
        position=Position(epoch=2, images=0, phase="train", step=3),
        open_epoch={"box": 0.0, "cls": 0.0, "dfl": 0.0, "images": 0},
        counters={"skipped": 1, "skipped_in_a_row": 0},
        history=History(records, (Segment(0, 0, bearing, "start", dict(RECIPE), 3, "the same set"),)),
        settings=settings,
        result_settings=result_settings,
        names=("cat", "dog"),
        architecture="yolov8n",
        arithmetic={"device": "cpu", "precision": "float32", "threads": 1, "channels_last": True},
        provenance={
            "versions": {"peakmark": "0.1.0", "torch": "2.13.0"},
            "data": {"train": "0" * 64},
            "created_at": "2026-01-02T03:04:05+00:00",
            "parent": None,
        },
        weights_epoch=1,
        validated=True,
        fitness=0.25,
        best_fitness=0.25,
        metrics=metrics,
    )


def _trained_module() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2, bias=False), torch.nn.BatchNorm2d(2))
    for name, tensor in module.state_dict().items():
        if name.endswith("weight"):
            tensor.copy_(torch.linspace(-1, 1, tensor.numel()).reshape(tensor.shape))
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.125)
    for step in range(3):
        optimizer.zero_grad()
        images = torch.linspace(0, 1 + step, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
        module(images).square().mean().backward()
        optimizer.step()
    return module, optimizer


@pytest.fixture(scope="session")
def write_foreign() -> Callable[..., Path]:
    """Writes a model file as the peer's program does, and gives its path.

    Its classes are stand-ins that hold what a file says of them and nothing else. `change` is handed the model before
    it is written; what else is given goes into the file beside it.
    """

    def write(
        path: Path,
        model: Detector,
        names: object,
        change: Callable[[Any], object] = lambda made: None,
        **beside: Any,
    ) -> Path:
        made = _foreign_detector(model, names)
        changed = change(made)
        made = changed if isinstance(changed, torch.nn.Module) else made
        with pytest.MonkeyPatch.context() as patch:
            # Pickling imports the outermost package.
            patch.setitem(sys.modules, "ultralytics", types.ModuleType("ultralytics"))
            for kind in {type(module) for module in made.modules()}:
                if kind.__module__.startswith("ultralytics"):
                    module = sys.modules.get(kind.__module__) or types.ModuleType(kind.__module__)
                    patch.setitem(sys.modules, kind.__module__, module)
                    patch.setattr(module, kind.__name__, kind, raising=False)
            torch.save({"epoch": 3, "ema": None, "model": made.half(), "version": "8.0.0", **beside}, path)
        return path

    return write


@functools.cache
def foreign_kind(name: str) -> type[torch.nn.Module]:
    """A class of the peer's program, by its name below `ultralytics.nn`: it computes nothing."""
    module, _, short = f"ultralytics.nn.{name}".rpartition(".")
    # A fused block's file refers to a method of this name.
    within = {"__module__": module, "forward_fuse": _forward_fuse}
    kind: type[torch.nn.Module] = type(short, (torch.nn.Module,), within)
    return kind


def _forward_fuse(self: Any, images: Any) -> None:
    """Pickled by its name, and never called."""


_forward_fuse.__name__ = "forward_fuse"


def fuse_foreign(root: Any) -> None:
    """Folds every norm of a stand-in into its convolution, as the peer's program leaves a model that it fused."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in root.modules():
        if "bn" in module._modules:
            module.conv = fuse_conv_bn_eval(module.conv.eval(), module.bn.eval())
            del module._modules["bn"]
            module.forward = module.forward_fuse


def _foreign(name: str, attributes: Mapping[str, Any], **children: torch.nn.Module) -> Any:
    made = foreign_kind(name)()
    made.__dict__.update(attributes)
    for child_name, child in children.items():
        made.add_module(child_name, child)
    return made


def _foreign_detector(model: Detector, names: object) -> Any:
    """The layers of a detector as the peer's file describes them."""
    from peakmark.model.foreign.names import foreign_names

    layers = dict(model.layers())
    sources = {11: [-1, 6], 14: [-1, 4], 17: [-1, 12], 20: [-1, 9], 22: [15, 18, 21]}
    made = []
    for index in range(23):
        layer = _foreign_layer(layers[index]) if index in layers else None
        if layer is None:
            joins = _foreign("modules.conv.Concat", {"d": 1})
            layer = joins if index in sources else torch.nn.Upsample(None, 2, "nearest")
        layer.__dict__.update(i=index, f=sources.get(index, -1), type=type(layer).__name__, np=0)
        made.append(layer)
    root = _foreign("tasks.DetectionModel", {"names": names, "inplace": True}, model=torch.nn.Sequential(*made))
    state = model.state_dict()
    root.load_state_dict(
        {
            theirs: state[ours].reshape(1, -1, 1, 1) if theirs.endswith("dfl.conv.weight") else state[ours]
            for ours, theirs in foreign_names(model).items()
        }
    )
    return root


def _foreign_layer(module: torch.nn.Module) -> Any:
    from peakmark.model import blocks, detector

    nn = torch.nn
    inside = {name: _foreign_layer(child) for name, child in module.named_children()}
    if isinstance(module, blocks.ConvNormAct):
        return _foreign("modules.conv.Conv", {}, conv=inside["conv"], bn=inside["norm"], act=inside["act"])
    if isinstance(module, blocks.Bottleneck):
        return _foreign("modules.block.Bottleneck", {"add": module.shortcut}, cv1=inside["conv1"], cv2=inside["conv2"])
    if isinstance(module, blocks.C2f):
        hidden = {"c": module.split.conv.out_channels // 2}
        return _foreign("modules.block.C2f", hidden, cv1=inside["split"], cv2=inside["join"], m=inside["bottlenecks"])
    if isinstance(module, blocks.SPPF):
        return _foreign("modules.block.SPPF", {}, cv1=inside["reduce"], cv2=inside["join"], m=inside["pool"])
    if isinstance(module, detector.Head):
        said = {"nc": module.classes, "nl": 3, "reg_max": 16, "no": module.classes + 64}
        dfl = _foreign("modules.block.DFL", {"c1": 16}, conv=nn.Conv2d(16, 1, 1, bias=False))
        strides = {"stride": torch.tensor([8.0, 16.0, 32.0])}
        return _foreign("modules.head.Detect", {**said, **strides}, cv2=inside["box"], cv3=inside["cls"], dfl=dfl)
    if isinstance(module, nn.Conv2d):
        shape = (module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding)
        return nn.Conv2d(*shape, bias=module.bias is not None)  # type: ignore[arg-type]
    if isinstance(module, nn.BatchNorm2d):
        return nn.BatchNorm2d(module.num_features, eps=module.eps, momentum=module.momentum)
    if isinstance(module, nn.Sequential | nn.ModuleList):
        return type(module)(*inside.values()) if isinstance(module, nn.Sequential) else nn.ModuleList(inside.values())
    return copy.deepcopy(module)
