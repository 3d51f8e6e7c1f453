"""What if a function of the user's own fails while a run goes on? That is told, and the run goes on without it.

A run of days must not end over a typo in a line that draws it. It must not know what the functions do.
"""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from peakmark.events import Event, Notice, Observer, RunEnded
from peakmark.nouns.run import History
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.report.terminal.terminal import Terminal


class Hooks:
    """Calls functions of the user's own, and keeps what is to be told of those that fail: of each once, and at the end.

    It is a watch of a run (`peakmark.run.begin.Watch`): what it has to tell goes to the journal as well.
    """

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()
        self._owed: deque[Notice] = deque()

    def call(self, name: str, function: Callable[[Any], object], argument: object) -> bool:
        """Calls a function that is told of as `name`; says whether that went well.

        What ends the process, or a run that is asked to stop (Ctrl-C, SystemExit), passes.
        """
        try:
            function(argument)
        except Exception as error:  # noqa: BLE001 - a function of somebody else raises what it likes
            self._failures[name] += 1
            if self._failures[name] == 1:
                self._owed.append(Notice(f"{_what_failed(name, error)} The run goes on.", serious=True))
            return False
        return True

    def guarded(self, observer: Observer) -> Observer:
        """An observer that passes events on to another one, which may fail."""

        def observe(event: Event) -> None:
            if not self.call("observer=", observer, event) and self._failures["observer="] == 1:
                # Whoever should have shown it is what failed.
                ConsoleObserver(Terminal(stderr=True))(self._owed[-1])

        return observe

    def tell_what_is_owed(self, tell: Observer) -> None:
        """Tells of failures that nobody was told of yet; not of those of telling."""
        while self._owed:
            tell(self._owed.popleft())

    def __call__(self, event: Event, history: History, tell: Observer, stop: object) -> None:
        self.tell_what_is_owed(tell)
        if isinstance(event, RunEnded):
            for name, times in self._failures.items():
                if times > 1:
                    tell(Notice(f"{name} failed {times:,} times in this run.", serious=True))
            self._failures.clear()


def _what_failed(name: str, error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    reason = " ".join(str(error).split()) or "no reason is given"
    return f"{name} failed: {reason} ({type(error).__name__} in {place.filename}, line {place.lineno})."
