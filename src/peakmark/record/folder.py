"""Where does a run put its files, and which folder is its own? The only place that knows the layout of a run folder.

An existing run is never written over. It must not know what is in the files.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from peakmark.errors import MachineError, SettingsError
from peakmark.files import durable
from peakmark.files.given_path import given_path
from peakmark.files.lock import RunLock
from peakmark.record.data_listing import FILE_NAME

_MARK = ".peakmark"
"""Tells a folder that we made from one that only has the name: the second is never moved aside."""
_BEST_EPOCH = "best_epoch"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The places inside one run's folder. Making one touches nothing on the disk."""

    path: Path
    WEIGHTS: ClassVar = "weights"

    @property
    def weights(self) -> Path:
        return self.path / self.WEIGHTS

    @property
    def last(self) -> Path:
        return self.weights / "last.pt"

    @property
    def best(self) -> Path:
        return self.weights / "best.pt"

    @property
    def averaged(self) -> Path:
        """The average of the best epochs' weights, where it is better than the best."""
        return self.weights / "averaged.pt"

    def epoch_file(self, epoch: int) -> Path:
        """Where a kept epoch (0-based) lies; the name counts as people do, as results.csv does."""
        return self.weights / f"epoch{epoch + 1}.pt"

    def best_epoch_file(self, epoch: int) -> Path:
        """Where one of the best epochs (0-based) is kept; unlike an `epoch_file` it goes once there are better ones."""
        return self.weights / f"{_BEST_EPOCH}{epoch + 1}.pt"

    def before_file(self, epoch: int) -> Path:
        """Where the state lies from before settings were changed in an epoch (0-based): the way back."""
        return self.weights / f"before_epoch{epoch + 1}.pt"

    def best_epoch_files(self) -> dict[int, Path]:
        """The files of the best epochs that are there, by epoch (0-based)."""
        numbers = {path: path.stem.removeprefix(_BEST_EPOCH) for path in self.weights.glob(f"{_BEST_EPOCH}*.pt")}
        return {int(number) - 1: path for path, number in sorted(numbers.items()) if number.isdecimal()}

    def way_back(self, epoch: int) -> Path | None:
        """A state from before `epoch` (0-based): that from before a change in it, else the newest kept one."""
        if self.before_file(epoch).is_file():
            return self.before_file(epoch)
        numbered = {path: path.stem.removeprefix("epoch") for path in self.weights.glob("epoch*.pt")}
        kept = {int(number) - 1: path for path, number in numbered.items() if number.isdecimal()}
        kept = self.best_epoch_files() | kept
        return max(((number, path) for number, path in kept.items() if number < epoch), default=(0, None))[1]

    @property
    def evidence(self) -> Path:
        return self.path / "evidence"

    def evidence_file(self, epoch: int) -> Path:
        """Where the evidence of a validated epoch (0-based) lies, from which its metrics can be computed again."""
        return self.evidence / f"epoch{epoch + 1}.npz"

    @property
    def settings_yaml(self) -> Path:
        return self.path / "settings.yaml"

    @property
    def results_csv(self) -> Path:
        return self.path / "results.csv"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def gallery(self) -> Path:
        """Images that show what best.pt gets wrong."""
        return self.path / "gallery.json"

    @property
    def data_files(self) -> Path:
        return self.path / FILE_NAME


def create_run_folder(project: Path, name: str, *, exist_ok: bool) -> tuple[RunFolder, tuple[str, ...]]:
    """Makes a new run's folder and gives it, with what the user should know about it.

    Without `exist_ok` it is the first of train, train2, train3 ... that is free. With it, the folder has exactly this
    name, and a run that has it already is moved aside to the first free one. Raises `SettingsError` for a name that is
    a path, `MachineError` where the folder can't be made, is in use, or holds something that is no run.
    """
    if Path(name).name != name or not name.strip("."):
        raise SettingsError([f"name={name} is not the name of a folder. Put the folders above it into project=."])
    given_path(name, "name")
    project = given_path(project, "project")
    wanted = project / name
    if not exist_ok:
        return _marked(_claim_next(project, name)), ()
    if durable.claim_folder(wanted) or _is_empty(wanted):
        return _marked(wanted), ()
    aside = _move_aside(wanted)
    if not durable.claim_folder(wanted):
        raise MachineError(f"{wanted} was taken by another run at this very moment. Choose another name.")
    return _marked(wanted), (f"{wanted} held an earlier run; it was moved to {aside}, nothing in it was changed.",)


def _claim_next(project: Path, name: str) -> Path:
    """Makes the first folder of name, name2, name3 ... that isn't there; safe against others who do the same."""
    candidates = itertools.chain((name,), (f"{name}{number}" for number in itertools.count(2)))
    return next(project / candidate for candidate in candidates if durable.claim_folder(project / candidate))


def _move_aside(folder: Path) -> Path:
    if not (folder / _MARK).is_file():
        raise MachineError(
            f"{folder} is there already and is no run of Peakmark, so it stays as it is. Choose another name."
        )
    with RunLock(folder):
        # A run that is still being written must not lose its folder; entering would have been refused.
        pass
    aside = _claim_next(folder.parent, folder.name)
    durable.move_folder(folder, aside)
    return aside


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def _marked(folder: Path) -> RunFolder:
    durable.write_text(folder / _MARK, "A run of Peakmark.\n")
    return RunFolder(folder)
