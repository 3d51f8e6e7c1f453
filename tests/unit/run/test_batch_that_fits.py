"""The batch of a new run that names a share of the memory: the largest that fits, settled once, the run's for good."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peakmark import YOLO
from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read
from peakmark.errors import MachineError, SettingsError
from peakmark.events import RunStarted
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.nouns.run import Segment
from peakmark.run import batch_that_fits
from peakmark.run.batch_that_fits import Estimated, Tried, largest_batch, settled, update_once
from peakmark.run.build import new_state
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.state.state import RunState

CPU = Arithmetic("cpu", "test", "float32", 1, True, True)
SIZES = {1, 2, 4, *range(8, 1025, 8)}


class FakeMemory:
    """Takes `base` and `each` for an image; from `ends` images on there is none left."""

    def __init__(self, base: int, each: int, ends: int = 10_000) -> None:
        self._base, self._each, self._ends = base, each, ends
        self.tried: list[int] = []

    def free_bytes(self) -> int:
        return 1000

    def bytes_for(self, batch: int) -> int | None:
        self.tried.append(batch)
        return None if batch >= self._ends else self._base + batch * self._each


@given(st.integers(0, 300), st.integers(1, 200), st.integers(1, 100), st.integers(0, 1000), st.integers(1, 200))
def test_it_is_the_largest_size_within_the_budget(base: int, each: int, ends: int, budget: int, most: int):
    memory = FakeMemory(base, each, ends)
    sizes = sorted(size for size in {*SIZES, most} if size <= most)
    fitting = [size for size in sizes if size < ends and base + size * each <= budget]
    assert largest_batch(memory, budget, most) == max(fitting, default=0)
    assert len(memory.tried) == len(set(memory.tried)) <= 7


@pytest.mark.parametrize(("written", "share"), [(-1, 0.6), ("-1", 0.6), (0.7, 0.7), ("0.25", 0.25)])
def test_how_a_share_is_written(written: Any, share: float):
    assert parse(Settings, {"data": "x", "batch": written}).settings.batch == share


def settle(free_bytes: int, monkeypatch: pytest.MonkeyPatch, images: int = 1000, **changes: Any) -> tuple[int, str]:
    monkeypatch.setattr(Estimated, "free_bytes", lambda memory: free_bytes)
    settings = Settings.model_validate({"data": "x", "imgsz": 320, "batch": 0.5, **changes})
    model = build_detector(SCALES["yolov8n"], 2, seed=0).eval()
    found, said = settled(settings, images, model, CPU, lambda *parts: pytest.fail("nothing is tried on a processor"))
    return found.batch, said


def test_a_processors_memory_is_estimated(monkeypatch: pytest.MonkeyPatch):
    few, said = settle(2 << 30, monkeypatch)
    more, _ = settle(4 << 30, monkeypatch)
    assert 1 <= few < more < 64
    assert f"batch={few} was chosen: so many images of 320 px fit into 50% of the 2.0 GiB" in said
    assert settle(2 << 30, monkeypatch, imgsz=640)[0] < few
    assert settle(2 << 30, monkeypatch, multi_scale=0.5)[0] < few, "the largest images must fit"


@pytest.mark.parametrize(
    ("changes", "batch", "why"),
    [
        ({}, 64, "more than nbs=64 would make fewer updates"),
        ({"nbs": 20}, 20, "more than nbs=20 would"),
        ({"images": 30}, 30, "the set has no more images"),
    ],
)
def test_there_is_a_most_however_much_memory_there_is(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], batch: int, why: str
):
    found, said = settle(1 << 50, monkeypatch, **changes)
    assert found == batch
    assert why in said


def test_where_not_even_one_fits_it_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(MachineError, match=r"Not even one image of 320 px fits into 50% of the 0\.1 GiB"):
        settle(1 << 27, monkeypatch)


@pytest.fixture
def begin(segment_of: Callable[..., Segment]) -> Callable[[Settings, Any], RunState]:
    return lambda settings, model: new_state(settings, model, CPU, segment_of(settings))


def test_on_a_gpu_each_size_is_tried_and_one_that_is_too_large_is_no_error(monkeypatch: pytest.MonkeyPatch, begin: Any):
    reserved = {"now": 100, "most": 100}
    done: list[int] = []

    def update(state: RunState, arithmetic: Arithmetic, settings: Settings, batch: int) -> None:
        done.append(batch)
        if batch > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        reserved["most"] = 100 + 10 * batch

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved["now"])
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: reserved["most"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(batch_that_fits, "available_bytes_on", lambda device: 1000)
    monkeypatch.setattr(batch_that_fits, "update_once", update)
    settings = Settings(data="x", imgsz=64, batch=0.9)  # type: ignore[arg-type]
    model = build_detector(SCALES["yolov8t"], 2, seed=0).eval()
    before = copy.deepcopy(model.state_dict())
    on_gpu = Arithmetic("cuda:0", "test", "float32", 1, True, True)
    found, said = settled(settings, 500, model, on_gpu, begin)
    assert found.batch == 40, said
    assert max(done) > 40
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    def broken(*parts: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(batch_that_fits, "update_once", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        Tried(settings, model, on_gpu, begin).bytes_for(4)


def test_a_trial_is_an_update_as_a_training_makes_it(begin: Any):
    settings = Settings(data="x", imgsz=64, batch=2)
    state = begin(settings, build_detector(SCALES["yolov8t"], 2, seed=0))
    update_once(state, CPU, settings, 3)
    assert state.ema_updates == 1
    assert state.optimizer.state_dict()["state"]


def test_it_is_the_runs_batch_for_good(train: Any, runs: Path, monkeypatch: pytest.MonkeyPatch):
    """To the last bit the run of the same number by hand, and a resume doesn't choose again."""
    each = {size: 1000 + size for size in range(1, 11)}
    monkeypatch.setattr(Estimated, "bytes_for", lambda memory, batch: each[batch])
    monkeypatch.setattr(Estimated, "free_bytes", lambda memory: 2010)
    notes: list[str] = []

    def observe(event: Any) -> None:
        if isinstance(event, RunStarted):
            notes.extend(event.notes)

    chosen = train(batch=0.5, epochs=1, name="chosen", observer=observe)
    assert any(note.startswith("batch=4 was chosen") for note in notes)
    by_hand = train(batch=4, epochs=1, name="by_hand")
    last = read(chosen.save_dir / "weights/last.pt")
    assert last.settings["batch"] == 4
    assert "batch: 4 " in (chosen.save_dir / "settings.yaml").read_text().replace("batch: 4\n", "batch: 4 ")
    assert everything(last) == everything(read(by_hand.save_dir / "weights/last.pt"))
    with pytest.raises(SettingsError, match="batch=-1: only a new run"):
        YOLO().resume(chosen.save_dir, batch=-1)
    monkeypatch.setattr(Estimated, "free_bytes", lambda memory: pytest.fail("it is not chosen again"))
    resumed = YOLO().resume(chosen.save_dir, epochs=2, yes=True, observer=lambda event: None)
    assert read(resumed.save_dir / "weights/last.pt").settings["batch"] == 4
