"""What tests of several rooms share: one core, a cache of their own, a tiny data set, cheap trainings on it."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import hypothesis
import numpy as np
import pytest
import torch
from tests.files_by_hand import tiny_checkpoint, write_foreign  # noqa: F401 - fixtures for all
from tests.narrow import sitecustomize as narrow
from tests.warm_processes import WarmProcesses

from peakmark.events import Event
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import HeadOutput, LossSums
from peakmark.nouns.run import Segment

if TYPE_CHECKING:
    from peakmark import TrainResults
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

CHEAP: Mapping[str, Any] = {
    "model": "yolov8t.yaml",
    "imgsz": 32,
    "epochs": 2,
    "batch": 4,
    "nbs": 8,
    "plots": False,
    "workers": 0,
    "average": False,
}
"""A training of less than a second, of a network that only the tests know."""
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


@pytest.fixture
def all_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a run on two threads: held on one core they wait for each other, a minute for what takes a second."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    # Another test of this process may have left threads that flush denormals; none of these looks at numbers.
    monkeypatch.setattr("peakmark.machine.devices.threads_agree", lambda: True)
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="session", autouse=True)
def _a_narrow_network() -> Iterator[None]:
    """Lets every process that a test starts know yolov8t, as this one does; see `narrow/sitecustomize.py`."""
    with pytest.MonkeyPatch.context() as patch:
        # The package of this checkout beside it: an environment may have another one's installed.
        source = Path(__file__).resolve().parents[1] / "src"
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (Path(narrow.__file__).parent, source))))
        yield


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
    from peakmark.run.build import first_segment
    from peakmark.settings.recipe import recipe

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
        return YOLO(wishes.pop("model")).train(observer=observer or _look_away, **wishes)

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

        def planted(output: HeadOutput, batch: Batch, **rules: Any) -> LossSums:
            sums = detection_loss(output, batch, **rules)
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
    learns = {"optimizer": "AdamW", "lr0": 0.01, "warmup_epochs": 0, "nbs": 4, "scale": 0.2}
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
def warm_processes(_own_cache_folder: None, _a_narrow_network: None) -> Iterator[WarmProcesses]:
    """Processes of their own, without the seconds of a start."""
    processes = WarmProcesses()
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def peakmark(warm_processes: WarmProcesses) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own."""

    def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
        return warm_processes.run(*words, cwd=cwd, environment=environment, timeout_s=120)

    return run
