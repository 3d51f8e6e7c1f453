"""Times what saving costs a training, how long a stop takes, and a resume to its first step, and prints a line each.

usage: python benchmarks/saving.py [DATA_YAML] [--epochs 6] [--batch 16]
Everything is yolov8n with AdamW, without plots. Without DATA_YAML the embedded shapes are trained on. On a busy machine
the largest figures tell of the machine; the time that a thread was on a core tells of the program.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from peakmark import YOLO
from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.reader import read
from peakmark.events import EpochEnded, EpochStarted, Event, MicrobatchDone
from peakmark.nouns.outcome import EXIT_INTERRUPTED
from peakmark.run.disk.checkpointer import Checkpointer

Timed = list[tuple[float, float]]
"""Seconds that went by, and seconds that the thread was on a core."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="shapes")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=16)
    arguments = parser.parse_args()
    wishes = {"data": arguments.data, "batch": arguments.batch, "optimizer": "AdamW", "plots": False}
    with tempfile.TemporaryDirectory(dir=".", prefix=".saving-") as folder:
        project = Path(folder)
        what_a_save_costs(project, wishes, arguments.epochs)
        until_the_first_step(project, wishes)
        for side_px in (320, 640):
            from_signal_to_exit(project, wishes, side_px)


def what_a_save_costs(project: Path, wishes: dict[str, Any], epochs: int) -> None:
    """Trains once as always, once saving at every window, and once without a save, and compares the epochs."""
    wishes = {**wishes, "imgsz": 320, "epochs": epochs, "project": project}
    stops: Timed = []
    writes: Timed = []
    with _timed(Checkpointer, "_save", stops), _timed(BackgroundWriter, "_save_one", writes):
        before = time.process_time()
        at_epochs = _epoch_seconds(wishes)
        once = f"{_told(stops)}; the writer's thread {_told(writes)}"
        share = sum(on_core for _, on_core in (*stops, *writes)) / (time.process_time() - before)
        stops.clear()
        writes.clear()
        at_windows = _epoch_seconds({**wishes, "save_interval": 1e-6})
        all_the_time = f"{_told(stops)}; the writer's thread {_told(writes)}"
    with _without_saves():
        never = _epoch_seconds(wishes)
    print(f"a save after each epoch stops the loop for {once}; on a core it takes {share:.1%} of the training")
    print(f"a save after each window stops the loop for {all_the_time}")
    medians = (statistics.median(seconds) for seconds in (never, at_epochs, at_windows))
    print("an epoch without saves {:.2f} s, with one {:.2f} s, with one after each window {:.2f} s".format(*medians))


def until_the_first_step(project: Path, wishes: dict[str, Any]) -> None:
    """Times a fresh start and a resume, each until the loss of the first microbatch is there."""
    wishes = {**wishes, "imgsz": 320, "epochs": 3, "project": project}
    _until(MicrobatchDone, 1, lambda observer: YOLO("yolov8n.yaml").train(observer=observer, **wishes))  # fills caches
    run = _until(EpochStarted, 2, lambda observer: YOLO("yolov8n.yaml").train(observer=observer, **wishes))[1].save_dir
    fresh: Timed = []
    resumed: Timed = []
    reading: Timed = []
    for _ in range(3):
        took, _ = _until(MicrobatchDone, 1, lambda observer: YOLO("yolov8n.yaml").train(observer=observer, **wishes))
        fresh.append(took)
        took, _ = _until(MicrobatchDone, 1, lambda observer: YOLO().resume(run, observer=observer))
        resumed.append(took)
        began = _now()
        read(run / "weights" / "last.pt")
        reading.append(_since(began))
    print(f"to the first microbatch, fresh: {_told(fresh)}")
    print(f"to the first microbatch, resumed: {_told(resumed)}; of it the reading of the file: {_told(reading)}")


def from_signal_to_exit(project: Path, wishes: dict[str, Any], side_px: int) -> None:
    """Ends trainings of the command line with SIGTERM at random moments, and times how long they take to be gone."""
    seconds: Timed = []
    for number in range(4):
        name = f"stopped-{side_px}-{number}"
        pairs = {**wishes, "imgsz": side_px, "epochs": 2, "project": project, "name": name, "save_interval": 0.01}
        words = [f"{key}={value}" for key, value in pairs.items()]
        process = subprocess.Popen([sys.executable, "-m", "peakmark", "train", *words], stdout=subprocess.DEVNULL)
        while not (project / name / "weights" / "last.pt").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.Random(number).uniform(0, 6))
        before, began_at = sum(psutil.Process(process.pid).cpu_times()[:2]), time.perf_counter()
        process.send_signal(signal.SIGTERM)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == EXIT_INTERRUPTED:
            seconds.append((time.perf_counter() - began_at, used.ru_utime + used.ru_stime - before))
    print(f"from SIGTERM to exit at {side_px} px: {_told(seconds)}")


@contextmanager
def _timed(owner: type, name: str, seconds: Timed) -> Iterator[None]:
    """Times every call of a method."""
    call: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any, **named: Any) -> Any:
        began = _now()
        try:
            return call(*arguments, **named)
        finally:
            seconds.append(_since(began))

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, call)


@contextmanager
def _without_saves() -> Iterator[None]:
    """Keeps a training from saving anything."""
    saves = Checkpointer.keep_epoch, Checkpointer.keep_position
    Checkpointer.keep_epoch = Checkpointer.keep_position = lambda *_: None  # type: ignore
    try:
        yield
    finally:
        Checkpointer.keep_epoch, Checkpointer.keep_position = saves  # type: ignore[method-assign]


def _epoch_seconds(wishes: dict[str, Any]) -> list[float]:
    """Trains, and gives how long each epoch but the first took, from its start to the next one's."""
    starts: list[float] = []

    def observe(event: Event) -> None:
        if isinstance(event, EpochStarted | EpochEnded):
            starts.append(time.perf_counter())

    YOLO("yolov8n.yaml").train(observer=observe, **wishes)
    started = starts[::2]
    return [later - earlier for earlier, later in itertools.pairwise(started[1:])]


def _until(
    kind: type[Event], count: int, run: Callable[[Callable[[Event], None]], Any]
) -> tuple[tuple[float, float], Any]:
    """Gives how long a training takes to its n-th event of a kind, ends it there, and gives what it came to."""
    left, took = count, (0.0, 0.0)

    def observe(event: Event) -> None:
        nonlocal left, took
        left -= isinstance(event, kind)
        if left == 0 and isinstance(event, kind):
            took = _since(began)
            os.kill(os.getpid(), signal.SIGINT)

    began = _now()
    results = run(observe)
    return took, results


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    gone_by, on_core = _now()
    return gone_by - began[0], on_core - began[1]


def _told(seconds: Timed) -> str:
    gone_by, on_core = zip(*seconds, strict=True)
    return (
        f"{1000 * statistics.median(gone_by):.1f} ms (median of {len(seconds)}; at most {1000 * max(gone_by):.1f} ms; "
        f"on a core {1000 * statistics.median(on_core):.1f} ms)"
    )


if __name__ == "__main__":
    main()
