"""How is a run put together? The one composition root: what is built, in which order, and why in this one.

1. What is asked for is checked against what is there: model, data, device. Whatever can refuse refuses here.
2. The arithmetic is settled, since everything after computes with it.
3. Model, then freezing, then optimizer: the groups hold what trains.
4. The state, restored or new; from here on it is the only thing that changes.
5. What reads it and what writes it: loader, validator, checkpointer. Last the loop, which is handed all of them.

Nothing is written before step 5, so a refused run leaves nothing behind.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.format import IMPORTED, comparable
from peakmark.data.dataset import DatasetSpec
from peakmark.data.loader import Images, TrainLoader
from peakmark.distributed.launched import local_rank_here, processes_here
from peakmark.distributed.processes import Processes
from peakmark.errors import SettingsError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.fitness import FitnessFunction
from peakmark.events import Observer
from peakmark.loss.detection import Objective
from peakmark.machine.compiling import check_compiler
from peakmark.machine.devices import Arithmetic, memory_in_use_bytes, settle
from peakmark.machine.memory import keep_freed_memory
from peakmark.machine.stopping import StopRequest
from peakmark.model.detector import Detector
from peakmark.model.norm_statistics import NormStatistics, StatisticsByWindow, StatisticsInPlace
from peakmark.nouns.evaluation import PROTOCOL
from peakmark.nouns.losses import Gains
from peakmark.nouns.run import History, Segment
from peakmark.record.folder import RunFolder
from peakmark.run.batch_that_fits import is_open, settled
from peakmark.run.disk.checkpointer import Checkpointer
from peakmark.run.disk.evidence_files import write_evidence
from peakmark.run.open_data import (
    OpenData,
    augmentation_of,
    by_number,
    check_no_lone_value,
    open_data,
    open_images,
    open_validation_set,
    workers_of,
)
from peakmark.run.provenance import provenance
from peakmark.run.weights import ModelSource, starting_model
from peakmark.selection.decide import decide
from peakmark.selection.rules import rules_of
from peakmark.settings.class_weights import weights_in_words
from peakmark.settings.fields import Settings
from peakmark.settings.plain import to_plain
from peakmark.settings.processes import own_device
from peakmark.settings.recipe import VERSION, Recipe, few_updates, largest_microbatch, recipe, recipe_of
from peakmark.state.capture import RunFacts, result_settings
from peakmark.state.state import RunState
from peakmark.train.advice import Facts, advise
from peakmark.train.loop import Keeper, Loop
from peakmark.train.network import CompiledNetwork, Network, PlainNetwork
from peakmark.train.optimizer import build_optimizer
from peakmark.train.step import Stepper, freeze
from peakmark.train.stopwatch import NOT_TIMED, Profile, Stopwatch
from peakmark.validation.epoch import EpochValidator
from peakmark.validation.validation import ValidationSet


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run that nothing stands in the way of; nothing of it is on disk yet."""

    facts: RunFacts
    """What its checkpoints say of it besides the state: settings, classes, architecture, arithmetic, provenance."""
    data: OpenData
    validation: ValidationSet | None
    """Opened once: the epochs, the last look at best.pt and the pictures share its image cache."""
    state: RunState
    """The only part that changes."""
    notes: tuple[str, ...]

    @property
    def settings(self) -> Settings:
        return self.facts.settings

    @property
    def recipe(self) -> Recipe:
        return recipe_of(self.state.history.segments[-1])

    @property
    def objective(self) -> Objective:
        recipe = self.recipe
        return Objective(Gains.of(dict(self.settings)), recipe.version, recipe.class_weights)


def prepare(
    settings: Settings, source: ModelSource, spec: DatasetSpec, function: FitnessFunction | None = None
) -> PreparedRun:
    """Does steps 1 to 4 for a new run; `function` is its fitness, where that is one in Python.

    Raises SettingsError, DataError, ModelFileError or MachineError where something stands in the way.
    """
    settings = by_number(settings, spec.names)
    data = open_data(settings, spec, function, VERSION)
    arithmetic = arithmetic_for(settings)
    model, notes, origin = starting_model(source, settings.pretrained, data.names, settings.seed)
    if arithmetic.compiled:
        check_compiler(arithmetic)
    settings, said = _batch_settled(settings, data, model, arithmetic)
    chosen = recipe(
        settings,
        classes=len(data.names),
        images=len(data.train_index),
        objects=data.train_objects_per_class,
        processes=processes_here().size,
    )
    state = new_state(settings, model, arithmetic, first_segment(settings, chosen, data.val_fingerprint, data.protocol))
    notes = (*notes, *said, *few_updates(settings, len(data.train_index)))
    besides = {} if origin is None else {IMPORTED: dict(origin)}
    return put_together(settings, data, arithmetic, state, source.scale.name, notes, besides)


