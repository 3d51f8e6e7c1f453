"""What can one ask of a run or a checkpoint that is there? The other half of the facade: it trains nothing.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peakmark.api.asking import function_of
from peakmark.api.model.found import described_exported
from peakmark.checkpoint.catalogue import newest_good
from peakmark.checkpoint.format import IMPORTED, Checkpoint
from peakmark.checkpoint.reader import ForeignFileError, describe, read
from peakmark.checkpoint.strip import strip_file
from peakmark.errors import Mistakes, ModelFileError, SettingsError
from peakmark.evaluate.fitness import FitnessFunction
from peakmark.events import Observer, unwatched
from peakmark.files.given_path import given_path
from peakmark.files.safetensors_file import SUFFIX
from peakmark.nouns.resume import Cause, ChangePlan, Continuity
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.record.unfinished import newest_unfinished, under_way
from peakmark.resume.compare import Wishes, contradictions_of
from peakmark.resume.health.causes import with_command
from peakmark.resume.health.diagnosis import Resumption, look_back
from peakmark.resume.replay import Replayed
from peakmark.resume.replay import replay as run_again
from peakmark.run.imported import describe_foreign, described_origin
from peakmark.run.weights import find_model, with_names
from peakmark.selection.best import best_record
from peakmark.settings.familiar_words.translation import in_our_names
from peakmark.settings.fields import ResumeSettings, Settings
from peakmark.settings.parse import parse
from peakmark.settings.settings_file import with_file


def inspect(file: str | Path) -> dict[str, Any]:
    """Says what a checkpoint is, as plain values, with its digests worked out anew. Raises ModelFileError."""
    path = given_path(file, "file")
    if (exported := described_exported(path)) is not None:
        return exported
    checkpoint = _readable(path)
    if checkpoint is None:
        source = find_model(path)
        names = tuple(f"class{number}" for number in range(source.classes))
        return describe_foreign(path, with_names(source, None if source.names else names))
    # A stripped file remembers its own epoch only.
    best = best_record(checkpoint.history) if checkpoint.complete else None
    origin = checkpoint.provenance.get(IMPORTED)
    return {
        **describe(path, checkpoint),
        "best_epoch": best.epoch + 1 if best else None,
        **({} if origin is None else {"origin": described_origin(origin)}),
    }


def _readable(path: Path) -> Checkpoint | None:
    """A checkpoint of ours; None for a file of another kind."""
    try:
        return None if path.suffix == SUFFIX else read(path)
    except ForeignFileError:
        return None


def strip(file: str | Path, target: str | Path | None = None) -> tuple[Path, int, int]:
    """Writes a small copy of a checkpoint for shipping; gives its path and the sizes in bytes before and after.

    It holds the validated weights and what is known of them; predict, val and fine-tuning work from it, a resume
    doesn't. Raises ModelFileError where `target` is there already, and MachineError.
    """
    return strip_file(given_path(file, "file"), given_path(target, "target") if target else None)


def replay(
    run: str | Path,
    *,
    steps: int | None = None,
    observer: Observer | None = None,
    fitness: FitnessFunction | None = None,
) -> Replayed:
    """Makes steps of a run again from a kept checkpoint, twice, and compares them with each other and with its files.

    `run`: a run's folder, or the checkpoint to start from. `fitness`: its fitness, where that is a function in Python.
    Nothing is written. Raises ModelFileError and MachineError.
    """
    folder, source = run_to_resume(run, {})
    return run_again(folder, steps=steps, source=source, observe=observer or unwatched, fitness=fitness)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What speaks for or against the health of a run, from its folder alone."""

    contradictions: tuple[Cause, ...]
    """What in its newest state can't be true of a healthy run, likeliest first."""
    resumes: tuple[tuple[Resumption, Continuity], ...]
    """Each resume that still counts, judged; broken ones with their causes."""

    @property
    def healthy(self) -> bool:
        return not self.contradictions and all(verdict.kind != "broken" for _, verdict in self.resumes)


