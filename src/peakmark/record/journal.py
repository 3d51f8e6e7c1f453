"""What happened in a run, when, and how far it was? Written to journal.jsonl as it comes, and read back from there.

One JSON object a line: `at` (UTC), `event`, `epoch` (1-based), `images` (how many of them were done) and `phase`, then
the event's own fields. Starts, plans of a resume, decisions, skipped updates, notices, verdicts, measured times and
ends are written; progress is not. Where a resume went back before an event, it stays and is marked
`"superseded": true`.

People, the report and the diagnosis read it; the run itself never does, so nothing that is lost here changes a result.
It must not know who emits the events, nor what follows from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peakmark.errors import MachineError
from peakmark.events import (
    EpochEnded,
    EpochStarted,
    Event,
    MicrobatchDone,
    Notice,
    ResumePlanned,
    RunEnded,
    RunStarted,
    SeamJudged,
    StepSkipped,
    TimeMeasured,
    ValidationProgress,
)
from peakmark.files import durable
from peakmark.nouns.resume import Continuity
from peakmark.nouns.run import Position
from peakmark.record.plain_json import as_json


def utc_now() -> datetime:
    """The moment, for the journal only: nothing that bears on a result may look at a clock."""
    return datetime.now(UTC)


class Journal:
    """Appends the events that tell a run's story to the file at `path`; a resumed run goes on in the same file."""

    def __init__(self, path: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._path = path
        self._now = now
        self._position = Position()
        self._owed: list[str] = []

    def __call__(self, event: Event) -> None:
        """Takes any event.

        Lines that the disk refuses wait for the next one, since a full disk is no reason to stop a training. Raises
        `MachineError` where they can't be written when the run ends.
        """
        self._follow(event)
        told = _told(event)
        if told is not None:
            here = self._position
            where = {"epoch": here.epoch + 1, "images": here.images, "phase": here.phase}
            at = self._now().isoformat(timespec="milliseconds")
            line = {"at": at, "event": type(event).__name__, **where, **told}
            self._owed.append(as_json(line))
            self._write(last=isinstance(event, RunEnded))
        if isinstance(event, EpochEnded):
            # What is told between two epochs belongs to the one that comes: the ended one is closed.
            self._position = Position(event.record.epoch + 1)

    def _write(self, *, last: bool) -> None:
        try:
            while self._owed:
                durable.append_line(self._path, self._owed[0])
                del self._owed[0]
        except MachineError:
            if last:
                raise

    def _follow(self, event: Event) -> None:
        """Keeps up with where the run is, for the events that don't say."""
        match event:
            case RunStarted() | ResumePlanned() | RunEnded():
                self._position = event.position
            case MicrobatchDone() | StepSkipped():
                self._position = Position(event.epoch, event.images_done)
            case EpochStarted():
                # A resumed epoch starts after the images that are done already.
                if event.epoch != self._position.epoch:
                    self._position = Position(event.epoch)
            case ValidationProgress():
                self._position = replace(self._position, epoch=event.epoch, phase="validate")
            case EpochEnded():
                self._position = Position(event.record.epoch, event.record.images, "validate")
            case _:
                pass


def read(path: Path) -> list[dict[str, Any]]:
    """Gives the events of a journal in their order; empty where there is none.

    A line that can't be read, as a kill may leave one, is skipped. Raises `MachineError` where the disk refuses.
    """
    return [told for told in map(_understood, _lines(path)) if told is not None]


def mark_superseded(path: Path, position: Position) -> int:
    """Marks every event beyond the `position` that a resume restored, and gives how many were marked by this call.

    An event is beyond where the restored state has not got to it; what ended an epoch is beyond where that epoch is
    still open. Lines that can't be read stay as they are. Raises `MachineError`; the journal is whole then, too.
    """
    lines = _lines(path)
    marked = 0
    for number, line in enumerate(lines):
        told = _understood(line)
        if told is not None and not told.get("superseded") and _is_beyond(told, position):
            lines[number] = as_json({**told, "superseded": True}).encode()
            marked += 1
    if marked:
        durable.write_bytes(path, b"\n".join(lines) + b"\n")
    return marked


def _lines(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MachineError(f"Can't read {path}: {error.strerror}. Check its rights.") from error
    # At newlines alone: a file's name may hold other characters that Python takes for the end of a line.
    return content.removesuffix(b"\n").split(b"\n") if content else []


def _understood(line: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("event"), str) else None


def _is_beyond(told: dict[str, Any], position: Position) -> bool:
    epoch, images = told.get("epoch"), told.get("images")
    if not isinstance(epoch, int) or not isinstance(images, int):
        return False
    if told["event"] == "EpochEnded":
        return epoch - 1 >= position.epoch
    there = (epoch - 1, images, told.get("phase") == "validate")
    return there > (position.epoch, position.images, position.phase == "validate")


def _told(event: Event) -> dict[str, Any] | None:
    """What a line says beyond time and place; None for an event that is only progress."""
    match event:
        case RunStarted() | ResumePlanned():
            return _own_fields(event)
        case RunEnded():
            return {**_own_fields(event), "best_epoch": _counted_from_1(event.best_epoch)}
        case SeamJudged():
            return {"last_epoch": event.epoch + 1, "verdict": _verdict(event.verdict)}
        case StepSkipped():
            return {"what": event.what, "files": event.files, "in_a_row": event.in_a_row}
        case EpochEnded():
            decision = event.decision
            return {
                "step": event.record.step,
                "fitness": event.record.fitness,
                "is_best": decision.is_best,
                "best_epoch": _counted_from_1(decision.best_epoch),
                "best_fitness": decision.best_fitness,
                "stop": decision.stop,
                "patience_left": decision.patience_left,
                "keep": decision.keep,
                "reason": decision.reason,
                "metrics": event.record.metrics,
                "train_losses": dict(event.record.train.items()),
                "val_losses": dict(event.record.validation.items()) if event.record.validation else None,
                "lr": event.record.lr,
            }
        case TimeMeasured():
            timings = event.timings
            return {
                "over": event.over,
                "seconds": timings.seconds,
                "timed_images": timings.images,
                "advice": event.advice,
            }
        case Notice():
            return {"text": event.text, "serious": event.serious}
        case _:
            return None


def _own_fields(event: RunStarted | ResumePlanned | RunEnded) -> dict[str, Any]:
    # Not `asdict`, which copies and can't copy every mapping.
    own = {field.name: getattr(event, field.name) for field in fields(event) if field.name != "position"}
    return {**own, "step": event.position.step}


def _counted_from_1(epoch: int | None) -> int | None:
    return None if epoch is None else epoch + 1


def _verdict(verdict: Continuity) -> Continuity:
    return replace(verdict, observed=tuple(replace(seen, epoch=seen.epoch + 1) for seen in verdict.observed))
