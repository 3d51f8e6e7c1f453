"""How is a run put together? The one composition root: what is built, in which order, and why in this one.

1. What is asked for is checked against what is there: model, data, device. Whatever can refuse refuses here.
2. The arithmetic is settled, since everything after computes with it.
3. Model, then freezing, then optimizer: the groups hold what trains.
4. The state, restored or new; from here on it is the only thing that changes.
5. What reads it and what writes it: loader, validator, keeper. Last the loop, which is handed all of them.

Nothing is written before step 5, so a refused run leaves nothing behind.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.format import comparable
from peakmark.data.audit.density import density_notes
from peakmark.data.audit.quick import quick_notes
from peakmark.data.cache import CacheMode, ImageCache
from peakmark.data.dataset import DatasetSpec
from peakmark.data.device_images import DeviceImages
from peakmark.data.index import Index, build_index
from peakmark.data.loader import Images, TrainLoader
from peakmark.data.plan import least_side
from peakmark.data.split_notes import BadLabels, rows_of_other_kinds
from peakmark.errors import Mistakes, SettingsError
from peakmark.evaluate.fitness import Fitness, FitnessFunction
from peakmark.evaluate.protocol import cap_for, most_of_a_class, protocol_in_words
from peakmark.events import Observer
from peakmark.machine.compiling import check_compiler
from peakmark.machine.cores import granted_cores
from peakmark.machine.devices import Arithmetic, Augmentation, memory_in_use_bytes, settle
from peakmark.machine.memory import available_bytes, keep_freed_memory
from peakmark.machine.stopping import StopRequest
from peakmark.model.detector import STRIDES, Detector
from peakmark.model.predictor import Thresholds
from peakmark.nouns import PROTOCOL, History, Segment
from peakmark.record.folder import RunFolder
from peakmark.resume.capture import RunFacts, result_settings
from peakmark.resume.state import RunState
from peakmark.selection.decide import decide
from peakmark.selection.rules import rules_of
from peakmark.settings.fields import Settings, ValSettings
from peakmark.settings.plain import to_plain
from peakmark.settings.recipe import Recipe, recipe
from peakmark.train.advice import MOST_WORKERS, Facts, advise
from peakmark.train.evidence_files import write_evidence
from peakmark.train.judging import open_fitness
from peakmark.train.keeper import DiskKeeper
from peakmark.train.loop import Loop
from peakmark.train.network import CompiledNetwork, Network, PlainNetwork
from peakmark.train.optimizer import build_optimizer
from peakmark.train.provenance import provenance
from peakmark.train.start import ModelSource, starting_model
from peakmark.train.step import Stepper, freeze
from peakmark.train.stopwatch import NOT_TIMED, Profile, Stopwatch
from peakmark.train.validation import EpochValidator, ValidationSet

_CACHE_SHARE = 0.25
"""Of the free memory: above it, cache=auto reads from disk rather than crowd out the training."""


@dataclass(frozen=True, slots=True)
class OpenData:
    """The images that a run is about, opened and checked."""

    spec: DatasetSpec
    names: tuple[str, ...]
    train_index: Index
    val_index: Index | None
    fitness: Fitness | None
    """What makes an epoch best; None where nothing is validated."""
    thresholds: Thresholds
    """What counts as a detection in a validation."""

    @property
    def protocol(self) -> str:
        """What the numbers of a validation mean."""
        index = self.val_index
        most = most_of_a_class(index.image_of_truth, index.classes) if index is not None else 0
        return protocol_in_words(cap_for(most), self.thresholds.unusual())

    @property
    def warnings(self) -> tuple[str, ...]:
        found = quick_notes(self.train_index, self.val_index, self.names)
        if self.val_index is not None:
            rows = rows_of_other_kinds(self.train_index.rows, self.val_index.rows)
            dense = density_notes(self.val_index, self.thresholds.max_detections)
            found = (*self.val_index.warnings, *rows, *found, *dense)
        return (*self.spec.notes, *self.train_index.warnings, *found)

    @property
    def val_fingerprint(self) -> str | None:
        return self.val_index.fingerprint if self.val_index else None


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run that nothing stands in the way of; nothing of it is on disk yet."""

    settings: Settings
    names: tuple[str, ...]
    train_index: Index
    validation: ValidationSet | None
    """Opened once: the epochs, the last look at best.pt and the pictures share its image cache."""
    fitness: Fitness | None
    arithmetic: Arithmetic
    state: RunState
    architecture: str
    provenance: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def val_index(self) -> Index | None:
        return self.validation.index if self.validation else None

    @property
    def recipe(self) -> Recipe:
        return Recipe(**self.state.history.segments[-1].recipe)


