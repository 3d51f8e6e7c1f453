"""What would it be to resume a run like this? Both sides of the seam are opened and compared; nothing is done.

It must not know how a plan is told, agreed to or carried out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peakmark.checkpoint.format import Checkpoint, protocol_in
from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.distributed.launched import local_rank_here, processes_here
from peakmark.errors import MachineError
from peakmark.evaluate.fitness import FitnessFunction
from peakmark.machine.compiling import check_compiler
from peakmark.machine.cores import default_threads
from peakmark.machine.devices import Arithmetic, precision_here, settle
from peakmark.nouns.resume import Cause, ChangePlan
from peakmark.nouns.run import Position
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.resume.health.contradictions import contradictions
from peakmark.resume.plan import plan
from peakmark.resume.seam import Seam, Side
from peakmark.resume.stopped import StoppedRun
from peakmark.run.disk.data_files import changed_files
from peakmark.run.fitness import check_same_function
from peakmark.run.open_data import OpenData, augmentation_of, by_number, check_no_lone_value, open_data
from peakmark.run.provenance import versions as versions_here
from peakmark.run.weights import find_model
from peakmark.settings.fields import ResumeSettings, Settings
from peakmark.settings.parse import parse_changes
from peakmark.settings.plain import from_plain
from peakmark.settings.processes import own_device
from peakmark.settings.recipe import Recipe, mosaic_is_open, mosaic_is_open_in, recipe, recipe_of
from peakmark.state.segments import next_horizon, next_recipe
from peakmark.train.schedule import decay
from peakmark.train.windows import epoch_windows

DATA_SETTINGS = {"data", "fraction", "classes", "single_cls", "verify", "val", "bad_labels", "max_image_pixels"}
"""Whoever gives one of these wants other images or truths; without it they may not differ."""

_ARITHMETIC_SETTINGS = ("device", "amp", "threads", "deterministic", "compile")


@dataclass(frozen=True, slots=True)
class Wishes:
    """How somebody wants to resume a run."""

    settings: ResumeSettings
    changes: Mapping[str, Any]
    """Settings of the run that are to have another value, as the user wrote them."""
    agree: Callable[[ChangePlan], bool]
    """Asked where the plan holds a danger."""
    fitness: FitnessFunction | None = None
    """The run's fitness, where that is a function in Python."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A resume that was thought through: all that carrying it out looks at. Nothing is done yet."""

    stopped: StoppedRun
    wished: frozenset[str]
    """The names of the settings that the user gave."""
    data: OpenData
    data_changes: tuple[str, ...]
    """Which files are others than before, in words."""
    seam: Seam
    plan: ChangePlan
    notes: tuple[str, ...]
    """What the changed settings bring along, in words."""

    @property
    def checkpoint(self) -> Checkpoint:
        return self.stopped.checkpoint

    @property
    def before(self) -> Side:
        return self.seam.before

    @property
    def after(self) -> Side:
        return self.seam.after


def compare(stopped: StoppedRun, wishes: Wishes) -> Planned:
    """Opens what both sides of the seam are made of, and makes the plan.

    Raises SettingsError where the changed settings can't stand, MachineError where the data are not the run's own or
    its device is gone, and DataError.
    """
    folder, checkpoint = stopped.folder, stopped.checkpoint
    old = from_plain(Settings, checkpoint.settings)
    parsed = parse_changes(old, wishes.changes)
    spec = _spec(checkpoint, parsed.settings, wishes)
    new = by_number(parsed.settings, spec.names)
    version = recipe_of(checkpoint.history.segments[-1]).version
    data = open_data(new, spec, wishes.fitness, version)
    if data.fitness is not None:
        check_same_function(data.fitness, checkpoint.history)
    if checkpoint.position.images and checkpoint.position.phase == "train":
        check_no_lone_value(new, len(data.train_index) - checkpoint.position.images)
    before = _side_before(checkpoint, old, new)
    after = _side_after(before, checkpoint, old, new, data, wishes)
    _check_same_data(stopped, data, wishes)
    found = contradictions_of(checkpoint, None if stopped.elsewhere else folder)
    seam = Seam(folder.path, checkpoint.position, before, after, found, default_threads(), elsewhere=stopped.elsewhere)
    others = (before.train, before.val) != (after.train, after.val)
    files = changed_files(folder, data) if others else ()
    return Planned(stopped, frozenset(wishes.changes), data, files, seam, plan(seam), parsed.notes)


def contradictions_of(checkpoint: Checkpoint, folder: RunFolder | None) -> tuple[Cause, ...]:
    """What in a state can't be true of a healthy run, by itself, and by what its folder tells, if it is the newest."""
    position, history = checkpoint.position, checkpoint.history
    images, segment = checkpoint.provenance["data"]["train_images"], history.segments[-1]
    windows = epoch_windows(from_plain(Settings, checkpoint.settings), segment, images, position.epoch)
    covers_epoch = (segment.from_epoch, segment.from_images) <= (position.epoch, 0)
    done = sum(window.end <= position.images for window in windows)
    cut_short = position.phase == "validate" and position.images < images
    told = [event["epoch"] for event in read_journal(folder.journal) if _ends_an_epoch(event)] if folder else []
    return contradictions(
        checkpoint,
        expected_step=(history.records[-1].step if history.records else 0) + done if covers_epoch else None,
        at_window_start=position.images in {0, images, *(window.first for window in windows)} or cut_short,
        epochs_known=max(told, default=0),
    )


