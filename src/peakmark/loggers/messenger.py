"""How does a process that trains know what the one that sends is doing? It starts it, listens, and never waits for it.

It must not know what is sent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, Final

import peakmark
from peakmark.events import Notice

_RESTARTS_S: Final = (0.0, 10.0, 60.0)
"""How long after its last start a process that was killed is started again; the last one again and again."""


class Messenger:
    """The process that brings one run to one logger."""

    def __init__(self, run: Path, name: str, *, anew: bool = False) -> None:
        self.name = name
        self.done: dict[str, Any] | None = None
        """Where all of it is; None as long as that isn't known."""
        self.failed = ""
        """Why not all of it got there."""
        self._words = [str(run), name, *(["anew"] if anew else [])]
        self._said: deque[Notice] = deque()
        self._process: subprocess.Popen[str] | None = None
        self._listener: Thread | None = None
        self._starts = 0
        self._started_at_s = 0.0
        self._has_ended = False
        self._start()

    def said(self) -> Iterator[Notice]:
        """Gives what there is to tell since it was last asked; a process that was killed is started again."""
        if not self._has_ended and self._process is not None and self._process.poll() is not None:
            self._start_again()
        while self._said:
            yield self._said.popleft()

    def end(self) -> None:
        """Says that the run has ended: the process sends what is left, and ends."""
        self._has_ended = True
        if self._process is not None and self._process.poll() is not None and self.done is None:
            self._start()  # killed just now: what it had not sent is sent by another
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:
                return  # it is gone already

    def is_at_work(self, wait_s: float) -> bool:
        """Waits so long for its end and says whether it is still at work."""
        if self._process is None:
            return False
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return True
        if self._listener is not None:
            self._listener.join(wait_s)
        return False

    def stop(self) -> None:
        """Ends the process at once. What it sent is kept, and what it didn't can be sent later."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def _start(self) -> None:
        self._starts += 1
        self._started_at_s = time.monotonic()
        # The same Peakmark, from whatever folder this process has it.
        source = str(Path(peakmark.__file__).resolve().parents[1])
        path = os.pathsep.join(part for part in (os.environ.get("PYTHONPATH"), source) if part)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "peakmark.loggers.sender", *self._words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": path},
                # Ctrl-C is for the training, which then tells this process that it has ended.
                start_new_session=True,
            )
        except OSError as error:
            self._process, self.failed = None, str(error)
            self._said.append(Notice(f"Nothing is logged to {self.name}: {error}", serious=True))
            return
        self._listener = Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()

    def _start_again(self) -> None:
        assert self._process is not None
        if time.monotonic() - self._started_at_s < _RESTARTS_S[min(self._starts - 1, len(_RESTARTS_S) - 1)]:
            return
        if self._starts == 1:
            how = _how_it_ended(self._process.returncode)
            text = f"The process that logs to {self.name} {how}; another one goes on where it was."
            self._said.append(Notice(text, serious=True))
        self._start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if "done" in told:
                self.done = told
            elif "failed" in told:
                self.failed = str(told["failed"])
            else:
                self._said.append(Notice(str(told["text"]), serious=bool(told.get("serious"))))


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
