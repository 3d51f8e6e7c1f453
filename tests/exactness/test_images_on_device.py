"""Is a run with its images on the device a run like any other? Stopped, killed, resumed, changed to it.

On the processor, where every line of it runs but the copies to a GPU.
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.events import EpochEnded, MicrobatchDone, Notice, ResumePlanned, RunStarted, ValidationProgress

WISHES: dict[str, Any] = {
    "epochs": 2, "imgsz": 32, "batch": 2, "nbs": 4, "warmup_epochs": 1, "mosaic": 0.7, "mixup": 0.5, "degrees": 10,
    "close_mosaic": 1, "multi_scale": 1.0, "save_interval": 0, "plots": False, "cache": "device",
}  # fmt: skip


def _ignore(event: object) -> None:
    pass


@pytest.fixture(scope="module")
def whole(train_in, tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("uninterrupted"), **WISHES).save_dir


@pytest.fixture(scope="module")
def uninterrupted(whole, facts):
    return facts(whole)


@pytest.fixture(scope="module")
def stopped(train_in, stop_at, tmp_path_factory):
    """A run that was stopped inside its second epoch; to be copied, not changed."""
    project = tmp_path_factory.mktemp("stopped")
    return train_in(project, observer=stop_at(MicrobatchDone, 8), **WISHES).save_dir


def augmented_by(run: Path) -> str:
    return str(read(run / "weights/last.pt").arithmetic["augmentation"])


@pytest.mark.parametrize("changes", [{"workers": 2}, {"budget": 0}, {"budget": 9000}])
def test_workers_and_the_place_of_the_bytes_change_no_bit(train, facts, uninterrupted, monkeypatch, changes):
    if (budget := changes.pop("budget", None)) is not None:
        monkeypatch.setattr("peakmark.data.device_images.available_bytes_on", lambda device: 4 * budget)
    assert facts(train(**WISHES, **changes).save_dir) == uninterrupted


def test_it_is_another_run_than_without_a_device(train, uninterrupted, facts):
    run = train(**{**WISHES, "cache": "ram"}).save_dir
    assert augmented_by(run) == "opencv"
    assert facts(run)["weights"] != uninterrupted["weights"]


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param(MicrobatchDone, 2, marks=pytest.mark.slow),
        (MicrobatchDone, 8),
        (ValidationProgress, 1),
        pytest.param(EpochEnded, 1, marks=pytest.mark.slow),
    ],
)
def test_a_stop_changes_nothing(train, stop_at, facts, uninterrupted, kind, number):
    run = train(observer=stop_at(kind, number), **WISHES)
    assert run.outcome == "interrupted"
    assert YOLO().resume(run.save_dir, observer=_ignore).outcome == "finished"
    assert facts(run.save_dir) == uninterrupted
    assert augmented_by(run.save_dir) == "torch"


def test_a_kill_changes_nothing(stopped_by, tiny_data, facts, uninterrupted, tmp_path):
    wishes = {**WISHES, "save_interval": 1e-6, "average": False}
    words = ["train", "model=yolov8t.yaml", f"data={tiny_data}", *(f"{name}={value}" for name, value in wishes.items())]
    _, printed = stopped_by(signal.SIGKILL, "MicrobatchDone", 8, words, tmp_path)
    run = tmp_path / "runs/detect/train"
    assert (run / "weights/last.pt").exists(), printed
    assert YOLO().resume(run, observer=_ignore).outcome == "finished"
    assert facts(run) == uninterrupted


def test_to_leave_the_device_is_said_and_begins_a_segment(stopped, runs, uninterrupted, facts):
    run = shutil.copytree(stopped, runs / "train")
    events: list[Any] = []
    assert YOLO().resume(run, observer=events.append, cache="ram").outcome == "finished"
    (planned,) = (event.plan for event in events if isinstance(event, ResumePlanned))
    (part,) = (part for part in planned.parts if part.part == "augmentation by")
    assert (part.fate, part.dangerous) == ("changed", False)
    assert "by opencv instead of torch" in part.why
    assert planned.changes == ("cache: device -> ram",)
    assert planned.inexact
    assert not any(part.part == "machine and files" for part in planned.parts)
    assert augmented_by(run) == "opencv"
    assert [segment.reason for segment in read(run / "weights/last.pt").history.segments] == [
        "start", "cache: device -> ram",
    ]  # fmt: skip
    assert facts(run)["weights"] != uninterrupted["weights"]


def test_a_run_can_be_taken_to_the_device(train, stop_at):
    run = train(observer=stop_at(MicrobatchDone, 8), **{**WISHES, "cache": "off"}).save_dir
    assert augmented_by(run) == "opencv"
    assert YOLO().resume(run, observer=_ignore, cache="device").outcome == "finished"
    assert augmented_by(run) == "torch"


def test_on_a_processor_the_user_is_told_that_it_gains_nothing(train):
    events: list[Any] = []
    train(observer=events.append, **{**WISHES, "epochs": 1})
    (started,) = (event for event in events if isinstance(event, RunStarted))
    assert any("cache=device gains nothing on a processor" in note for note in started.notes)
    assert not any(isinstance(event, Notice) and event.serious for event in events)


def test_validation_gives_the_numbers_that_it_gives_without_a_device(whole):
    """`val` reads the files; the run validated the bytes on its device."""
    logged = read(whole / "weights/best.pt").metrics
    assert logged is not None
    found = YOLO(whole / "weights/best.pt").val(observer=_ignore, plots=False, workers=0)
    assert {name: repr(found.metrics[name]) for name in logged} == {name: repr(value) for name, value in logged.items()}


@pytest.mark.gpu
def test_on_a_gpu_a_stop_changes_nothing(train, stop_at, facts):
    whole = facts(train(**WISHES, device="0").save_dir)
    run = train(observer=stop_at(MicrobatchDone, 8), **WISHES, device="0").save_dir
    assert YOLO().resume(run, observer=_ignore).outcome == "finished"
    assert facts(run) == whole
