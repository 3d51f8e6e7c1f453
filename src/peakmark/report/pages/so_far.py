"""What can be said of a run that isn't over? What summary.json would say, as far as the journal knows it.

A run that was resumed after its end has a summary of that end: it stands only until the run goes on. This file must not
know where a run is at this moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peakmark.errors import DataError
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import read as read_settings
from peakmark.report.pages.run_files import mapping, read_json

Journal = Sequence[Mapping[str, Any]]


def summary_of(folder: RunFolder, journal: Journal, *, is_over: bool = False) -> Mapping[str, Any]:
    """Gives the summary of an ended run, else what is known by now, under the same names.

    `is_over`: it is, though its journal doesn't tell the end yet. Raises `MachineError` where summary.json is damaged.
    """
    summary = read_json(folder.summary)
    turning_points = [told for told in journal if told.get("event") in ("RunStarted", "RunEnded")]
    is_under_way = not is_over and bool(turning_points) and turning_points[-1]["event"] == "RunStarted"
    if is_under_way or (turning_points and not summary):
        return _so_far(folder, journal, turning_points[-1])
    return summary


def epochs_in(journal: Journal) -> list[Mapping[str, Any]]:
    """Gives what was told at the end of each epoch, without those that a resume went back before."""
    return [told for told in journal if told.get("event") == "EpochEnded" and not told.get("superseded")]


def _so_far(folder: RunFolder, journal: Journal, started: Mapping[str, Any]) -> Mapping[str, Any]:
    epochs = epochs_in(journal)
    provenance = mapping(started.get("provenance"))
    best = next((told for told in reversed(epochs) if told.get("is_best")), None)
    try:
        settings = read_settings(folder.settings_yaml)
    except DataError:
        settings = {}
    return {
        "names": started.get("classes"),
        "epochs": len(epochs),
        "best": None if best is None else {name: best.get(name) for name in ("epoch", "fitness", "metrics", "reason")},
        "settings": settings,
        "data": provenance.get("data"),
        "versions": provenance.get("versions"),
    }
