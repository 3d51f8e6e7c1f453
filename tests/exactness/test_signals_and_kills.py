"""What becomes of a training whose process is asked to end, or is ended? It says how to go on, and goes on as if not.

Each run here is one of the command line in a process of its own.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.warm_processes import COMMAND, WarmProcesses

from peakmark import YOLO
from peakmark.checkpoint.reader import read

WISHES = {
    "epochs": 3, "imgsz": 32, "batch": 2, "nbs": 4, "warmup_epochs": 1, "close_mosaic": 1, "mixup": 0.5,
    "plots": False, "workers": 1,
}  # fmt: skip


def _ignore(event: object) -> None:
    pass


@pytest.fixture(scope="module")
def words(tiny_data):
    return ["train", "model=yolov8t.yaml", f"data={tiny_data}", *(f"{name}={value}" for name, value in WISHES.items())]


@pytest.fixture(scope="module")
def uninterrupted(train_in, facts, tmp_path_factory):
    return facts(train_in(tmp_path_factory.mktemp("uninterrupted"), **WISHES).save_dir)


@pytest.fixture
def stop_and_check(stopped_by, words, runs):
    """Stops a run by one signal after the other, each time it goes on; gives the positions where it stopped."""

    def stop(stops: list[tuple[signal.Signals, str, int]]) -> list[tuple[int, int, str]]:
        runs.mkdir()
        where: list[tuple[int, int, str]] = []
        for number, kind, count in stops:
            code, printed = stopped_by(number, kind, count, ["resume"] if where else words, runs)
            assert code == 130, printed
            assert "Resume with: peakmark resume runs/detect/train" in printed
            assert "Traceback" not in printed
            position = read(runs / "runs/detect/train/weights/last.pt").position
            where.append((position.epoch, position.images, position.phase))
        return where

    return stop


def test_signals_say_how_to_go_on_and_the_run_goes_on(stop_and_check, peakmark, runs, facts, uninterrupted):
    stops = [
        (signal.SIGINT, "MicrobatchDone", 4),  # inside a window, which is dropped
        (signal.SIGTERM, "ValidationProgress", 1),
        (signal.SIGUSR1, "MicrobatchDone", 2),
    ]
    assert stop_and_check(stops) == [(0, 6, "train"), (0, 10, "validate"), (1, 4, "train")]
    ended = peakmark("resume", "runs/detect/train/weights/last.pt", cwd=runs)
    assert ended.returncode == 0, ended.stderr
    assert "Finished" in ended.stdout
    assert facts(runs / "runs/detect/train") == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_every_signal_stops_at_every_place(stop_and_check, stopped_by, peakmark, runs, facts, uninterrupted, number):
    stops = [
        (number, "EpochStarted", 1),
        (number, "MicrobatchDone", 5),  # the last of an epoch: its update is made, its validation is not begun
        (number, "ValidationProgress", 3),  # its last images are done: the epoch is closed before the stop
        (number, "EpochEnded", 1),
        (number, "ValidationProgress", 1),  # of the last epoch
    ]
    where = stop_and_check(stops)
    assert where == [(0, 0, "train"), (0, 10, "validate"), (1, 0, "train"), (2, 0, "train"), (2, 10, "validate")]
    # Asked to end when the last epoch is over, it leaves the last look at best.pt to a resume.
    code, printed = stopped_by(number, "EpochEnded", 1, ["resume"], runs)
    assert code == 130, printed
    assert peakmark("resume", cwd=runs).returncode == 0
    assert facts(runs / "runs/detect/train") == uninterrupted


def killed_after_first_save(processes: WarmProcesses, words: list[str], cwd: Path, more_s: float) -> None:
    """Starts a training that saves all the time and takes its process away `more_s` after its first save."""
    words = [*words, "save_interval=0.000001"]
    with open(os.devnull, "r+") as nothing:
        files = (nothing, nothing, nothing)
        process = processes.start(COMMAND, *words, cwd=cwd, environment=os.environ, files=files)
    last = cwd / "runs/detect/train/weights/last.pt"
    give_up_at = time.monotonic() + 60
    while not last.exists() and time.monotonic() < give_up_at:
        time.sleep(0.005)
    time.sleep(more_s)
    process.send_signal(signal.SIGKILL)
    process.end(timeout_s=60)


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 2 else pytest.mark.slow) for seed in range(20)])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(warm_processes, words, runs, facts, uninterrupted, seed):
    runs.mkdir()
    # The run is over a second and a half after its first save.
    killed_after_first_save(warm_processes, words, runs, more_s=random.Random(seed).uniform(0, 1))
    run = runs / "runs/detect/train"
    assert YOLO().resume(run, observer=_ignore).outcome == "finished"
    assert facts(run) == uninterrupted
    # What the crash left behind half-written is cleared away.
    assert [path.name for path in (run / "weights").iterdir() if path.suffix != ".pt" or path.name[0] == "."] == []
