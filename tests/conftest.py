"""What tests of several rooms share: one core, a cache of their own, a tiny data set, cheap trainings on it."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import hypothesis
import numpy as np
import pytest
import torch

from peakmark.checkpoint.format import Checkpoint, snapshot
from peakmark.events import Event
from peakmark.nouns import Batch, EpochRecord, HeadOutput, History, Losses, LossSums, Position, Segment

if TYPE_CHECKING:
    from peakmark import TrainResults
    from peakmark.model.detector import Detector
    from peakmark.settings.fields import Settings

# The same examples every time: a run of the tests that fails by chance tells nothing. Others can be tried with
# HYPOTHESIS_PROFILE=random.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.register_profile("random")
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


TRAINING_FIXTURES = {"train", "train_in", "trained", "peakmark"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what trains or starts a command, for `make quick`."""
    for item in items:
        if TRAINING_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("trains")


Train = Callable[..., "TrainResults"]
RECIPE = {
    "optimizer": "AdamW", "lr0": 0.01, "momentum": 0.9, "warmup_bias_lr": 0.0, "weight_decay": 0.0005, "why": "as set",
}  # fmt: skip

CHEAP: Mapping[str, Any] = {
    "imgsz": 32,
    "epochs": 2,
    "batch": 4,
    "nbs": 8,
    "plots": False,
    "workers": 0,
    "average": False,
}
"""A training of about a second."""
SIDE_PX = 64
NAMES = ("light", "red")
COLOURS_BGR = ((250, 250, 250), (0, 0, 200))


