"""Which run was stopped before its end? Read from what the runs left in their folders, for a resume that names none.

It must not know how a run is gone on with.
"""

from __future__ import annotations

import json
from pathlib import Path

from peakmark.errors import MachineError
from peakmark.record import journal
from peakmark.record.folder import RunFolder

_RESUMABLE = ("interrupted", "out_of_time", "paused")
"""Not `broken`: a run that on_break=stop ended waits for somebody who names it."""


def newest_unfinished(project: Path) -> Path | None:
    """Gives the folder in `project` that was written to last, among the runs that did not come to an end, if any."""
    if not project.is_dir():
        return None
    runs = [RunFolder(path) for path in project.iterdir()]
    written = {run.path: _written_at(run) for run in runs if _was_stopped(run)}
    return max((path for path, at in written.items() if at), key=lambda path: written[path], default=None)


def _written_at(run: RunFolder) -> int:
    """When the run's last state was saved, in ns; one that was ended before has only its settings. 0 for no run."""
    files = (file for file in (run.last, run.settings_yaml) if file.is_file())
    return next((file.stat().st_mtime_ns for file in files), 0)


def _was_stopped(run: RunFolder) -> bool:
    """Whether a run can go on: its summary says so, or it was ended before it could write one that is whole.

    Where a run was gone on with after its end, the summary that lies there is of that end: the journal knows better.
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
    return not isinstance(summary, dict) or summary.get("outcome") in _RESUMABLE