def _batch_settled(
    settings: Settings, data: OpenData, model: Detector, arithmetic: Arithmetic
) -> tuple[Settings, tuple[str, ...]]:
    """The settings with a number of images as their batch, and what that was chosen by, where it was."""
    if not is_open(settings):
        return settings, ()
    if processes_here().size > 1:
        raise SettingsError(
            [f"batch={settings.batch:g}: several processes would each find another number; name one, all their images."]
        )

    def begin(wishes: Settings, start: Detector) -> RunState:
        chosen = recipe(
            wishes, classes=len(data.names), images=len(data.train_index), objects=data.train_objects_per_class
        )
        return new_state(wishes, start, arithmetic, first_segment(wishes, chosen, data.val_fingerprint, data.protocol))

    settings, said = settled(settings, len(data.train_index), model.eval(), arithmetic, begin)
    check_no_lone_value(settings, len(data.train_index))
    return settings, (said,)


def arithmetic_for(settings: Settings) -> Arithmetic:
    """Settles what a new run computes with, and sets the process up for it. Raises MachineError."""
    local_rank, on_this_machine = local_rank_here(), processes_here().on_this_machine
    arithmetic = settle(
        device=own_device(settings, local_rank, on_this_machine),
        amp=settings.amp,
        deterministic=settings.deterministic,
        threads=settings.threads,
        augmentation=augmentation_of(settings),
        compiled=settings.compile,
        processes=on_this_machine,
        local_rank=local_rank,
    )
    arithmetic.apply()
    arithmetic.check_threads()
    return arithmetic


def put_together(
    settings: Settings,
    data: OpenData,
    arithmetic: Arithmetic,
    state: RunState,
    architecture: str,
    notes: tuple[str, ...],
    besides: Mapping[str, Any] | None = None,
) -> PreparedRun:
    """Makes a run of its parts; `besides` is what its provenance says beside data and versions, such as its lineage."""
    came_from = provenance(data.spec, data.train_index, data.val_index) | dict(besides or {})
    return PreparedRun(
        facts=RunFacts(settings, data.names, architecture, arithmetic, came_from),
        data=data,
        validation=open_validation_set(settings, data.val_index, data.names, arithmetic) if data.val_index else None,
        state=state,
        notes=(*notes, *_about_class_weights(state, data), *_about_the_device(arithmetic), *data.warnings),
    )


def first_segment(settings: Settings, chosen: Recipe, val_fingerprint: str | None, protocol: str = PROTOCOL) -> Segment:
    """The segment that a run begins with."""
    return Segment(
        from_epoch=0,
        from_images=0,
        settings=bearing_on_result(settings),
        reason="start",
        recipe=chosen.to_plain(),
        horizon=settings.epochs,
        comparable=comparable(val_fingerprint, settings.imgsz, protocol),
    )


def bearing_on_result(settings: Settings) -> dict[str, Any]:
    """The part of the settings that a segment remembers and a digest covers."""
    wishes = to_plain(settings)
    return {name: wishes[name] for name in result_settings(settings)}


def new_state(settings: Settings, model: Detector, arithmetic: Arithmetic, segment: Segment) -> RunState:
    """Makes the state of a run that is at the beginning of its first segment."""
    model = arithmetic.place(model).train()
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    freeze(model, settings.freeze)
    return RunState(
        model=model,
        ema=ema,
        optimizer=build_optimizer(model, recipe_of(segment)),
        scaler=torch.amp.GradScaler(arithmetic.device.partition(":")[0]) if arithmetic.needs_scaler else None,
        history=History(segments=(segment,)),
    )


def _about_class_weights(state: RunState, data: OpenData) -> tuple[str, ...]:
    segment = state.history.segments[-1]
    weights = recipe_of(segment).class_weights
    if not weights:
        return ()
    return (weights_in_words(segment.settings["cls_pw"], weights, data.train_objects_per_class, data.names),)