def diagnose(run: str | Path) -> Diagnosis:
    """Looks for what may have broken a run, any time later: in its newest state, its journal and its history.

    Raises ModelFileError where there is no run, or no state of it that is whole.
    """
    folder, _ = run_to_resume(run, {})
    checkpoint = newest_good(folder.weights).checkpoint
    here = checkpoint.position.epoch
    return Diagnosis(
        tuple(with_command(each, folder.path, folder.way_back(here)) for each in contradictions_of(checkpoint, folder)),
        tuple(
            (resumption, _with_commands(verdict, folder, resumption.first_epoch))
            for resumption, verdict in look_back(checkpoint.history, read_journal(folder.journal))
        ),
    )


def _with_commands(verdict: Continuity, folder: RunFolder, first_epoch: int) -> Continuity:
    way_back = folder.way_back(first_epoch)
    return replace(verdict, causes=tuple(with_command(each, folder.path, way_back) for each in verdict.causes))


def _is_a_runs(file: Path) -> bool:
    """Whether a file lies where a run keeps its own: other folders are called weights, too."""
    run = RunFolder(file.absolute().parent.parent)
    return file.absolute().parent == run.weights and (run.settings_yaml.is_file() or run.journal.is_file())


def run_to_resume(
    given: str | Path | None, changes: Mapping[str, Any], *, alone: bool = False
) -> tuple[RunFolder, Path | None]:
    """Finds the run that is meant, and the checkpoint in it, where one other than last.pt is named.

    With `alone` also a checkpoint that lies in no run's folder: the folder is then the one that it lies in.
    """
    if given is None:
        project = _project(changes)
        newest = newest_unfinished(project)
        if newest is None:
            busy = "".join(f" {path} is being trained at this moment." for path in under_way(project))
            raise ModelFileError(
                f"No run in {project} was stopped before its end.{busy} Name one: peakmark resume FOLDER."
            )
        return RunFolder(newest), None
    path = given_path(given, "run")
    is_file = path.suffix == ".pt"
    if alone and is_file and path.is_file() and not _is_a_runs(path):
        return RunFolder(path.parent), path
    if is_file and path.parent.name != RunFolder.WEIGHTS:
        path = path.absolute()  # named from within its folder
    folder = RunFolder(path.parent.parent if is_file else path)
    if not folder.weights.is_dir() and not folder.settings_yaml.is_file():
        raise ModelFileError(
            f"{given}: this is no run; give a run's folder such as runs/detect/train, or a checkpoint such as last.pt."
        )
    return folder, None if path.suffix != ".pt" or path.name == folder.last.name else path


def passed_over(given: str | Path | None, changes: Mapping[str, Any]) -> str:
    """Says which runs an unnamed resume left out because they are under way; empty where it left out none."""
    busy = under_way(_project(changes)) if given is None else ()
    return f"Being trained at this moment, so not resumed: {', '.join(map(str, busy))}." if busy else ""


def _project(changes: Mapping[str, Any]) -> Path:
    return Path(changes.get("project", Settings.model_fields["project"].default))


def wishes_of(given: Mapping[str, Any], agree: Callable[[ChangePlan], bool]) -> Wishes:
    """Tells apart how to go on from what of the run is to change. Raises every mistake of both at once."""
    given = with_file(Settings, given) if given.get("cfg") else given
    how = {name: value for name, value in given.items() if _is_about_resuming(name)}
    # Under our names: what a resume has to look at anew is told by the names of the settings that change.
    changes = in_our_names(Settings, {name: value for name, value in given.items() if name not in how})
    found = Mistakes()
    settings = ResumeSettings()
    with found.gathered():
        settings = parse(ResumeSettings, how).settings
    with found.gathered():
        wished = parse(Settings, {"data": "-", **changes}).settings
        if wished.batch < 1:
            raise SettingsError(
                [f"batch={changes['batch']}: only a new run takes a share of the memory; name a number of images."]
            )
    found.tell()
    return Wishes(settings, changes, agree, function_of(changes))


def _is_about_resuming(name: str) -> bool:
    """Whether a name is one of ResumeSettings, or comes near to one and is no setting of a run."""
    names = ResumeSettings.model_fields
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    return name in names or (bool(near) and name not in Settings.model_fields)
