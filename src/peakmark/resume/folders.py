"""What does a resume leave in folders besides the run's own files? A branch, the way back, tables brought to the seam.

It must not know how a state is changed, only where it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.format import IMPORTED
from peakmark.checkpoint.kept import is_whole, kept_epoch, kept_epochs
from peakmark.checkpoint.reader import read_position
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError
from peakmark.events import ResumePlanned
from peakmark.files.durable import copy, write_bytes, write_text
from peakmark.nouns.run import History, Position
from peakmark.record.folder import RunFolder, create_run_folder
from peakmark.record.journal import Journal, mark_superseded
from peakmark.record.settings_yaml import read_origins, with_changes
from peakmark.record.settings_yaml import render as render_settings
from peakmark.resume.compare import Planned
from peakmark.run.disk.data_files import write_data_files
from peakmark.run.disk.evidence_files import remove_evidence_beyond, take_evidence_along
from peakmark.run.disk.kept_weights import keep_epochs
from peakmark.settings.fields import Settings
from peakmark.settings.plain import to_plain


def branch_folder(planned: Planned) -> tuple[RunFolder, tuple[str, ...]]:
    """Claims the folder of a branch: beside the run's, or where a lone file lies, unless project or name say else.

    Gives it with what is to be said about it.
    """
    stopped, settings, wished = planned.stopped, planned.after.settings, planned.wished
    here, alone = stopped.folder.path, stopped.is_alone
    project = Path(settings.project) if "project" in wished else here if alone else here.parent
    name = settings.name if "name" in wished or alone else here.name
    folder, said = create_run_folder(project, name, exist_ok=False)
    stays = stopped.source if alone else here
    return folder, (f"{stopped.source}: {stopped.elsewhere}, {folder.path}; {stays} stays as it is.", *said)


def fill_branch(planned: Planned, folder: RunFolder) -> None:
    """Copies into it what the run had come to; the run or the file that it comes from stays as it is."""
    stopped, checkpoint = planned.stopped, planned.checkpoint
    weights, history = stopped.source.parent, checkpoint.history
    save(checkpoint, folder.last)
    for epoch, path in kept_epochs(weights, history).items():
        by_period = stopped.folder.epoch_file(epoch).exists()
        whole = path if is_whole(path) else kept_epoch(weights, history, epoch)
        if whole is not None:
            copy(whole, folder.epoch_file(epoch) if by_period else folder.best_epoch_file(epoch))
    take_evidence_along(stopped.folder, folder, history)
    origins = _origins(stopped.folder, checkpoint.settings)
    write_text(folder.settings_yaml, render_settings(checkpoint.settings, origins))
    if stopped.folder.journal.is_file():
        # Its story begins with that of the run it comes from; what lies beyond this state is marked as superseded.
        write_bytes(folder.journal, stopped.folder.journal.read_bytes())


def keep_the_way_back(planned: Planned, folder: RunFolder) -> None:
    """Keeps the state from before a change, which last.pt holds no longer; of several at one place the first."""
    checkpoint = planned.checkpoint
    file = folder.before_file(checkpoint.position.epoch)
    try:
        if read_position(file) == checkpoint.position:
            return
    except ModelFileError:
        pass  # there is none yet, or none that is whole
    save(checkpoint, file)


def tidy_folder(planned: Planned, folder: RunFolder, history: History, told: ResumePlanned) -> None:
    """Brings what is kept and what people read in the folder to where the run goes on, and tells the journal of it."""
    settings, position = planned.after.settings, planned.checkpoint.position
    keep_epochs(folder, history, keep=settings.keep, save_period=settings.save_period)
    mark_superseded(folder.journal, position)
    remove_evidence_beyond(folder, position)
    Journal(folder.journal)(told)
    if planned.seam.changes:
        write_settings(folder, planned.before.settings, settings, position)
    if planned.data_changes or not folder.data_files.exists():
        write_data_files(folder, planned.data)


def write_settings(folder: RunFolder, old: Settings, new: Settings, position: Position) -> None:
    """Writes settings.yaml with the new values, and beside each changed one what it was and until when."""
    before, now = to_plain(old), to_plain(new)
    changed = {name: value for name, value in before.items() if now[name] != value}
    origins = with_changes(_origins(folder, now), changed, position.epoch)
    write_text(folder.settings_yaml, render_settings(now, origins))


def lineage(planned: Planned, folder: RunFolder) -> dict[str, Any]:
    """Which state the run goes on with, and what was changed when: for its checkpoints' provenance."""
    checkpoint, position = planned.checkpoint, planned.checkpoint.position
    parent = everything(checkpoint)
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(planned.stopped.folder.path),
        "branch": folder.path != planned.stopped.folder.path,
        "parent": parent,
        "epoch": position.epoch,
        "images": position.images,
        "phase": position.phase,
        "changes": list(planned.plan.changes),
    }
    before = checkpoint.provenance
    return {
        "created_at": before["created_at"],
        "parent": parent,
        "lineage": [*before.get("lineage", []), entry],
        **({IMPORTED: before[IMPORTED]} if IMPORTED in before else {}),
    }


def _origins(folder: RunFolder, settings: Mapping[str, Any]) -> dict[str, str]:
    """Where settings came from, as settings.yaml has it; a branch that was killed as it began may have none yet."""
    known = read_origins(folder.settings_yaml) if folder.settings_yaml.is_file() else {}
    return dict.fromkeys(settings, "as in the checkpoint") | known
