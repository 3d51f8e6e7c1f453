"""Who is told what happens? The caller's observer, else a console for as long as it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peakmark.events import Event, Notice, Observer
from peakmark.report.terminal.console import ConsoleObserver


def heeding_verbose(
    observer: Observer | None, settings: dict[str, Any], quiet: Observer | None = None
) -> Observer | None:
    """Takes `verbose=False` out of the settings: without an observer only what is serious is told then."""
    if settings.get("verbose") is not False:
        return observer
    del settings["verbose"]
    return observer or quiet or _tell_what_is_serious


@contextmanager
def watching(observer: Observer | None) -> Iterator[Observer]:
    """The caller's observer, or a console for as long as it is needed."""
    if observer is not None:
        yield observer
        return
    with ConsoleObserver() as console:
        yield console


def _tell_what_is_serious(event: Event) -> None:
    if isinstance(event, Notice) and event.serious:
        with watching(None) as observe:
            observe(event)