def _ends_an_epoch(event: Mapping[str, Any]) -> bool:
    return event.get("event") == "EpochEnded" and not event.get("superseded")


def _spec(checkpoint: Checkpoint, new: Settings, wishes: Wishes) -> DatasetSpec:
    named = new.data if "data" in wishes.changes else checkpoint.provenance["data"]["yaml"]
    # Its names are in its weights' head by now; the plan refuses others.
    return read_dataset(named, equal_names=True, download=new.download)


def _side_before(checkpoint: Checkpoint, old: Settings, new: Settings) -> Side:
    segment, data = checkpoint.history.segments[-1], checkpoint.provenance["data"]
    chosen, epoch = recipe_of(segment), _next_epoch(checkpoint.position)
    return Side(
        settings=old,
        recipe=chosen,
        horizon=segment.horizon,
        rate=_rate(old, chosen, segment.horizon, epoch),
        mosaic_open=mosaic_is_open_in(segment, epoch),
        architecture=checkpoint.architecture,
        names=checkpoint.names,
        arithmetic=Arithmetic.from_plain(checkpoint.arithmetic),
        versions=checkpoint.provenance["versions"],
        train=data["train"],
        # Not to validate any more, or to begin with it, is a change of its own and no change of data.
        val=data["val"] if old.val and new.val else None,
        protocol=protocol_in(segment.comparable) if old.val and new.val else None,
    )


def _side_after(
    before: Side, checkpoint: Checkpoint, old: Settings, new: Settings, data: OpenData, wishes: Wishes
) -> Side:
    epoch = _next_epoch(checkpoint.position)
    fresh = recipe(new, classes=len(data.names), images=len(data.train_index), objects=data.train_objects_per_class)
    horizon = next_horizon(before.horizon, old.epochs, new.epochs, wishes.settings.schedule)
    chosen = next_recipe(
        before.recipe,
        fresh,
        old,
        new,
        same_horizon=horizon == before.horizon,
        same_images=before.train == data.train_index.fingerprint,
    )
    source = find_model(new.model).scale.name if "model" in wishes.changes else checkpoint.architecture
    return Side(
        settings=new,
        recipe=chosen,
        horizon=horizon,
        rate=_rate(new, chosen, horizon, epoch) if epoch < new.epochs else 0.0,
        mosaic_open=mosaic_is_open(chosen.close_mosaic, horizon, epoch),
        architecture=source,
        names=data.names,
        arithmetic=_arithmetic(before.arithmetic, old, new),
        versions=versions_here(),
        train=data.train_index.fingerprint,
        val=data.val_fingerprint if old.val and new.val else None,
        protocol=data.protocol if old.val and new.val else None,
    )


def _next_epoch(position: Position) -> int:
    return position.epoch if position.phase == "train" else position.epoch + 1


def _rate(settings: Settings, chosen: Recipe, horizon: int, epoch: int) -> float:
    """The rate of an epoch, as far as the warm-up is at its end."""
    warmup = min(1.0, (epoch + 1) / settings.warmup_epochs) if settings.warmup_epochs else 1.0
    return chosen.lr0 * decay(settings, horizon, epoch) * warmup


def _arithmetic(stored: Arithmetic, old: Settings, new: Settings) -> Arithmetic:
    """The run's own arithmetic, unless another is wished for or this machine lacks its precision.

    Raises MachineError where its device is gone, or what compiles for it.
    """
    wished = any(getattr(new, name) != getattr(old, name) for name in _ARITHMETIC_SETTINGS)
    is_moved = new.device is not None and new.device != old.device
    local_rank, on_this_machine = local_rank_here(), processes_here().on_this_machine
    own = own_device(new, local_rank, on_this_machine)
    here = settle(
        device=own if is_moved else stored.device,
        amp=new.amp,
        deterministic=new.deterministic,
        threads=new.threads,
        compiled=new.compile,
        processes=on_this_machine,
        local_rank=local_rank,
    )
    if here.compiled:
        check_compiler(here)
    # Threads stay those of the run, however many this machine has: another number would change every last digit.
    same_kind = here.on_gpu == stored.on_gpu
    threads = stored.threads if same_kind and new.threads == old.threads else here.threads
    keeps_precision = same_kind and new.amp == old.amp
    precision = precision_here(stored.precision, here.device) if keeps_precision else here.precision
    settled = dataclasses.replace(here if wished else stored, device_name=here.device_name)
    return dataclasses.replace(
        settled,
        threads=threads,
        precision=precision,
        augmentation=augmentation_of(new),
        statistics=stored.statistics,
    )


def _check_same_data(stopped: StoppedRun, data: OpenData, wishes: Wishes) -> None:
    if DATA_SETTINGS & wishes.changes.keys():
        return
    known = stopped.checkpoint.provenance["data"]
    now = {"train": data.train_index.fingerprint, "val": data.val_fingerprint}
    for split, fingerprint in now.items():
        before = known[split]
        if before != fingerprint:
            which = " ".join(changed_files(stopped.folder, data))
            raise MachineError(
                f"The {split} images or labels are not the ones that this run was trained with (fingerprint"
                f" {str(fingerprint)[:12]} instead of {str(before)[:12]}). {which} Put them back as they were, or go on"
                f" with them as they are from the next epoch on: peakmark resume {stopped.source} data={known['yaml']}"
            )