def _about_the_device(arithmetic: Arithmetic) -> tuple[str, ...]:
    if arithmetic.augmentation == "opencv" or arithmetic.on_gpu:
        return ()
    return (
        "cache=device gains nothing on a processor, where torch augments images several times slower than OpenCV does;"
        " it is meant for a GPU, and cache=ram is faster here.",
    )


def assemble(
    run: PreparedRun,
    folder: RunFolder,
    stop: StopRequest,
    observe: Observer,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Loop, Checkpointer]:
    """Does step 5: the loop, ready to run, and the checkpointer, which is to be closed after it."""
    settings = run.settings
    checkpointer = Checkpointer(
        folder,
        run.facts,
        BackgroundWriter(folder.last, folder.best),
        observe,
        keep=settings.keep,
        save_interval_s=60 * settings.save_interval,
        clock=clock,
    )
    loop = fold(
        run,
        checkpointer,
        stop,
        observe,
        lambda epoch, evidence: write_evidence(folder, epoch, evidence, observe),
        clock,
    )
    return loop, checkpointer


def fold(
    run: PreparedRun,
    keeper: Keeper,
    stop: StopRequest,
    observe: Observer,
    keep_evidence: Callable[[int, Evidence], None],
    clock: Callable[[], float] = time.monotonic,
) -> Loop:
    """Makes the loop of a run, or of the part that this process has of it."""
    settings, arithmetic, index, processes = run.settings, run.facts.arithmetic, run.data.train_index, processes_here()
    keep_freed_memory()  # here, where runs that begin and runs that go on come by
    images, workers = open_images(index, settings, arithmetic), workers_of(settings, arithmetic)
    stopwatch = _stopwatch(run, workers, images.keeps, observe)
    stepper = Stepper(
        run.state,
        _network(run, observe, stop),
        run.objective,
        settings.clip_grad,
        _statistics(run, processes),
        processes,
        stopwatch,
    )
    return Loop(
        state=run.state,
        settings=settings,
        loader=TrainLoader(index, images, settings, workers, run.recipe.version),
        stepper=stepper,
        validate=_validator(run, keep_evidence, stop, observe, processes),
        decide=lambda history: decide(history, rules_of(settings, recipe_of(history.segments[-1]))),
        keeper=keeper,
        stop=stop,
        observe=observe,
        memory_bytes=lambda: memory_in_use_bytes(arithmetic),
        clock=clock,
        stopwatch=stopwatch,
        new_remarks=partial(_new_remarks, images, run.validation),
        processes=processes,
    )


def _statistics(run: PreparedRun, processes: Processes) -> NormStatistics:
    model, version = run.state.model, run.recipe.version
    if run.facts.arithmetic.statistics == "in place":
        return StatisticsInPlace(model, version)
    return StatisticsByWindow(model, version, processes)


def _validator(
    run: PreparedRun,
    keep_evidence: Callable[[int, Evidence], None],
    stop: StopRequest,
    observe: Observer,
    processes: Processes,
) -> EpochValidator | None:
    if run.validation is None or run.data.fitness is None:
        return None
    return EpochValidator(
        run.validation,
        run.facts.arithmetic,
        run.objective,
        run.data.fitness,
        keep_evidence,
        observe,
        stop.requested,
        processes,
    )


def _new_remarks(train: Images, validation: ValidationSet | None) -> list[str]:
    return [*train.new_remarks(), *(validation.images.new_remarks() if validation else ())]


def _network(run: PreparedRun, observe: Observer, stop: StopRequest) -> Network:
    model, arithmetic = run.state.model, run.facts.arithmetic
    if not arithmetic.compiled:
        return PlainNetwork(model, arithmetic)
    images = largest_microbatch(run.settings, run.recipe, len(run.data.train_index))
    return CompiledNetwork(model, arithmetic, images, observe, stop.at_once)


def _stopwatch(run: PreparedRun, workers: int, images_kept: bool, observe: Observer) -> Stopwatch:
    if not run.settings.profile:
        return NOT_TIMED
    arithmetic = run.facts.arithmetic
    mixed = settle(device=arithmetic.device, amp=True, deterministic=True).precision
    facts = Facts(run.settings, run.recipe.nbs, arithmetic, workers, images_kept, mixed)
    return Profile(partial(advise, facts=facts), observe, arithmetic.wait)
