"""How is a training carried out by several processes? Started here where the settings ask for them, led by process 0.

A part of the facade: it composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from peakmark.api.model.callbacks import Callbacks
from peakmark.distributed.launched import attempts_before, is_one_of_several, joined, name_of_launch
from peakmark.distributed.launching import launch
from peakmark.distributed.process_group import LostProcessError, ProcessGroup
from peakmark.errors import MachineError, PeakmarkError, SettingsError
from peakmark.events import Event, Observer, RunEnded, RunStarted
from peakmark.files.durable import write_text
from peakmark.machine.cache_folder import cache_folder
from peakmark.nouns.outcome import EXIT_CODES, Outcome
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import read as read_settings
from peakmark.resume.compare import Wishes
from peakmark.resume.resume import plan_resume
from peakmark.run.together import follow
from peakmark.run.weights import ModelSource
from peakmark.settings.description import as_written
from peakmark.settings.fields import Settings
from peakmark.settings.parse import Parsed, parse, parse_changes
from peakmark.settings.plain import to_plain
from peakmark.settings.processes import processes_of

_NOTE = "PEAKMARK_LAUNCH_NOTE"
"""Where process 0 notes the run's folder for whoever started it."""


@dataclass(frozen=True, slots=True)
class LaunchNote:
    """What process 0 writes down of its run, for whoever started the processes, or starts them again after one died."""

    path: Path | None

    @staticmethod
    def here() -> LaunchNote:
        if given := os.environ.get(_NOTE):
            return LaunchNote(Path(given))
        name = name_of_launch()
        return LaunchNote(cache_folder() / "launches" / f"{name}.json" if name else None)

    def read(self) -> tuple[Path | None, Outcome | None]:
        """Gives the run's folder, and how it ended."""
        try:
            said = json.loads(self.path.read_text()) if self.path is not None else {}
            return (Path(said["folder"]), said["outcome"]) if said else (None, None)
        except (OSError, ValueError, KeyError, TypeError):
            return None, None

    def begun_before(self) -> Path | None:
        """Gives the run that this launch has begun, where one of its processes died and all of them were started again.

        Raises SystemExit where it has come to its end: only its end was not told.
        """
        folder, outcome = self.read() if attempts_before() else (None, None)
        if outcome is not None:
            raise SystemExit(EXIT_CODES[outcome])
        return folder

    def resumed_before(
        self, folder: RunFolder, asked: Path | None, wishes: Wishes
    ) -> tuple[RunFolder, Path | None, Wishes]:
        """Gives what to resume: where it was done before, a branch must not be made again, nor a change be told."""
        begun = self.begun_before()
        return (RunFolder(begun), None, replace(wishes, changes={})) if begun else (folder, asked, wishes)

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._write(event.folder)
        elif isinstance(event, RunEnded):
            self._write(event.folder, event.outcome)

    def _write(self, folder: Path, outcome: Outcome | None = None) -> None:
        # A cache folder that is full or can't be written must not cost the run; it doesn't go on by itself then.
        with contextlib.suppress(MachineError, OSError):
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_text(self.path, json.dumps({"folder": str(folder.absolute()), "outcome": outcome}))


@contextlib.contextmanager
def leading() -> Iterator[LaunchNote]:
    """Within it this process carries out a run, alone or as the first of several.

    Another one than the first computes its share to the run's end, and then leaves the program: whatever comes after
    the training is done once.
    """
    with joined() as processes:
        if isinstance(processes, ProcessGroup) and processes.rank > 0:
            _follow(processes)
        yield LaunchNote.here() if processes.size > 1 else LaunchNote(None)


def _follow(processes: ProcessGroup) -> None:
    try:
        follow(processes)
    except LostProcessError as error:
        if error.is_said:
            raise SystemExit(error.exit_code) from error  # by that process itself, and by the one that leads
        raise
    raise SystemExit(0)


def wants_others(settings: Settings) -> bool:
    """Whether processes are to be started for a run with these settings, which none was yet."""
    return processes_of(settings) > 1 and not is_one_of_several()


@dataclass(frozen=True, slots=True)
class OfThisProcess:
    """What of a call no other process can be given."""

    functions: tuple[str, ...]
    """Names of what was given a function."""
    quiet: bool
    """Whether nothing is to be told."""

    @staticmethod
    def of(given: Mapping[str, Any], observer: Observer | None, callbacks: Callbacks) -> OfThisProcess:
        functions = [name for name, value in given.items() if callable(value)]
        watched = [*(["observer"] if observer else []), *(["add_callback"] if callbacks.are_any else [])]
        return OfThisProcess((*functions, *watched), quiet=given.get("verbose") is False)

    def mistakes(self) -> list[str]:
        return [
            f"{name}: a function can't be given to other processes; start your program with torchrun, and the process"
            " that leads calls it."
            for name in self.functions
        ]


def train_together(parsed: Parsed[Settings], start: ModelSource, alone: OfThisProcess) -> RunFolder:
    """Starts a training in several processes and waits for its end; gives the run's folder.

    Raises SettingsError for what other processes can't be given, and as `_carried_out`.
    """
    mistakes = alone.mistakes()
    if start.loaded is not None and start.bare_origin is None:
        mistakes.append("Weights that were given in Python can't be given to other processes; save them to a file.")
    if mistakes:
        raise SettingsError(mistakes)
    plain = to_plain(parsed.settings)
    named = [name for name, origin in parsed.origins.items() if origin != "default"]
    words = [f"{name}={as_written(plain[name])}" for name in dict.fromkeys(["model", "data", *named])]
    return _carried_out(["train", *words], processes_of(parsed.settings), alone)


def resume_together(
    folder: RunFolder, asked: Path | None, wishes: Wishes, given: Mapping[str, Any], alone: OfThisProcess
) -> RunFolder | None:
    """The same for a run that is resumed, where it is to go on in several processes; None where it isn't.

    What is dangerous is agreed to here: the others have nobody to ask.
    """
    try:
        before = parse(Settings, read_settings(folder.settings_yaml)).settings
    except PeakmarkError:
        before = parse(Settings, {"data": "-"}).settings  # it is told where the run is read
    settings = parse_changes(before, wishes.changes).settings
    if not wants_others(settings):
        return None
    if mistakes := alone.mistakes():
        raise SettingsError(mistakes)
    planned = plan_resume(folder, asked, wishes)
    yes = ["--yes"] if planned.plan.dangers and wishes.agree(planned.plan) else []
    plain, how = to_plain(settings), to_plain(wishes.settings)
    values = {name: plain[name] for name in wishes.changes} | {name: how[name] for name in how.keys() & given.keys()}
    words = [f"{name}={as_written(value)}" for name, value in values.items()]
    return _carried_out(["resume", str(asked or folder.path), *words, *yes], processes_of(settings), alone)


def _carried_out(words: Sequence[str], processes: int, alone: OfThisProcess) -> RunFolder:
    """Raises MachineError where the process that leads was killed, SystemExit with its exit code where no run ended.

    What went wrong is told by then: by the processes themselves.
    """
    with TemporaryDirectory(prefix="peakmark-") as place:
        note = LaunchNote(Path(place) / "run.json")
        code = launch(words, processes, {_NOTE: str(note.path)}, quiet=alone.quiet)
        folder, outcome = note.read()
    if folder is not None and outcome is not None and code in (0, EXIT_CODES[outcome]) and outcome != "not_finite":
        return RunFolder(folder)
    if code < 0:
        resume = f"resume with: peakmark resume {folder}" if folder else "before the run began"
        raise MachineError(f"The process that leads was killed by signal {-code}; {resume}.")
    raise SystemExit(code)
