"""Is a compiled run as exact as another? The same bits interrupted or not, for any workers, whoever compiled the code.

The quick tests compile to what was traced; the slow one has the machine's compiler make the code, twice from nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import compile_quickly

from peakmark import YOLO, inspect
from peakmark.checkpoint.reader import read
from peakmark.events import EpochEnded, MicrobatchDone

# Ten images: two whole microbatches an epoch and a short one.
WISHES = {"epochs": 2, "batch": 4, "nbs": 8, "warmup_epochs": 1, "close_mosaic": 1, "save_interval": 0, "compile": True}


def _ignore(event: object) -> None:
    pass


@pytest.fixture(scope="module")
def uninterrupted(train_in, facts, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        compile_quickly(patch)
        return facts(train_in(tmp_path_factory.mktemp("whole"), **WISHES).save_dir)


@pytest.mark.parametrize(
    ("kind", "number", "workers"),
    [(MicrobatchDone, 2, 0), (MicrobatchDone, 3, 1), pytest.param(EpochEnded, 1, 2, marks=pytest.mark.slow)],
)
def test_a_stop_and_other_workers_change_nothing(
    train, facts, uninterrupted, stop_at, quick_compiler, kind, number, workers
):
    run = train(**WISHES, name="stopped", workers=workers, observer=stop_at(kind, number)).save_dir
    assert YOLO().resume(run, observer=_ignore).outcome == "finished"
    assert facts(run) == uninterrupted


def test_the_same_state_is_saved_as_of_a_run_that_is_not_compiled(train, quick_compiler):
    compiled, plain = (read(train(**{**WISHES, "compile": wish}).last) for wish in (True, False))
    assert compiled.model.keys() == plain.model.keys()
    assert compiled.training_weights.keys() == plain.training_weights.keys()
    assert compiled.optimizer.keys() == plain.optimizer.keys()


def test_going_on_without_it_is_a_change_that_is_told(train, stop_at, quick_compiler):
    run = train(**WISHES, observer=stop_at(EpochEnded, 1)).save_dir
    plan = YOLO().plan_resume(run, compile=False).plan
    assert plan.changes == ("compile: True -> False",)
    assert "compiled code" in {part.part for part in plan.parts if part.fate == "changed"}
    assert YOLO().resume(run, observer=_ignore, compile=False).outcome == "finished"
    checkpoint = read(run / "weights/last.pt")
    assert [segment.settings["compile"] for segment in checkpoint.history.segments] == [True, False]
    assert checkpoint.arithmetic["compiled"] is False


# --- with the machine's own compiler --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def start(tiny_data, tmp_path_factory) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command on all cores, with a folder of its own for compiled code."""

    def all_cores() -> None:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))

    def run(cache: str, *words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path_factory.getbasetemp() / cache)}
        return subprocess.Popen(
            [sys.executable, "-m", "peakmark", *words],
            env=environment, preexec_fn=all_cores, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def words(tiny_data) -> Callable[..., list[str]]:
    def make(project: Path, **settings: Any) -> list[str]:
        wishes = {**WISHES, "imgsz": 32, "amp": False, "plots": False, "average": False, "workers": 0, **settings}
        return [
            "train",
            "model=yolov8t.yaml",
            f"data={tiny_data}",
            f"project={project}",
            *(f"{k}={v}" for k, v in wishes.items()),
        ]

    return make


def finished(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, printed
    return printed


@pytest.mark.slow
def test_code_from_nothing_from_a_cache_and_after_a_kill_computes_the_same(start, words, runs, facts):
    finished(start("first", *words(runs, name="whole")))
    whole = facts(runs / "whole")
    finished(start("first", *words(runs, name="warm", workers=2)))
    assert facts(runs / "warm") == whole

    killed = start("first", *words(runs, name="killed", save_interval=1e-6))
    while killed.poll() is None and not (runs / "killed/weights/last.pt").exists():
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    position = read(runs / "killed/weights/last.pt").position
    assert (position.epoch, position.images) < (2, 0)
    finished(start("second", "resume", str(runs / "killed")))
    assert facts(runs / "killed") == whole

    # Near what is not compiled, and another thing: else nothing was.
    finished(start("first", *words(runs, name="plain", compile=False)))
    finished(start("first", *words(runs, name="other", compile=False, seed=1)))
    compiled, plain, other = (_first_losses(runs / name) for name in ("whole", "plain", "other"))
    assert compiled == pytest.approx(plain, rel=1e-3)
    assert other != pytest.approx(plain, rel=1e-3)
    digests = [inspect(runs / f"{name}/weights/last.pt")["digests"] for name in ("whole", "plain")]
    assert digests[0]["training_weights"] != digests[1]["training_weights"]


def _first_losses(run: Path) -> tuple[float, float, float]:
    losses = read(run / "weights/last.pt").history.records[0].train
    return losses.box, losses.cls, losses.dfl


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_does_not_wait_for_the_compiler(start, words, runs, number):
    """It would take minutes; a scheduler kills after half of one."""
    process = start(number.name, *words(runs, name="stopped"))
    assert process.stdout is not None
    assert any("The network is compiled for" in line for line in process.stdout)
    time.sleep(5)
    began_at = time.monotonic()
    process.send_signal(number)
    printed, _ = process.communicate(timeout=60)
    assert time.monotonic() - began_at < 20
    assert process.returncode == 130, printed
    assert "Resume with: peakmark resume" in printed
    assert read(runs / "stopped/weights/last.pt").position.images == 0


@pytest.mark.gpu
def test_a_gpu_computes_the_same_twice_and_gathers_gradients(train):
    """Windows of two microbatches: with CUDA graphs their gradients would not add up."""
    wishes = {**WISHES, "device": 0, "amp": False}
    one, two = (inspect(train(**wishes).last)["digests"] for _ in range(2))
    assert one == two
    compiled, plain = (_first_losses(train(**{**wishes, "compile": wish}).save_dir) for wish in (True, False))
    assert compiled == pytest.approx(plain, rel=1e-2)
