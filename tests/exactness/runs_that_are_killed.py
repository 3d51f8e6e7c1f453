"""Trains in children of itself and has them killed, by the clock or at a named place; says how and where each ended.

Run by `test_random_kills.py` as a program of its own. It imports torch once and forks, so that a kill costs the
training that it kills and not three seconds of imports; forking is safe because nothing here computes before it. Reads
an order a line from its input, JSON as in `Order`, and prints one line for each, as in `Ended`.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from peakmark import YOLO
from peakmark.events import EpochEnded, EpochStarted, Event, MicrobatchDone, RunEnded, RunStarted, ValidationProgress
from peakmark.files import durable

PHASES = ("starting", "training", "validating", "between epochs", "ending")
_CALLS = ("fsync", "replace", "link", "unlink")
_BROKE = 70


class Order(TypedDict):
    run: str | None
    """The folder to resume; None for a new run."""
    settings: dict[str, Any]
    """Of a new run, or those that are to be changed at a resume."""
    after_s: float | None
    """Kill this long after the fork, from outside."""
    place: str | None
    """Kill there, from inside: at an event, whose journal line is written by then (microbatch, validation, epoch end,
    run end), after a journal line, before a call of a save or a call of another file; at ..."""
    number: int
    """... its n-th time, from 1."""
    log: str
    """The file for what a child prints."""


class Ended(TypedDict):
    ended: str
    """killed, or the outcome of the training, or broke."""
    where: str
    """For a killed one: its phase, and whether a checkpoint was being written."""
    lasted_s: float


class Whereabouts:
    """Where a child is, in memory that it shares with its parent and that outlives it."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 2)

    def clear(self) -> None:
        self._shared[:] = bytes(2)

    def enter(self, phase: str) -> None:
        self._shared[0] = PHASES.index(phase)

    def saving(self, under_way: bool) -> None:
        self._shared[1] = under_way

    def __str__(self) -> str:
        return PHASES[self._shared[0]] + (", while saving" if self._shared[1] else "")


class Child:
    """Follows a training from inside, and kills it at the n-th passing of a place."""

    def __init__(self, whereabouts: Whereabouts, place: str | None, number: int) -> None:
        self._whereabouts = whereabouts
        self._place = place
        self._left = number

    def install(self) -> None:
        written, appended = durable.write_durably, durable.append_line
        here = threading.local()

        def write_durably(targets: Any, *rest: Any, **named: Any) -> int:
            here.saves = targets[0].suffix == ".pt"
            self._whereabouts.saving(here.saves)
            try:
                return written(targets, *rest, **named)
            finally:
                here.saves = False
                self._whereabouts.saving(False)

        def append_line(path: Path, line: str) -> None:
            appended(path, line)
            self._pass("journal line")

        durable.write_durably, durable.append_line = write_durably, append_line
        for name in _CALLS:
            setattr(os, name, self._watched(getattr(os, name), here))

    def _watched(self, call: Callable[..., Any], here: threading.local) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self._pass("call of a save" if getattr(here, "saves", False) else "call of another file")
            return call(*arguments, **named)

        return watched

    def _pass(self, place: str) -> None:
        if place == self._place:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted() | EpochStarted():
                self._whereabouts.enter("training")
            case MicrobatchDone():
                if event.images_done == event.images:
                    # The update of the last window is still to come: a few milliseconds of training count as this.
                    self._whereabouts.enter("validating")
                self._pass("microbatch")
            case ValidationProgress():
                self._pass("validation")
            case EpochEnded():
                over = event.decision.stop or event.record.epoch + 1 == event.epochs
                self._whereabouts.enter("ending" if over else "between epochs")
                self._pass("epoch end")
            case RunEnded():
                self._pass("run end")
            case _:
                pass


def train_in_child(order: Order, whereabouts: Whereabouts) -> Ended:
    """Forks, trains or resumes in the child, kills it if it is to be killed from outside, and says how it ended."""
    whereabouts.clear()
    reader, writer = os.pipe()
    began_at = time.monotonic()
    process = os.fork()
    if process == 0:
        code = _BROKE
        try:
            with open(order["log"], "a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            child = Child(whereabouts, order["place"], order["number"])
            child.install()
            if order["run"] is None:
                ended = YOLO("yolov8t.yaml").train(observer=child, **order["settings"])
            else:
                ended = YOLO().resume(order["run"], observer=child, yes=True, **order["settings"])
            os.write(writer, ended.outcome.encode())
            code = 0
        finally:
            if code:
                traceback.print_exc()
                sys.stderr.flush()
            # Whatever happened: a child that lives on would read orders as a second parent.
            os._exit(code)
    os.close(writer)
    if order["after_s"] is not None:
        _kill_unless_it_ends(process, began_at + order["after_s"])
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    lasted_s = time.monotonic() - began_at
    with os.fdopen(reader) as answer:
        outcome = answer.read() if code == 0 else "killed" if code == -signal.SIGKILL else "broke"
    return {"ended": outcome, "where": str(whereabouts), "lasted_s": lasted_s}


def _kill_unless_it_ends(process: int, at_s: float) -> None:
    while (left_s := at_s - time.monotonic()) > 0:
        time.sleep(min(left_s, 0.005))
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
    os.kill(process, signal.SIGKILL)


def main() -> None:
    whereabouts = Whereabouts()
    for line in sys.stdin:
        print(json.dumps(train_in_child(json.loads(line), whereabouts)), flush=True)


if __name__ == "__main__":
    main()
