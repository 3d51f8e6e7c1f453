"""How is a run's page made anew, at any time after the run? A part of the facade: it composes and computes nothing.

Of one run it is report.html in its folder; of several, the page of their comparison.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peakmark.api.compare import compare
from peakmark.api.runs import run_to_resume
from peakmark.errors import SettingsError
from peakmark.events import Observer
from peakmark.report.pages.comparison_page import PAGE_FILE
from peakmark.report.pages.page import write_page


def make_report(*runs: str | Path, observer: Observer | None = None, **settings: Any) -> Path:
    """Makes the page of a run anew from what lies in its folder, and gives its path; of several runs, a comparison's.

    `runs`: named by their folders or by weights in them. `settings`: those of `compare`, for several runs. Nothing else
    of a run is touched, and it may be under way. Raises SettingsError, ModelFileError and MachineError.
    """
    if not runs:
        raise SettingsError(["Name a run: peakmark report runs/detect/train. Several give a comparison's page."])
    if len(runs) > 1:
        folder = compare(*runs, observer=observer, **settings).folder
        assert folder is not None, "a comparison that was made has its folder"
        return folder / PAGE_FILE
    if settings:
        names = ", ".join(sorted(settings))
        raise SettingsError([f"{names}: the page of one run lies in its folder and has no settings; leave it out."])
    run, _ = run_to_resume(runs[0], {})
    return write_page(run.path)
