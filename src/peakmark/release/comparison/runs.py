"""Which runs are to be compared, and what does each folder say of itself? Read once, from the folders alone.

A run that can't be read is left out and said; so is one that is named twice. It must not know how runs are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.checkpoint.catalogue import newest_good
from peakmark.checkpoint.digest import digests, part_digests
from peakmark.checkpoint.format import Checkpoint
from peakmark.errors import DataError, MachineError, ModelFileError
from peakmark.files.given_path import given_path
from peakmark.nouns.run import EpochRecord, History, Position
from peakmark.record.data_listing import Listing
from peakmark.record.data_listing import read as read_listing
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.record.settings_yaml import read_origins
from peakmark.selection.best import best_record
from peakmark.settings.description import added_settings
from peakmark.settings.fields import Settings

NOT_ENDED = "not ended: still going on, or killed"


@dataclass(frozen=True, slots=True)
class Run:
    """All that a comparison takes from a run's folder, evidence aside."""

    name: str
    folder: RunFolder
    state: str
    history: History
    best: EpochRecord | None
    settings: Mapping[str, Any]
    result_settings: tuple[str, ...]
    origins: Mapping[str, str]
    classes: tuple[str, ...]
    architecture: str
    arithmetic: Mapping[str, Any]
    versions: Mapping[str, str]
    data: Mapping[str, Any]
    listing: Listing | None
    """Every image by name and digest; None where the run has no listing."""
    position: Position
    digests: Mapping[str, str]
    """Of its newest state."""
    parts: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def comparable(self) -> str:
        """What its best epoch was validated on, and how."""
        # Only an epoch that was validated as the open segment's are can be best.
        return self.history.segments[-1].comparable

    def bearing_on_result(self) -> dict[str, Any]:
        """The settings that its course follows from, the seed among them."""
        return {name: self.settings[name] for name in (*self.result_settings, *added_settings(Settings))}


def read_runs(given: Sequence[str | Path]) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Reads the runs, named by their folders or by weights in them, and gives them with what was left out and why.

    Raises ModelFileError where a name is no run's, or fewer than two different runs can be read.
    """
    if len(given) < 2:
        raise ModelFileError("Name two runs or more: peakmark compare runs/detect/train runs/detect/train2")
    folders, notes = _without_repeats([(name, _folder(name)) for name in given])
    if len(folders) < 2:
        raise ModelFileError(f"{notes[0]} Name another run; how its epochs compare stands in its report.html.")
    runs = []
    for folder, name in zip(folders, _short_names(folders), strict=True):
        try:
            runs.append(_read(folder, name))
        except ModelFileError as error:
            notes.append(f"{name} is left out. {' '.join(str(error).splitlines())}")
    if len(runs) < 2:
        raise ModelFileError("\n".join(["Fewer than two runs can be read, so there is nothing to compare.", *notes]))
    return tuple(runs), tuple(notes)


def _folder(given: str | Path) -> RunFolder:
    path = given_path(given, "run")
    folder = RunFolder(path.parent.parent if path.suffix == ".pt" else path)
    if not folder.weights.is_dir():
        raise ModelFileError(f"{given}: this is no run; give a run's folder such as runs/detect/train.")
    return folder


def _without_repeats(named: Iterable[tuple[str | Path, RunFolder]]) -> tuple[list[RunFolder], list[str]]:
    first: dict[Path, str | Path] = {}
    folders, notes = [], []
    for name, folder in named:
        place = folder.path.resolve()
        if place in first:
            notes.append(f"{first[place]} and {name} are the same run.")
        else:
            first[place] = name
            folders.append(RunFolder(place))
    return folders, notes


def _short_names(folders: Sequence[RunFolder]) -> list[str]:
    """Gives the shortest ends of the paths of which no two are equal."""
    most = max(len(folder.path.parts) for folder in folders)
    for length in range(1, most):
        names = [Path(*folder.path.parts[-length:]).as_posix() for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [folder.path.as_posix() for folder in folders]


def _read(folder: RunFolder, name: str) -> Run:
    found = newest_good(folder.weights)
    checkpoint = found.checkpoint
    state = _state(folder)
    return Run(
        name=name,
        folder=folder,
        state=state,
        history=checkpoint.history,
        best=best_record(checkpoint.history),
        settings=added_settings(Settings) | checkpoint.settings,
        result_settings=checkpoint.result_settings,
        origins=_origins(folder),
        classes=checkpoint.names,
        architecture=checkpoint.architecture,
        arithmetic=checkpoint.arithmetic,
        versions=checkpoint.provenance["versions"],
        data=checkpoint.provenance["data"],
        listing=_listing(folder),
        position=checkpoint.position,
        digests=digests(checkpoint),
        parts=part_digests(checkpoint),
        notes=(*_notes(checkpoint, state), *found.refused),
    )


def _notes(checkpoint: Checkpoint, state: str) -> list[str]:
    history, notes = checkpoint.history, []
    if state == NOT_ENDED:
        notes.append(f"It has not ended: what is said of it holds after {len(history.records)} epochs.")
    if best_record(history) is None:
        notes.append("No epoch was validated, so none is best.")
    for segment in history.segments[1:]:
        notes.append(f"Its settings were changed in epoch {segment.from_epoch + 1}: {segment.reason}.")
    return notes


def _state(folder: RunFolder) -> str:
    """How the run ended, by the last word of its journal."""
    try:
        told = [line for line in read_journal(folder.journal) if line["event"] in ("RunStarted", "RunEnded")]
    except MachineError:
        told = []
    if not told:
        return "unknown: its journal says nothing"
    return NOT_ENDED if told[-1]["event"] == "RunStarted" else str(told[-1].get("outcome")).replace("_", " ")


def _origins(folder: RunFolder) -> Mapping[str, str]:
    try:
        return read_origins(folder.settings_yaml)
    except DataError:
        # Where a value came from is a courtesy; the values themselves stand in the checkpoint.
        return {}


def _listing(folder: RunFolder) -> Listing | None:
    try:
        return read_listing(folder.data_files)
    except MachineError:
        return None
