"""Has somebody asked the run to stop? Signals and the time limit only raise a flag; the loop looks when it is safe."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Literal

StopReason = Literal["interrupted", "out_of_time", "paused", "broken"]
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C, a machine being taken away, and the warning that schedulers send before it."""


class StopNow(BaseException):  # no Exception: whoever catches those on the way must not take it for a failure
    """A stop was asked for where nothing has to be finished first."""


class EndNow(KeyboardInterrupt):
    """A second Ctrl-C: whoever presses it does not wait for anything any more, not for a save either."""


class StopRequest:
    """Says whether to stop, and why. As a context manager it listens to signals while it is open.

    The first signal asks; a Ctrl-C after it raises EndNow at once, for whoever can't wait.
    """

    def __init__(self, time_limit_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadline = None if time_limit_s is None else clock() + time_limit_s
        self._asked: StopReason | None = None
        self._previous: dict[int, Any] = {}
        self._raises = False
        self._signalled = False

    @property
    def reason(self) -> StopReason | None:
        if self._asked is not None:
            return self._asked
        if self._deadline is not None and self._clock() >= self._deadline:
            return "out_of_time"
        return None

    def requested(self) -> bool:
        return self.reason is not None

    def ask(self, reason: StopReason = "interrupted") -> None:
        """Does what a signal does, for a program that runs the training."""
        self._asked = reason

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A signal inside raises StopNow: for what takes long and can be dropped half done."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def __enter__(self) -> StopRequest:
        # Python lets only the main thread listen; a run inside another thread is stopped with `ask`.
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Not `self._asked`: a program may have asked for a pause, and then the first Ctrl-C still waits for the save.
        if self._signalled and number == signal.SIGINT:
            raise EndNow
        self._signalled = True
        self._asked = self._asked or "interrupted"
        if self._raises:
            raise StopNow
