"""What makes two runs the same run, and how to stop one at a chosen moment."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.exactness.waiting_run import WaitingRun
from tests.warm_processes import WarmProcesses

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read
from peakmark.events import Event


def facts_of(run: Path) -> dict[str, Any]:
    """All that must be equal where two folders hold the same run: each file's state, results.csv but for its times."""
    with open(run / "results.csv", newline="") as table:
        rows = [{name: value for name, value in row.items() if name != "time"} for row in csv.DictReader(table)]
    weights = {path.name: everything(read(path, verify=False)) for path in sorted((run / "weights").glob("*.pt"))}
    return {"weights": weights, "results.csv": rows}


class StopAt:
    """An observer that presses Ctrl-C at the n-th event of a kind."""

    def __init__(self, kind: type[Event], number: int) -> None:
        self._kind = kind
        self._left = number

    def __call__(self, event: Event) -> None:
        self._left -= isinstance(event, self._kind)
        if self._left == 0 and isinstance(event, self._kind):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="session")
def stop_at() -> type[StopAt]:
    return StopAt


@pytest.fixture(scope="session")
def facts() -> Callable[[Path], dict[str, Any]]:
    return facts_of


@pytest.fixture(scope="session")
def stopped_by(
    warm_processes: WarmProcesses,
) -> Callable[[signal.Signals, str, int, list[str], Path], tuple[int, str]]:
    """Runs the command line and sends it a signal at the n-th event of a kind; gives exit code and what was printed."""

    def stop(number: signal.Signals, kind: str, count: int, words: list[str], cwd: Path) -> tuple[int, str]:
        run = WaitingRun(warm_processes, kind, count, words, cwd)
        run.send_signal(number)
        run.go_on()
        return run.end(), run.printed

    return stop
