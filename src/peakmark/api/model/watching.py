"""Who is told what happens? The caller's observer, else a console for as long as it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from peakmark.events import Event, Notice, Observer
from peakmark.live.beside import LivePage
from peakmark.release.backup import Backup
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.run.begin import Watch


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


@contextmanager
def beside_a_run(observe: Observer) -> Iterator[tuple[Watch, ...]]:
    """What goes on beside a training where its settings wish it: the copying of its best weights, and its page."""
    with closing(Backup()) as backup, closing(LivePage(observe)) as page:
        yield backup, page


def _tell_what_is_serious(event: Event) -> None:
    if isinstance(event, Notice) and event.serious:
        with watching(None) as observe:
            observe(event)
