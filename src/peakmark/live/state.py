"""What is known of a run at this moment? Its state, its pace, how long it will take, the best so far; from its folder.

Nothing is asked of the process that trains it, and nothing is written. Where in an open epoch it is, the folder doesn't
say: that is estimated by the last epoch's pace, and called so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from peakmark.files.lock import is_alive
from peakmark.nouns.outcome import OVER
from peakmark.record.folder import RunFolder
from peakmark.report.numbers import finite, four_digits
from peakmark.report.pages.page import duration
from peakmark.report.pages.run_files import mapping, read_epochs
from peakmark.report.pages.so_far import Journal, epochs_in, summary_of
from peakmark.report.terminal.pace import as_clock

StateWord = Literal["running", "elsewhere", "stopped", "waiting", "broken", "ended"]
"""elsewhere: another machine holds it, and nothing can be told of its process. stopped: its process is gone without a
word. waiting: it was stopped as asked and can be resumed. broken: it ended with an error. ended: it came to its end."""

_TOLD_OF: Final = ("StepSkipped", "Notice", "SeamJudged")


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the run's story."""

    when: str
    epoch: str
    text: str
    is_serious: bool


@dataclass(frozen=True, slots=True)
class LiveState:
    """What a person who looks in wants to know; texts are ready to be shown, empty where nothing is known."""

    name: str
    folder: str
    state: StateWord
    epochs_done: int
    epochs: int
    best_epoch: str
    best_fitness: str
    pace: str
    """Of an epoch"""
    left: str
    ends_at: str
    share_of_epoch: int | None
    """Percent of the open epoch, by the last one's pace; None where that isn't known"""
    patience: str
    """Epochs without a better one until it stops: `7 of 20`"""
    heard: str
    """When it last wrote to its story"""
    disk: str
    line: str
    """The newest decision, and why"""


def state_of(run: RunFolder, journal: Journal, now: datetime | None = None) -> LiveState:
    """Gives the state of a run with this journal. Raises `MachineError` where a file of it can't be read."""
    moment = now or datetime.now(UTC)
    summary, rows = summary_of(run, journal), read_epochs(run.results_csv)
    state = _state(run, journal)
    done, epochs = len(rows), int(finite(mapping(summary.get("settings")).get("epochs")) or 0)
    best = mapping(summary.get("best"))
    seconds = _epoch_seconds(rows)
    in_epoch_s = _seconds_since(_began(journal), moment)
    left_s = None
    if state in ("running", "elsewhere") and seconds and in_epoch_s is not None and epochs:
        left_s = max(0.0, (epochs - done) * seconds - min(in_epoch_s, seconds))
    newest: Mapping[str, Any] = next(reversed(epochs_in(journal)), {})
    return LiveState(
        name=run.path.name,
        folder=str(run.path),
        state=state,
        epochs_done=done,
        epochs=epochs,
        best_epoch=str(best.get("epoch") or ""),
        best_fitness=four_digits(best.get("fitness"), absent=""),
        pace=duration(seconds) if seconds else "",
        left=as_clock(left_s) if left_s is not None else "",
        ends_at=f"{datetime.fromtimestamp(moment.timestamp() + left_s):%Y-%m-%d %H:%M}" if left_s is not None else "",
        share_of_epoch=_share(state, in_epoch_s, seconds),
        patience=_patience(newest, mapping(summary.get("settings"))),
        heard=_local(journal[-1].get("at")) if journal else "",
        disk=_megabytes(_bytes_below(run.path)),
        line=str(newest.get("reason") or ""),
    )


def story_of(journal: Journal) -> Sequence[Told]:
    """Gives what the run told beside its epochs, the newest first: notices, skipped updates, verdicts."""
    told = [each for each in journal if each.get("event") in _TOLD_OF and not each.get("superseded")]
    return [_told(each) for each in reversed(told)]


def decisions_of(journal: Journal) -> Sequence[Told]:
    """Gives what was decided after each epoch and why, the newest first."""
    return [
        Told(_local(each.get("at")), str(each.get("epoch")), str(each.get("reason") or ""), bool(each.get("is_best")))
        for each in reversed(epochs_in(journal))
    ]


def said_at_start(journal: Journal) -> Sequence[str]:
    """Gives what the run's start said of its data, settings and machine, of its newest start."""
    starts = [each for each in journal if each.get("event") == "RunStarted"]
    notes = starts[-1].get("notes") if starts else None
    return [str(note) for note in notes] if isinstance(notes, list) else []


def disk_use(run: RunFolder) -> Sequence[tuple[str, str]]:
    """Gives what the parts of the run's folder take."""
    parts = {path.name: _bytes_below(path) for path in (run.weights, run.evidence) if path.is_dir()}
    return [(name, _megabytes(size)) for name, size in parts.items()]


def _state(run: RunFolder, journal: Sequence[Mapping[str, Any]]) -> StateWord:
    last: Mapping[str, Any] = next(
        (each for each in reversed(journal) if each.get("event") in ("RunStarted", "RunEnded")), {}
    )
    if last.get("event") == "RunEnded":
        outcome = last.get("outcome")
        if outcome in OVER:
            return "ended"
        return "broken" if outcome in ("broken", "not_finite") else "waiting"
    is_there = is_alive(run.path)
    return "elsewhere" if is_there is None else "running" if is_there else "stopped"


def _told(each: Mapping[str, Any]) -> Told:
    text, is_serious = str(each.get("text") or ""), bool(each.get("serious"))
    if each["event"] == "StepSkipped":
        files = each.get("files")
        text, is_serious = f"{each.get('what')}: {', '.join(map(str, files)) if isinstance(files, list) else ''}", True
    elif each["event"] == "SeamJudged":
        verdict = mapping(each.get("verdict"))
        text, is_serious = str(verdict.get("text")), verdict.get("kind") == "broken"
    return Told(_local(each.get("at")), str(each.get("epoch")), text, is_serious)


def _epoch_seconds(rows: Sequence[Mapping[str, str]]) -> float | None:
    """How long the last epoch took, its validation included."""
    times = [finite(row.get("time")) for row in rows[-2:]]
    if not times or None in times:
        return None
    return (times[-1] or 0.0) - (times[0] or 0.0 if len(times) > 1 else 0.0)


def _began(journal: Sequence[Mapping[str, Any]]) -> object:
    """When the open epoch began, or the run was resumed inside it."""
    marks = [each.get("at") for each in journal if each.get("event") in ("RunStarted", "EpochEnded")]
    return marks[-1] if marks else None


def _share(state: StateWord, in_epoch_s: float | None, seconds: float | None) -> int | None:
    if state != "running" or in_epoch_s is None or not seconds:
        return None
    return min(99, int(100 * in_epoch_s / seconds))


def _patience(newest: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    left, patience = newest.get("patience_left"), settings.get("patience")
    return f"{left} / {patience}" if isinstance(left, int) and patience else ""


def _seconds_since(at: object, now: datetime) -> float | None:
    try:
        return (now - datetime.fromisoformat(str(at))).total_seconds()
    except (ValueError, TypeError):
        return None


def _local(at: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(at)).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return ""


def _bytes_below(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue  # a save has just replaced it
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
