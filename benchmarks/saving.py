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

from peakmark import YOLO
from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.reader import read
from peakmark.events import EpochEnded, EpochStarted, Event, MicrobatchDone
from peakmark.train.keeper import DiskKeeper

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
    with _timed(DiskKeeper, "_save", stops), _timed(BackgroundWriter, "_save_one", writes):
        at_epochs = _epoch_seconds(wishes)
        once = f"{_told(stops)}; the writer's thread {_told(writes)}"
        share = sum(on_core for _, on_core in (*stops[1:], *writes[1:])) / sum(at_epochs) / (os.cpu_count() or 1)
        stops.clear()
        writes.clear()
        at_windows = _epoch_seconds({**wishes, "save_interval": 1e-6})
        all_the_time = f"{_told(stops)}; the writer's thread {_told(writes)}"
    with _without_saves():
        never = _epoch_seconds(wishes)
    print(f"a save after each epoch stops the loop for {once}; on a core it takes {share:.2%} of the training")
    print(f"a save after each window stops the loop for {all_the_time}")
    medians = (statistics.median(seconds) for seconds in (never, at_epochs, at_windows))
    print("an epoch without saves {:.2f} s, with one {:.2f} s, with one after each window {:.2f} s".format(*medians))


def until_the_first_step(project: Path, wishes: dict[str, Any]) -> None:
    """Times a fresh start and a resume, each until the loss of the first microbatch is there."""
    wishes = {**wishes, "imgsz": 320, "epochs": 3, "project": project}
    _until(MicrobatchDone, 1, lambda observer: YOLO("yolov8n.yaml").train(observer=observer, **wishes))  # fills caches
    run = _until(EpochStarted, 2, lambda observer: YOLO("yolov8n.yaml").train(observer=observer, **wishes))[1].save_dir
    fresh, resumed, reading = [], [], []
    for _ in range(3):
        fresh.append(
            _until(MicrobatchDone, 1, lambda observer: YOLO("yolov8n.yaml").train(observer=observer, **wishes))[0]
        )
        resumed.append(_until(MicrobatchDone, 1, lambda observer: YOLO().resume(run, observer=observer))[0])
        began_at = time.perf_counter()
        read(run / "weights" / "last.pt")
        reading.append(time.perf_counter() - began_at)
    medians = (statistics.median(seconds) for seconds in (fresh, resumed, reading))
    print(
        "to the first microbatch: fresh {:.2f} s, resumed {:.2f} s, of which the file's reading {:.2f} s".format(
            *medians
        )
    )


def from_signal_to_exit(project: Path, wishes: dict[str, Any], side_px: int) -> None:
    """Ends trainings of the command line with SIGTERM at random moments, and times how long they take to be gone."""
    seconds = []
    for number in range(4):
        name = f"stopped-{side_px}-{number}"
        pairs = {**wishes, "imgsz": side_px, "epochs": 2, "project": project, "name": name, "save_interval": 0.01}
        words = [f"{key}={value}" for key, value in pairs.items()]
        process = subprocess.Popen([sys.executable, "-m", "peakmark", "train", *words], stdout=subprocess.DEVNULL)
        while not (project / name / "weights" / "last.pt").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.Random(number).uniform(0, 6))
        began_at = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        code = process.wait()
        if code == 130:
            seconds.append(time.perf_counter() - began_at)
    print(f"from SIGTERM to exit at {side_px} px: " + ", ".join(f"{second:.2f} s" for second in sorted(seconds)))


@contextmanager
def _timed(owner: type, name: str, seconds: Timed) -> Iterator[None]:
    """Times every call of a method."""
    call: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any, **named: Any) -> Any:
        began_at, on_core = time.perf_counter(), time.thread_time()
        try:
            return call(*arguments, **named)
        finally:
            seconds.append((time.perf_counter() - began_at, time.thread_time() - on_core))

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, call)


@contextmanager
def _without_saves() -> Iterator[None]:
    """Keeps a training from saving anything."""
    saves = DiskKeeper.keep_epoch, DiskKeeper.keep_position
    DiskKeeper.keep_epoch = DiskKeeper.keep_position = lambda *_: None  # type: ignore
    try:
        yield
    finally:
        DiskKeeper.keep_epoch, DiskKeeper.keep_position = saves  # type: ignore[method-assign]


def _epoch_seconds(wishes: dict[str, Any]) -> list[float]:
    """Trains, and gives how long each epoch but the first took, from its start to the next one's."""
    starts: list[float] = []

    def observe(event: Event) -> None:
        if isinstance(event, EpochStarted | EpochEnded):
            starts.append(time.perf_counter())

    YOLO("yolov8n.yaml").train(observer=observe, **wishes)
    started = starts[::2]
    return [later - earlier for earlier, later in itertools.pairwise(started[1:])]


def _until(kind: type[Event], count: int, run: Callable[[Callable[[Event], None]], Any]) -> tuple[float, Any]:
    """Gives how long a training takes to its n-th event of a kind, ends it there, and gives what it came to."""
    left, reached_at = count, 0.0

    def observe(event: Event) -> None:
        nonlocal left, reached_at
        left -= isinstance(event, kind)
        if left == 0 and isinstance(event, kind):
            reached_at = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

    began_at = time.perf_counter()
    results = run(observe)
    return reached_at - began_at, results


def _told(seconds: Timed) -> str:
    gone_by, on_core = zip(*seconds, strict=True)
    return (
        f"{1000 * statistics.median(gone_by):.1f} ms (median of {len(seconds)}; at most {1000 * max(gone_by):.1f} ms; "
        f"on a core {1000 * statistics.median(on_core):.1f} ms)"
    )


if __name__ == "__main__":
    main()
