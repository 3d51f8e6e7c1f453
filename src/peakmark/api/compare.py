"""How are runs compared? A part of the facade: it composes what the rooms below offer and computes nothing itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from peakmark.events import Notice, Observer, unwatched
from peakmark.files.durable import write_text
from peakmark.record.comparison import Comparison
from peakmark.record.folder import create_run_folder
from peakmark.release.comparison.comparing import compare_runs
from peakmark.report.pages.comparison_curves import RunCurves
from peakmark.report.pages.comparison_page import write_comparison_page
from peakmark.settings.fields import CompareSettings
from peakmark.settings.parse import parse

_FILE: Final = "compare.json"


def compare(*runs: str | Path, observer: Observer | None = None, **settings: Any) -> Comparison:
    """Compares runs by their best epochs, from their folders alone; writes a page and JSON into a folder.

    `runs`: two or more, named by their folders or by weights in them. `settings`: those of `peakmark compare --help`.
    The runs are not touched. Raises SettingsError, ModelFileError and MachineError.
    """
    observe = observer or unwatched
    wishes = parse(CompareSettings, settings).settings
    fitness = settings.get("fitness")
    comparison, read = compare_runs(runs, wishes.fitness, fitness if callable(fitness) else None)
    folder, said = create_run_folder(Path(wishes.project), wishes.name, exist_ok=wishes.exist_ok)
    for note in said:
        observe(Notice(note))
    comparison = replace(comparison, folder=folder.path)
    curves = [RunCurves(run.name, run.history, run.best.epoch if run.best else None) for run in read]
    write_comparison_page(folder.path, comparison, curves)
    write_text(folder.path / _FILE, comparison.to_json() + "\n")
    return comparison
