"""A run of the command line in a process of its own that stands still at a chosen event, until somebody lets it go on.

Whoever chose the moment can send it a signal there, or change the world around it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.warm_processes import WarmProcesses

PROGRAM = Path(__file__).with_name("stopping_at.py")
_PATIENCE_S = 120


class WaitingRun:
    """Stands still at the n-th event of a kind once it is made."""

    def __init__(
        self, processes: WarmProcesses, kind: str, number: int, words: list[str], cwd: Path, *, columns: int = 100
    ) -> None:
        stdin, to_it = os.pipe()
        from_it, stdout = os.pipe()
        self._to_it, self._from_it = os.fdopen(to_it, "w"), os.fdopen(from_it)
        with open(stdin) as reads, open(stdout, "w") as writes:
            self._process = processes.start(
                PROGRAM, kind, str(number), *words,
                cwd=cwd, environment={**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"},
                files=(reads, writes, writes),
            )  # fmt: skip
        self.printed = ""
        self.wait_for("WAITING\n")

    def wait_for(self, word: str) -> None:
        """Reads what is printed until a word is in a line."""
        for line in self._from_it:
            self.printed += line
            if word in line:
                return
        raise AssertionError(self.printed)

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def go_on(self) -> None:
        try:
            self._to_it.write("\n")
            self._to_it.close()
        except BrokenPipeError:  # the signal has ended it
            pass

    def end(self) -> int:
        """Gives the exit code, negative where it was a signal."""
        with self._from_it:
            self.printed += self._from_it.read()
        return self._process.end(_PATIENCE_S)
