"""Which run was stopped before its end? Read from what the runs left in their folders, for a resume that names none.

It must not know how a run is resumed.
"""

from __future__ import annotations

import json
from pathlib import Path

from peakmark.errors import MachineError
from peakmark.files.lock import is_held
from peakmark.nouns.outcome import WAITING
from peakmark.record import journal
from peakmark.record.folder import RunFolder


def newest_unfinished(project: Path) -> Path | None:
    """Gives the folder in `project` that was written to last, among the runs that did not come to an end, if any.

    One that is under way was not stopped.
    """
    written = {path: at for path, at in _unfinished(project).items() if not is_held(path)}
    return max(written, key=lambda path: written[path], default=None)


def under_way(project: Path) -> tuple[Path, ...]:
    """Gives the runs in `project` that a process is training at this moment, in the order of their names."""
    return tuple(sorted(path for path in _unfinished(project) if is_held(path)))


def _unfinished(project: Path) -> dict[Path, int]:
    """The runs that did not come to an end, and when each was written to."""
    if not project.is_dir():
        return {}
    runs = [RunFolder(path) for path in project.iterdir()]
    return {run.path: at for run in runs if _was_stopped(run) and (at := _written_at(run))}


def _written_at(run: RunFolder) -> int:
    """When the run's last state was saved, in ns; one that was ended before has only its settings. 0 for no run."""
    files = (file for file in (run.last, run.settings_yaml) if file.is_file())
    return next((file.stat().st_mtime_ns for file in files), 0)


def _was_stopped(run: RunFolder) -> bool:
    """Whether a run can go on: its summary says so, or it was ended before it could write one that is whole.

    Where a run was resumed after its end, the summary that lies there is of that end: the journal knows better.
    """
    try:
        told = [line for line in journal.read(run.journal) if line["event"] in ("RunStarted", "RunEnded")]
    except MachineError:
        told = []
    if told and told[-1]["event"] == "RunStarted":
        return True
    try:
        summary = json.loads(run.summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return not isinstance(summary, dict) or summary.get("outcome") in WAITING
