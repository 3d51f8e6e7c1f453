"""Are short trainings here what they are promised to be? Repeated, killed and resumed they must give the same bits.

Each is a process of its own, started as a user would start it: what a process leaves behind for the next, and what a
SIGKILL leaves on the disk, is part of the proof.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read
from peakmark.errors import MachineError
from peakmark.nouns.checkup import Finding
from peakmark.record import journal
from peakmark.record.folder import RunFolder

SMALL: Mapping[str, object] = {
    "data": "shapes", "model": "yolov8n.yaml", "imgsz": 64, "batch": 8, "nbs": 16, "epochs": 4, "fraction": 0.15,
    "mixup": 0.5, "optimizer": "AdamW", "lr0": 0.002, "workers": 0, "plots": False, "save_interval": 0.01,
}  # fmt: skip
"""Some seconds on a processor: warm-up, accumulation, mosaic and mixup, a save inside epochs."""
FIRST = "first"
"""The name of the training that the others are held against."""
_SHARED: Mapping[str, object] = {"parts": 2, "threads": 1, "epochs": 2}
"""Of a training that two processes may share: what they compute apart, and with how many threads, is settled."""
_LONGEST_S = 300.0
_LOOKS_EVERY_S = 0.01
_KILLED_AFTER = 2
"""Epochs."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Where the time of a training went."""

    seconds: Mapping[str, float]
    """By stage"""
    images: int
    advice: tuple[str, ...]
    """What would make it faster, in sentences"""

    @property
    def images_per_s(self) -> float:
        return self.images / sum(self.seconds.values())

    @property
    def busy(self) -> float:
        """The share of the time that the network took, 0 to 1; in the rest its device had nothing to compute."""
        network = sum(self.seconds[stage] for stage in ("forward", "loss", "backward", "update"))
        return network / sum(self.seconds.values())


class Trainings:
    """Short trainings on one device, in a folder on the disk that runs are to lie on."""

    def __init__(
        self,
        device: str,
        folder: Path,
        settings: Mapping[str, object] = SMALL,
        together: Mapping[str, object] | None = None,
    ) -> None:
        """`together`: the settings by which two processes share a training; None where there aren't devices for it."""
        self._folder = folder
        self._settings = {**settings, "device": device, "project": folder}
        self._together = together

    def findings(self) -> Iterator[Finding]:
        """Yields what each proof came to; the first training is what the others are held against."""
        try:
            first = self.run(FIRST)
        except MachineError as error:
            yield Finding("training", "failed", str(error), "Nothing can be trained here until this is put right.")
            return
        yield Finding("training", "ok", f"A training of {self._settings['epochs']} short epochs ends as it should.")
        yield self._held("repeated", "A training begun twice", lambda: (first, self.run("second")))
        yield self._held(
            "killed", "A training that is killed and resumed", lambda: (first, self.kill_and_resume("third"))
        )
        if (together := self._together) is not None:
            yield self._held(
                "processes",
                "A training that two processes share",
                lambda: (self.run("alone", **_SHARED), self.run("together", **_SHARED, **together)),
            )

    def _held(self, name: str, what: str, train: Callable[[], tuple[RunFolder, RunFolder]]) -> Finding:
        """Compares the states of two ways to the same run."""
        try:
            first, other = train()
        except MachineError as error:
            return Finding(name, "failed", str(error), "Look at what the command prints when you type it yourself.")
        differ = [
            file.name
            for file, same in ((first.last, other.last), (first.best, other.best))
            if everything(read(file)) != everything(read(same))
        ]
        if differ:
            return Finding(
                name,
                "failed",
                f"{what} gives other bits: {' and '.join(differ)} differ.",
                "peakmark replay RUN names the first step and tensor that differ.",
            )
        return Finding(name, "ok", f"{what} gives the same bits in last.pt and best.pt.")

    def run(self, name: str, **changes: object) -> RunFolder:
        """Trains to the end. Raises MachineError where that fails."""
        self._finish(self._start("train", self._words(name, changes)))
        return RunFolder(self._folder / name)

    def kill_and_resume(self, name: str) -> RunFolder:
        """Kills a training after its second epoch, perhaps while that is saved, and resumes it. Raises MachineError."""
        folder = RunFolder(self._folder / name)
        training = self._start("train", self._words(name, {}))
        began_at = time.monotonic()
        while training.poll() is None and _epochs_ended(folder) < _KILLED_AFTER:
            if time.monotonic() - began_at > _LONGEST_S:
                break
            time.sleep(_LOOKS_EVERY_S)
        if training.poll() is not None:
            self._finish(training)
            raise MachineError("The training was over before it could be killed.")
        training.kill()
        training.communicate()
        self._finish(self._start("resume", [str(folder.path)]))
        return folder

    def _words(self, name: str, changes: Mapping[str, object]) -> list[str]:
        settings = {**self._settings, "name": name, "exist_ok": True, **changes}
        return [f"{setting}={value}" for setting, value in settings.items()]

    def _start(self, command: str, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "peakmark", command, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def _finish(self, training: subprocess.Popen[str]) -> None:
        try:
            printed, _ = training.communicate(timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            training.kill()
            training.communicate()
            raise MachineError(f"A short training was not done after {_LONGEST_S:.0f} s.") from None
        if training.returncode != 0:
            last = " ".join(printed.split())[-300:]
            raise MachineError(f"A short training ended with exit code {training.returncode}: {last}")

    def measured(self, name: str) -> Measured | None:
        """Where the time of some steps went in a training with profile=True; None where there were too few."""
        told = [
            each for each in journal.read(RunFolder(self._folder / name).journal) if each["event"] == "TimeMeasured"
        ]
        of_steps = [each for each in told if each["over"].endswith("steps")]
        if not of_steps:
            return None
        return Measured(of_steps[0]["seconds"], of_steps[0]["timed_images"], tuple(of_steps[0]["advice"]))


def _epochs_ended(folder: RunFolder) -> int:
    return sum(each["event"] == "EpochEnded" for each in journal.read(folder.journal))
