"""How is a run kept? The part of the facade that copies, releases and gates models.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from peakmark.api.asking import checked_with_data
from peakmark.api.model.found import find_usable, usable
from peakmark.api.model.trained import data_of, say_what_is_guessed, trained_of
from peakmark.api.model.validate import measured_classes, open_split
from peakmark.api.runs import run_to_resume
from peakmark.checkpoint.format import Checkpoint
from peakmark.data.dataset import read_dataset
from peakmark.errors import DataError, MachineError, Mistakes, ModelFileError
from peakmark.events import Notice, Observer, unwatched
from peakmark.files.given_path import given_path
from peakmark.files.stores import open_store
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import read as read_settings
from peakmark.release.gate import GateResult, gate_result, open_requirements
from peakmark.release.promotion import Candidate, Release, Wish, candidate_of, promote_to
from peakmark.run.weights import find_model, with_names
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import GateSettings, PromoteSettings, Settings, ValSettings
from peakmark.settings.parse import parse

_AS_IN_VAL = (
    "model",
    "split",
    "imgsz",
    "augment",
    "batch",
    "device",
    "workers",
    "verify",
    "bad_labels",
    "max_image_pixels",
    "classes",
)
"""The settings of a gate that mean what they mean in a validation."""


def promote(run: str | Path, to: str | Path | None = None, **settings: Any) -> Release:
    """Puts the best epoch of an ended run into a versioned folder that is never changed: weights, numbers, a card.

    Also a model file of another program, or one that was imported: marked as such, without numbers.

    `to`: a folder, or a URL that fsspec knows. `settings`: those of `peakmark promote --help`. Raises SettingsError,
    ModelFileError where the run has nothing to release, and MachineError; then there is no new version.
    """
    given = settings if to is None else {**settings, "to": to}
    found = Mistakes()
    wishes, candidate = None, None
    with found.gathered():
        wishes = parse(PromoteSettings, given).settings
        _check_place("to", wishes.to)
    imported = _imported(run)
    named = Path(run).stem
    if imported is not None:
        candidate = Candidate(imported, None)
    else:
        folder = _run_to_release(run)
        named = folder.path.resolve().name
        with found.gathered():
            candidate = candidate_of(folder, unfinished=wishes is not None and wishes.unfinished)
    found.tell()
    assert wishes is not None
    assert candidate is not None
    name = named if wishes.name is None else wishes.name
    wish = Wish(name, wishes.version, wishes.license, wishes.whole, wishes.unfinished)
    return promote_to(open_store(wishes.to), candidate, wish)


def gate(
    model: str | Path | None = None,
    data: str | Path | None = None,
    *,
    observer: Observer | None = None,
    **settings: Any,
) -> GateResult:
    """Validates a model as `val` does and says whether it reaches what `require` asks for; nothing is written.

    `settings`: those of `peakmark gate --help`. Raises SettingsError with every mistake in them before anything is
    loaded, and other PeakmarkErrors.
    """
    observe = observer or unwatched
    named = {name: value for name, value in (("model", model), ("data", data)) if value is not None}
    parsed, spec = checked_with_data(GateSettings, {**named, **settings})
    wishes = parsed.settings
    source = find_usable(wishes.model)
    trained = trained_of(source, "validated")
    say_what_is_guessed(trained, observe)
    shared = {name: getattr(wishes, name) for name in _AS_IN_VAL}
    asked = parse(ValSettings, {**shared, "data": data_of(trained, wishes.data)})
    spec = spec or read_dataset(trained.data_yaml or "", equal_names=True, download=wishes.download)
    measured = None if trained.settings["single_cls"] else measured_classes(trained, asked.settings, spec)
    requirements = open_requirements(wishes.require, trained.names, measured)
    opened = open_split(trained, asked.settings, spec, observe)
    for note in (*asked.notes, *opened.data.index.warnings):
        observe(Notice(note))
    validated = opened.validate(usable(source), observe)
    return gate_result(requirements, validated, wishes.at, {**shared, "data": str(asked.settings.data)})


def _imported(file: str | Path) -> Checkpoint | None:
    """The checkpoint of a file of another program, or one that was imported from it; None for all else."""
    path = given_path(str(file), "run")
    if not path.is_file() or path.parent.name == RunFolder.WEIGHTS:
        return None
    source = find_model(path)
    if source.is_foreign:
        return with_names(source, None)
    return source.checkpoint if source.checkpoint is not None and source.checkpoint.is_imported else None


def _run_to_release(run: str | Path) -> RunFolder:
    folder, named = run_to_resume(run, {})
    if named not in (None, folder.best) or Path(run).name == folder.last.name:
        raise ModelFileError(f"{run}: what is released is a run's best epoch; give the run's folder, {folder.path}.")
    return folder


def check_backup(settings: SettingsModel) -> None:
    """Refuses a training whose best.pt can't be copied to where `backup=` says, as far as this machine can tell.

    Raises MachineError where no such store is known or its driver is not installed; nothing is connected to.
    """
    if isinstance(settings, Settings) and settings.backup is not None:
        _check_place("backup", settings.backup)


def check_backup_of_resume(folder: RunFolder, changes: Mapping[str, Any]) -> None:
    """Does the same for a resumed run: `backup=` stays what it was where it is not changed."""
    kept = None
    with suppress(DataError):
        # A settings.yaml that is lost or damaged is no reason to refuse a resume; the checkpoint has the settings.
        kept = read_settings(folder.settings_yaml).get("backup")
    check_backup(parse(Settings, {"data": "-", "backup": kept, **changes}).settings)


def _check_place(setting: str, place: str) -> None:
    try:
        open_store(place)
    except MachineError as error:
        raise MachineError(f"{setting}={error}") from error
