"""What is looked at, and in which order? From what costs nothing to what takes a minute.

A look that fails doesn't end the others: somebody who mends one thing wants to know of all of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from peakmark.checkup.file_system import try_file_system
from peakmark.checkup.machine import look_at_machine
from peakmark.checkup.metrics import compare_metrics
from peakmark.checkup.step import MODEL, StepCheck
from peakmark.checkup.trainings import FIRST, SMALL, Measured, Trainings
from peakmark.data.dataset import read_dataset
from peakmark.errors import MachineError, PeakmarkError
from peakmark.events import Notice, Observer
from peakmark.files import durable
from peakmark.machine.devices import Arithmetic, settle
from peakmark.machine.numerics import undisturbed
from peakmark.nouns.checkup import Checkup, Finding
from peakmark.record.folder import RunFolder
from peakmark.run.open_data import open_data
from peakmark.settings.fields import DoctorSettings, Settings
from peakmark.settings.recipe import VERSION

_SCRATCH = ".peakmark-doctor-"
_TIMED = {"imgsz": 320, "batch": 8, "nbs": 8, "epochs": 1, "fraction": 0.5, "workers": None, "save_interval": 10}
_TIMED_ON_A_GPU = {**_TIMED, "imgsz": 640, "batch": 16, "nbs": 16, "fraction": 1.0}
"""Larger than the other trainings: what computes small images has nothing to do but wait."""
_BUSY_ENOUGH = 0.9
_OURS_TO_REPORT = "This is not a matter of settings: please report it, with what is printed here."


@undisturbed()
def check_up(wishes: DoctorSettings, observe: Observer) -> Checkup:
    """Looks at everything; leaves nothing behind. Raises MachineError for a device or folder that isn't there."""
    began_at = time.monotonic()
    arithmetic = settle(device=wishes.device, amp=True, deterministic=True)
    folder = existing_parent(Path(wishes.project))
    try:
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
    except OSError as error:
        raise MachineError(
            f"Can't write into {folder}: {error.strerror}. Choose another folder: project=FOLDER."
        ) from error
    measured: list[Measured] = []
    try:
        findings = tuple(_findings(arithmetic, folder, scratch, observe, measured))
    finally:
        durable.remove_folder(scratch)
    by_stage = {name: 1000 * s / measured[0].images for name, s in measured[0].seconds.items()} if measured else {}
    return Checkup(f"{arithmetic.device} ({arithmetic.device_name})", findings, time.monotonic() - began_at, by_stage)


def existing_parent(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there: runs make theirs on the same disk."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _findings(
    arithmetic: Arithmetic, folder: Path, scratch: Path, observe: Observer, measured: list[Measured]
) -> Iterator[Finding]:
    observe(Notice("Looking at the machine and the disk ..."))
    yield from look_at_machine(arithmetic, folder)
    disk = scratch / "disk"
    disk.mkdir()
    yield from try_file_system(disk)
    observe(Notice("Computing a training step ..."))
    settings = Settings.model_validate({**SMALL, "workers": 0, "device": arithmetic.device})
    try:
        data = open_data(settings, read_dataset("shapes"), None, VERSION)
        yield from StepCheck(settings, data, arithmetic.device).findings()
    except (PeakmarkError, RuntimeError) as error:
        yield Finding("step", "failed", f"It could not be computed: {_in_a_line(error)}", _OURS_TO_REPORT)
        return
    observe(Notice("Training, again, and once more with a kill: three quarters of a minute ..."))
    trainings = Trainings(arithmetic.device, scratch, together=_of_two_processes(arithmetic))
    yield from trainings.findings()
    if (first := RunFolder(scratch / FIRST)).best.exists():
        yield compare_metrics(first.best, settings, data, arithmetic.device)
    yield from _pace(trainings, arithmetic, observe, measured)


def _pace(
    trainings: Trainings, arithmetic: Arithmetic, observe: Observer, measured: list[Measured]
) -> Iterator[Finding]:
    """Says where the time of a step goes, in a training of a usual size."""
    size = _TIMED_ON_A_GPU if arithmetic.on_gpu else _TIMED
    observe(Notice(f"Training at {size['imgsz']} px, for its pace ..."))
    try:
        trainings.run("pace", **size, profile=True)
    except MachineError as error:
        yield Finding("pace", "failed", str(error), "Look whether another program holds the device's memory.")
        return
    found = trainings.measured("pace")
    if found is None:
        return
    measured.append(found)
    says = (
        f"{found.images_per_s:.0f} images/s with {MODEL} at {size['imgsz']} px, batch {size['batch']}; the network"
        f" computes {found.busy:.0%} of the time."
    )
    idle = arithmetic.on_gpu and found.busy < _BUSY_ENOUGH
    yield Finding("pace", "warning" if idle else "ok", says, " ".join(found.advice))


def _of_two_processes(arithmetic: Arithmetic) -> Mapping[str, object] | None:
    """The settings by which two processes share a training here: each needs a GPU of its own, or the processor."""
    if arithmetic.on_gpu:
        return {"device": "0,1"} if torch.cuda.device_count() > 1 else None
    return {"processes": 2}


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
