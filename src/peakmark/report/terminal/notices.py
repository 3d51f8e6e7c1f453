"""What is to be read beside results that a call gives back? Each notice once, however many calls there are."""

from __future__ import annotations

from peakmark.events import Event, Notice
from peakmark.report.terminal.console import ConsoleObserver

_MOST_TOLD = 1000
"""Sentences that are remembered, so that a server of many pictures doesn't grow."""


class NoticesOnce:
    """Shows notices that it has not shown yet, and nothing else of what happens."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Notice) or event.text in self._told:
            return
        if len(self._told) == _MOST_TOLD:
            self._told.clear()
        self._told.add(event.text)
        with ConsoleObserver() as console:
            console(event)