@pytest.fixture(scope="session", autouse=True)
def _one_core() -> Iterator[None]:
    """Holds the tests, and the processes that they start, on one core: runs take their threads from what they may use.

    Tests that run beside each other take different cores.
    """
    before = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(before)[worker % len(before)]})
    torch.set_num_threads(1)
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the tests out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEAKMARK_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(scope="session")
def write_set() -> Callable[..., Path]:
    """Writes a YOLO data set of light and red squares on dark ground and gives its data.yaml."""

    def write(root: Path, *, train: int = 10, val: int = 19, seed: int = 0, names: tuple[str, ...] = NAMES) -> Path:
        for number, (split, count) in enumerate({"train": train, "val": val}.items()):
            for index in range(count):
                flat = split == "val" and index % 3 == 2
                image, label = _picture(np.random.default_rng((seed, number, index)), index, flat=flat)
                for kind in ("images", "labels"):
                    (root / kind / split).mkdir(parents=True, exist_ok=True)
                (root / f"images/{split}/{index:02d}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
                (root / f"labels/{split}/{index:02d}.txt").write_text(label)
        data_yaml = root / "data.yaml"
        data_yaml.write_text(f"train: images/train\nval: images/val\nnames: [{', '.join(names)}]\n")
        return data_yaml

    return write


def _picture(rng: np.random.Generator, index: int, *, flat: bool) -> tuple[np.ndarray, str]:
    """An image with an object in its left half, and in every other one in both, and its label text. `flat`: half as
    high as it is wide. A set of one shape would not show what becomes of one that has several."""
    height_px = SIDE_PX // 2 if flat else SIDE_PX
    image = rng.integers(70, 110, (height_px, SIDE_PX, 3), dtype=np.uint8)
    lines = []
    for half in range(1 + index % 2):
        kind, side_px = int(rng.integers(2)), int(rng.integers(16, 28))
        left, top = half * SIDE_PX // 2 + int(rng.integers(32 - side_px)), int(rng.integers(height_px - side_px))
        image[top : top + side_px, left : left + side_px] = COLOURS_BGR[kind]
        x, y, width, height = (left + side_px / 2, top + side_px / 2, side_px, side_px)
        lines.append(f"{kind} {x / SIDE_PX} {y / height_px} {width / SIDE_PX} {height / height_px}")
    return image, "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def segment_of() -> Callable[..., Segment]:
    """Makes the first segment of a run with these settings, or with some of it changed."""
    from peakmark.settings.recipe import recipe
    from peakmark.train.build import first_segment

    def make(settings: Settings, *, classes: int = 2, images: int = 100, **changes: Any) -> Segment:
        segment = first_segment(settings, recipe(settings, classes=classes, images=images), "the same set")
        return dataclasses.replace(segment, **changes)

    return make


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory, write_set: Callable[..., Path]) -> Path:
    """The data.yaml of 10 images of 64 px to train on, and 19 of two shapes to validate on: no multiples of a chunk."""
    return write_set(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def train_in(tiny_data: Path) -> Callable[..., TrainResults]:
    """Trains cheaply into a folder; settings may be given on top. What happens goes to `observer`, if one is given."""
    from peakmark import YOLO

    def train(project: Path, *, observer: Callable[[Event], None] | None = None, **settings: Any) -> TrainResults:
        wishes = {**CHEAP, "data": tiny_data, "project": project, **settings}
        return YOLO(wishes.pop("model", "yolov8n.yaml")).train(observer=observer or _look_away, **wishes)

    return train


def _look_away(event: Event) -> None:
    pass


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A folder for runs that is gone after the test: each holds 100 MB of checkpoints."""
    folder = tmp_path / "runs"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def train(train_in: Callable[..., TrainResults], runs: Path) -> Train:
    """Trains cheaply into the test's own `runs`."""

    def train_here(**settings: Any) -> TrainResults:
        return train_in(settings.pop("project", runs), **settings)

    return train_here


@pytest.fixture
def plant_nan(monkeypatch: pytest.MonkeyPatch) -> Callable[[Collection[int]], None]:
    """Makes the loss of some microbatches of a training NaN, counted from 0 over the run."""
    from peakmark.loss.detection import detection_loss

    def plant(microbatches: Collection[int]) -> None:
        numbers = itertools.count()

        def planted(output: HeadOutput, batch: Batch) -> LossSums:
            sums = detection_loss(output, batch)
            return dataclasses.replace(sums, box=sums.box * float("nan")) if next(numbers) in microbatches else sums

        monkeypatch.setattr("peakmark.train.step.detection_loss", planted)

    return plant


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, train_in: Callable[..., TrainResults]
) -> Iterator[tuple[TrainResults, list[Event]]]:
    """A run that has learnt something, with its pictures, and all that it told. Nothing may be written into it."""
    project = tmp_path_factory.mktemp("trained")
    events: list[Event] = []
    learns = {"optimizer": "AdamW", "lr0": 0.005, "warmup_epochs": 0, "nbs": 4, "scale": 0.2}
    length = {"epochs": 14, "val_period": 5, "save_period": 5, "close_mosaic": 12, "imgsz": 64}
    yield train_in(project, observer=events.append, **{**learns, **length, "plots": True}), events
    shutil.rmtree(project)


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets compile=True trace the network and its gradient, and run what it traced as it is: seconds, not minutes."""
    compile_with = torch.compile

    def trace(function: Any, *, fullgraph: bool, dynamic: bool, options: Mapping[str, Any]) -> Any:
        return compile_with(function, fullgraph=fullgraph, dynamic=dynamic, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", trace)


@pytest.fixture(scope="session")
def peakmark() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own."""

    def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "peakmark", *words]
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


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
    kind: type[torch.nn.Module] = type(short, (torch.nn.Module,), {"__module__": module})
    return kind


def _foreign(name: str, attributes: Mapping[str, Any], **children: torch.nn.Module) -> Any:
    made = foreign_kind(name)()
    made.__dict__.update(attributes)
    for child_name, child in children.items():
        made.add_module(child_name, child)
    return made


def _foreign_detector(model: Detector, names: object) -> Any:
    """The layers of a detector as the peer's file describes them."""
    from peakmark.model.foreign import foreign_names

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
