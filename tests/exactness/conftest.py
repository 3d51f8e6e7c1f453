"""What makes two runs the same run, and how to stop one at a chosen moment."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read
from peakmark.events import Event

PROGRAM = Path(__file__).parent / "stopping_at.py"


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


def _stopped_by(number: signal.Signals, kind: str, count: int, words: list[str], cwd: Path) -> tuple[int, str]:
    """Sends a signal at the n-th event of a kind; gives the exit code and what was printed."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), kind, str(count), *words],
        cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line == "WAITING\n":
            break
    assert printed[-1:] == ["WAITING\n"], "".join(printed)
    process.send_signal(number)
    rest, _ = process.communicate("\n", timeout=60)
    return process.returncode, "".join(printed) + rest


@pytest.fixture(scope="session")
def stopped_by() -> Callable[[signal.Signals, str, int, list[str], Path], tuple[int, str]]:
    """Runs the command line and sends it a signal at the n-th event of a kind; gives exit code and what was printed."""
    return _stopped_by