def prepare(
    settings: Settings, source: ModelSource, spec: DatasetSpec, function: FitnessFunction | None = None
) -> PreparedRun:
    """Does steps 1 to 4 for a new run; `function` is its fitness, where that is one in Python.

    Raises SettingsError, DataError, ModelFileError or MachineError where something stands in the way.
    """
    data = open_data(settings, spec, function)
    arithmetic = settle(
        device=settings.device,
        amp=settings.amp,
        deterministic=settings.deterministic,
        threads=settings.threads,
        augmentation=augmentation_of(settings),
        compiled=settings.compile,
    )
    arithmetic.apply()
    arithmetic.check_threads()
    model, notes = starting_model(source, settings.pretrained, data.names, settings.seed)
    if arithmetic.compiled:
        check_compiler(arithmetic)
    chosen = recipe(settings, classes=len(data.names), images=len(data.train_index))
    state = new_state(settings, model, arithmetic, first_segment(settings, chosen, data.val_fingerprint, data.protocol))
    return put_together(settings, data, arithmetic, state, source.scale.name, notes)


def put_together(
    settings: Settings,
    data: OpenData,
    arithmetic: Arithmetic,
    state: RunState,
    architecture: str,
    notes: tuple[str, ...],
    lineage: Mapping[str, Any] | None = None,
) -> PreparedRun:
    """Makes a run of its parts; `lineage` is what its provenance says besides, where it goes on with another state."""
    return PreparedRun(
        settings=settings,
        names=data.names,
        train_index=data.train_index,
        validation=open_validation_set(settings, data.val_index, data.names, arithmetic) if data.val_index else None,
        fitness=data.fitness,
        arithmetic=arithmetic,
        state=state,
        architecture=architecture,
        provenance=provenance(data.spec, data.train_index, data.val_index) | dict(lineage or {}),
        notes=(*notes, *_about_the_device(arithmetic), *data.warnings),
    )


def open_data(settings: Settings, spec: DatasetSpec, function: FitnessFunction | None) -> OpenData:
    """Indexes what the settings ask for.

    Raises DataError, and SettingsError where a batch can't be normalised or no epoch could be judged.
    """
    names = ("object",) if settings.single_cls else spec.names
    found = Mistakes()
    train_index, val_index = None, None
    with found.gathered():
        train_index = open_index(settings, spec, "train", settings.bad_labels, single_class=settings.single_cls)
    with found.gathered():
        if settings.val:
            val_index = open_index(settings, spec, "val", settings.bad_labels, single_class=settings.single_cls)
    found.tell()
    assert train_index is not None
    train_index = train_index.first(settings.fraction)
    check_no_lone_value(settings, len(train_index))
    fitness = open_fitness(settings.fitness, names, val_index, function)
    return OpenData(spec, names, train_index, val_index, fitness, thresholds_of(settings))


def thresholds_of(settings: Settings) -> Thresholds:
    """What counts as a detection in a run's validations."""
    return Thresholds(settings.conf, settings.iou, settings.max_det)


def check_no_lone_value(settings: Settings, images: int) -> None:
    """Refuses a microbatch of one image of 32 px: the coarsest map has one value, of which a norm knows no spread."""
    if least_side(settings) == STRIDES[-1] and (settings.batch == 1 or images % settings.batch == 1):
        raise SettingsError(
            [
                f"batch={settings.batch}: one of the {images} training images would be alone in its microbatch, and at"
                f" {least_side(settings)} px there is nothing to normalise it by; take another batch or a larger imgsz."
            ]
        )


def first_segment(settings: Settings, chosen: Recipe, val_fingerprint: str | None, protocol: str = PROTOCOL) -> Segment:
    """The segment that a run begins with."""
    return Segment(
        from_epoch=0,
        from_images=0,
        settings=bearing_on_result(settings),
        reason="start",
        recipe=dataclasses.asdict(chosen),
        horizon=settings.epochs,
        comparable=comparable(val_fingerprint, settings.imgsz, protocol),
    )


def bearing_on_result(settings: Settings) -> dict[str, Any]:
    """The part of the settings that a segment remembers and a digest covers."""
    wishes = to_plain(settings)
    return {name: wishes[name] for name in result_settings()}


def new_state(settings: Settings, model: Detector, arithmetic: Arithmetic, segment: Segment) -> RunState:
    """Makes the state of a run that is at the beginning of its first segment."""
    model = arithmetic.place(model).train()
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    freeze(model, settings.freeze)
    return RunState(
        model=model,
        ema=ema,
        optimizer=build_optimizer(model, Recipe(**segment.recipe)),
        scaler=torch.amp.GradScaler(arithmetic.device.partition(":")[0]) if arithmetic.needs_scaler else None,
        history=History(segments=(segment,)),
    )


def open_index(
    settings: Settings | ValSettings, spec: DatasetSpec, split: str, bad_labels: BadLabels, *, single_class: bool
) -> Index:
    """Indexes a split; every image is looked at once, by all cores, since nothing else runs yet.

    A validation by itself takes a split of background images too: it counts false alarms.
    """
    return build_index(
        spec,
        split,
        verify=settings.verify,
        workers=granted_cores(),
        bad_labels=bad_labels,
        single_class=single_class,
        background_is_enough=isinstance(settings, ValSettings),
    )


