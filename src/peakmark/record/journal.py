"""What happened in a run, when, and how far it was? An observer that writes events to journal.jsonl as they come.

One JSON object a line: `at` (UTC), `event`, `epoch` (1-based) and `images` (how many of them were done), then the
event's own fields. Starts, decisions, skipped updates, notices and ends are written; progress is not. The journal is
told to people and never read back by the program. It must not know who emits the events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peakmark.events import (
    EpochEnded,
    EpochStarted,
    Event,
    MicrobatchDone,
    Notice,
    RunEnded,
    RunStarted,
    StepSkipped,
    ValidationProgress,
)
from peakmark.machine import durable
from peakmark.record.plain_json import as_json


def utc_now() -> datetime:
    """The moment, for the journal only: nothing that bears on a result may look at a clock."""
    return datetime.now(UTC)


class Journal:
    """Appends the events that tell a run's story to the file at `path`; a resumed run goes on in the same file."""

    def __init__(self, path: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._path = path
        self._now = now
        self._epoch = 0
        self._images = 0

    def __call__(self, event: Event) -> None:
        """Takes any event. Raises `MachineError` where the disk refuses."""
        self._follow(event)
        fields = _fields(event)
        if fields is not None:
            self.write(type(event).__name__, fields)

    def write(self, event: str, fields: dict[str, Any]) -> None:
        """Appends one line about something that is no `Event`, for example a resume and its plan of change."""
        where = {"epoch": self._epoch + 1, "images": self._images}
        at = self._now().isoformat(timespec="milliseconds")
        durable.append_line(self._path, as_json({"at": at, "event": event, **where, **fields}))

    def _follow(self, event: Event) -> None:
        """Keeps up with where the run is, for the events that don't say."""
        match event:
            case RunStarted() | RunEnded():
                self._epoch, self._images = event.position.epoch, event.position.images
            case MicrobatchDone() | StepSkipped():
                self._epoch, self._images = event.epoch, event.images_done
            case EpochStarted():
                self._epoch, self._images = event.epoch, 0
            case ValidationProgress():
                self._epoch = event.epoch
            case EpochEnded():
                self._epoch, self._images = event.record.epoch, event.record.images
            case _:
                pass


def _fields(event: Event) -> dict[str, Any] | None:
    """What a line says beyond time and place; None for an event that is only progress."""
    match event:
        case RunStarted() | RunEnded():
            fields = asdict(event)
            del fields["position"]
            return {**fields, "step": event.position.step, "phase": event.position.phase}
        case StepSkipped():
            return {"what": event.what, "files": event.files, "in_a_row": event.in_a_row}
        case EpochEnded():
            decision = event.decision
            return {
                "step": event.record.step,
                "fitness": event.record.fitness,
                "is_best": decision.is_best,
                "best_epoch": None if decision.best_epoch is None else decision.best_epoch + 1,
                "best_fitness": decision.best_fitness,
                "stop": decision.stop,
                "keep": decision.keep,
                "reason": decision.reason,
                "metrics": event.record.metrics,
            }
        case Notice():
            return asdict(event)
        case _:
            return None
