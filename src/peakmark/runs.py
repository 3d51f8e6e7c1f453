"""What can one ask of a run or a checkpoint that is there? The other half of the facade: it trains nothing.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from peakmark.checkpoint.reader import describe, read
from peakmark.errors import Mistakes, ModelFileError
from peakmark.nouns import ChangePlan
from peakmark.record.folder import RunFolder
from peakmark.record.unfinished import newest_unfinished
from peakmark.selection.best import best_record
from peakmark.settings.fields import ResumeSettings, Settings
from peakmark.settings.parse import parse
from peakmark.train.planning import Wishes


def inspect(file: str | Path) -> dict[str, Any]:
    """Says what a checkpoint is, as plain values, with its digests worked out anew. Raises ModelFileError."""
    path = Path(file).expanduser()
    checkpoint = read(path)
    best = best_record(checkpoint.history)
    return describe(path, checkpoint) | {"best_epoch": best.epoch + 1 if best else None}


def run_to_resume(given: str | Path | None, changes: Mapping[str, Any]) -> tuple[RunFolder, Path | None]:
    """Finds the run that is meant, and the checkpoint in it, where one other than last.pt is named."""
    if given is None:
        project = Path(changes.get("project", Settings.model_fields["project"].default))
        newest = newest_unfinished(project)
        if newest is None:
            raise ModelFileError(f"No run in {project} was stopped before its end; name one: peakmark resume FOLDER.")
        return RunFolder(newest), None
    path = Path(given).expanduser()
    folder = RunFolder(path.parent.parent if path.suffix == ".pt" else path)
    if not folder.weights.is_dir() and not folder.settings_yaml.is_file():
        raise ModelFileError(f"{given}: this is no run; give a run's folder such as runs/detect/train.")
    return folder, None if path.suffix != ".pt" or path.name == folder.last.name else path


def wishes_of(given: Mapping[str, Any], agree: Callable[[ChangePlan], bool]) -> Wishes:
    """Tells apart how to go on from what of the run is to change. Raises every mistake of both at once."""
    how = {name: value for name, value in given.items() if _is_about_resuming(name)}
    changes = {name: value for name, value in given.items() if name not in how}
    found = Mistakes()
    settings = ResumeSettings()
    with found.gathered():
        settings = parse(ResumeSettings, how).settings
    with found.gathered():
        parse(Settings, {"data": "-", **changes})
    found.tell()
    return Wishes(settings, changes, agree)


def _is_about_resuming(name: str) -> bool:
    """Whether a name is one of ResumeSettings, or comes near to one and is no setting of a run."""
    names = ResumeSettings.model_fields
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    return name in names or (bool(near) and name not in Settings.model_fields)