def workers_of(settings: Settings | ValSettings, arithmetic: Arithmetic) -> int:
    """Threads that prepare images, where the user doesn't say how many. They change no number, only the pace.

    On a processor the network uses every core, and a thread that takes one away for a moment makes the others wait: on
    2 cores an epoch without workers is faster than with one. Beside a GPU the cores have nothing else to do.
    """
    if settings.workers is not None:
        return settings.workers
    return min(MOST_WORKERS, arithmetic.threads if arithmetic.on_gpu else arithmetic.threads // 4)


def facts_of(run: PreparedRun) -> RunFacts:
    """What a checkpoint of this run says besides the state."""
    return RunFacts(run.settings, run.names, run.architecture, run.arithmetic, run.provenance)


def open_validation_set(
    settings: Settings, index: Index, names: tuple[str, ...], arithmetic: Arithmetic
) -> ValidationSet:
    """Opens a split for the validations of a run."""
    images = open_images(index, settings, arithmetic)
    workers = workers_of(settings, arithmetic)
    return ValidationSet(index, images, workers, 2 * settings.batch, names, thresholds_of(settings))


def augmentation_of(settings: Settings) -> Augmentation:
    """What carries plans out under these settings: images that are kept on the device are augmented there."""
    return "torch" if settings.cache == "device" else "opencv"


def _about_the_device(arithmetic: Arithmetic) -> tuple[str, ...]:
    if arithmetic.augmentation == "opencv" or arithmetic.on_gpu:
        return ()
    return (
        "cache=device gains nothing on a processor, where torch augments images several times slower than OpenCV does;"
        " it is meant for a GPU, and cache=ram is faster here.",
    )


def open_images(index: Index, settings: Settings, arithmetic: Arithmetic) -> Images:
    """Opens the images of one split for a run, on the device where its arithmetic augments them there."""
    if arithmetic.augmentation == "torch":
        return DeviceImages(index, settings.imgsz, arithmetic.device)
    return open_cache(index, settings.imgsz, settings.cache)


def open_cache(index: Index, side_px: int, mode: str) -> ImageCache:
    """Makes the image cache for one split; auto is memory where all of it fits in a quarter of what is free."""
    if mode == "auto":
        needed = sum(
            box.inner_width_px * box.inner_height_px * 3
            for box in map(ImageCache(index, side_px, "off").letterbox, range(len(index)))
        )
        mode = "ram" if needed <= _CACHE_SHARE * available_bytes() else "off"
    known: dict[str, CacheMode] = {"ram": "ram", "disk": "disk", "off": "off"}
    return ImageCache(index, side_px, known[mode])


def assemble(
    run: PreparedRun,
    folder: RunFolder,
    stop: StopRequest,
    observe: Observer,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Loop, DiskKeeper]:
    """Does step 5: the loop, ready to run, and the keeper, which is to be closed after it."""
    settings = run.settings
    keep_freed_memory()  # here, where runs that begin and runs that go on come by
    writer = BackgroundWriter(folder.last, folder.best)
    keeper = DiskKeeper(
        folder,
        facts_of(run),
        writer,
        observe,
        keep=settings.keep,
        save_interval_s=60 * settings.save_interval,
        clock=clock,
    )
    gains = (settings.box, settings.cls, settings.dfl)
    validator = None
    if run.validation is not None and run.fitness is not None:
        validator = EpochValidator(
            run.validation,
            run.arithmetic,
            gains,
            run.fitness,
            lambda epoch, evidence: write_evidence(folder, epoch, evidence, observe),
            observe,
            stop.requested,
        )
    images, workers = open_images(run.train_index, settings, run.arithmetic), workers_of(settings, run.arithmetic)
    stopwatch = _stopwatch(run, workers, images.keeps, observe)
    loop = Loop(
        state=run.state,
        settings=settings,
        loader=TrainLoader(run.train_index, images, settings, workers),
        stepper=Stepper(run.state, _network(run, observe, stop), gains, settings.clip_grad, stopwatch),
        validate=validator,
        decide=lambda history: decide(history, rules_of(settings)),
        keeper=keeper,
        stop=stop,
        observe=observe,
        memory_bytes=lambda: memory_in_use_bytes(run.arithmetic),
        clock=clock,
        stopwatch=stopwatch,
        new_remarks=partial(_new_remarks, images, run.validation),
    )
    return loop, keeper


def _new_remarks(train: Images, validation: ValidationSet | None) -> list[str]:
    return [*train.new_remarks(), *(validation.images.new_remarks() if validation else ())]


def _network(run: PreparedRun, observe: Observer, stop: StopRequest) -> Network:
    if not run.arithmetic.compiled:
        return PlainNetwork(run.state.model, run.arithmetic)
    images = min(run.settings.batch, len(run.train_index))
    return CompiledNetwork(run.state.model, run.arithmetic, images, observe, stop.at_once)


def _stopwatch(run: PreparedRun, workers: int, images_kept: bool, observe: Observer) -> Stopwatch:
    if not run.settings.profile:
        return NOT_TIMED
    mixed = settle(device=run.arithmetic.device, amp=True, deterministic=True).precision
    facts = Facts(run.settings, run.arithmetic, workers, images_kept, mixed)
    return Profile(partial(advise, facts=facts), observe, run.arithmetic.wait)
