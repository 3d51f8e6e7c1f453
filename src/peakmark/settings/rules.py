"""Which settings can't stand together, and which have a consequence that the user should read first?

Each rule looks at settings that are right one by one, and yields what it found. No rule reads a file or the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from math import ceil
from typing import Any

from peakmark.geometry.letterbox import STRIDE_PX
from peakmark.nouns.losses import TERMS
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import (
    AuditSettings,
    BenchmarkSettings,
    CompareSettings,
    ConvertSettings,
    DoctorSettings,
    ExportSettings,
    FoldsSettings,
    GateSettings,
    ImportSettings,
    LogSettings,
    PredictSettings,
    PromoteSettings,
    ResumeSettings,
    SeedsSettings,
    Settings,
    TrackSettings,
    TuneSettings,
    ValSettings,
    WatchSettings,
)
from peakmark.settings.processes import devices_of, names_gpus
from peakmark.settings.recipe import mosaic_is_open


@dataclass(frozen=True, slots=True)
class Violation:
    """The run can't start like this."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """The run can start, and the user should know this first."""

    text: str


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Another value is used than the one that was asked for."""

    name: str
    value: Any
    text: str


Finding = Violation | Note | Adjustment


def findings(settings: SettingsModel, given: Set[str]) -> Iterator[Finding]:
    """Applies every rule for this kind of settings; `given` names the settings that the user wrote."""
    match settings:
        case Settings():
            yield from _whole_cells(settings.imgsz)
            for rule in _TRAINING_RULES:
                yield from rule(settings, given)
        case ValSettings() | GateSettings() | ImportSettings() | BenchmarkSettings():
            yield from _whole_cells(settings.imgsz)
        case ExportSettings():
            yield from _whole_cells(settings.imgsz)
            yield from _export_rules(settings, given)
        case PredictSettings():
            yield from _whole_cells(settings.imgsz)
            if settings.save_conf and not settings.save_txt:
                yield Note("save_conf=True has no effect without save_txt=True: it adds to the label files.")
            if settings.tiles is None:
                yield from _no_effect({"tile_overlap"} & given, "tiles isn't given: no picture is cut")
            if isinstance(settings, TrackSettings) and settings.conf >= settings.track_high_thresh:
                yield Note(
                    f"conf={settings.conf:g} is not below track_high_thresh={settings.track_high_thresh:g}: no weak"
                    " detections are left to keep an id by."
                )
        case ResumeSettings():
            if settings.watch == 0:
                yield from _no_effect({"on_break"} & given, "watch=0: no epoch is looked at")
        case ConvertSettings():
            if settings.split is None:
                yield from _no_effect({"seed"} & given, "no split is made: write split=0.8,0.1,0.1")
        case AuditSettings() | CompareSettings() | DoctorSettings() | PromoteSettings() | WatchSettings():
            pass
        case LogSettings() | TuneSettings() | SeedsSettings() | FoldsSettings():
            pass
        case _:
            raise TypeError(f"no rules for {type(settings).__name__}")


def _export_rules(settings: ExportSettings, given: Set[str]) -> Iterator[Finding]:
    if settings.half and settings.int8:
        yield Violation("half=True and int8=True: choose one of the two.")
    if not settings.nms:
        yield from _no_effect({"iou", "max_det"} & given, "nms=False: what uses the file decides it")
    if not settings.int8:
        yield from _no_effect({"calibrate"} & given, "int8=False: nothing is calibrated")
    if not (settings.half or settings.int8):
        yield from _no_effect({"max_drop"} & given, "half=False and int8=False: every box and score is compared")
    if settings.dynamic and settings.batch > 1:
        yield from _no_effect({"batch"} & given, "dynamic=True: any number of images comes in")


def _whole_cells(imgsz: int | None) -> Iterator[Finding]:
    if imgsz is not None and imgsz % STRIDE_PX:
        rounded = ceil(imgsz / STRIDE_PX) * STRIDE_PX
        yield Adjustment(
            "imgsz", rounded, f"imgsz={imgsz} is not a multiple of {STRIDE_PX}; {rounded} is used instead."
        )


def _one_start(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.pretrained is not None and settings.model.endswith(".pt"):
        yield Violation(
            f"model={settings.model} and pretrained={settings.pretrained} both bring weights; keep one of the two."
        )


def _something_to_learn(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if not any(getattr(settings, name) for name in TERMS):
        *others, last = (f"{name}=0" for name in TERMS)
        yield Violation(
            f"{', '.join(others)} and {last} leave no loss to learn from; give at least one a weight above 0."
        )


def _class_weights(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.cls_pw and settings.cls == 0:
        yield from _no_effect({"cls_pw"} & given, "cls=0: there is no class loss")
    elif settings.cls_pw and settings.single_cls:
        yield from _no_effect({"cls_pw"} & given, "single_cls=True: there is one class")


def _without_validation(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.val:
        return
    yield Note(
        "val=False: nothing is validated, so no epoch can be best and there will be no best.pt. Leave val=False out, "
        "or write val_period=10 to validate less often; a last.pt can be validated later with peakmark val."
    )
    yield from _no_effect(
        {"patience", "min_delta", "stop_phase", "fitness", "val_period"} & given, "nothing is validated"
    )


def _patience_off(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.val and settings.patience == 0:
        yield from _no_effect({"min_delta", "stop_phase"} & given, "patience=0: no run ends early")


def _validation_period(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if not settings.val:
        return
    if settings.val_period > settings.epochs:
        yield Note(
            f"val_period={settings.val_period} is more than epochs={settings.epochs}: "
            "only the last epoch is validated, so it is the best one."
        )
    elif 0 < settings.patience < settings.val_period:
        yield Note(
            f"patience={settings.patience} is less than val_period={settings.val_period}, and patience counts epochs: "
            "the first validation that isn't better ends the run."
        )


def _warmup(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.warmup_epochs > settings.epochs:
        yield Note(
            f"warmup_epochs={settings.warmup_epochs:g} is more than epochs={settings.epochs}: "
            "the run ends before the learning rate is reached."
        )
    if settings.warmup_epochs == 0:
        yield from _no_effect({"warmup_momentum", "warmup_bias_lr"} & given, "warmup_epochs=0: there is no warm-up")


def _mosaic_closed(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.mosaic == 0:
        yield from _no_effect({"close_mosaic"} & given, "mosaic=0: there is none to close")
    elif settings.close_mosaic is not None and not mosaic_is_open(settings.close_mosaic, settings.epochs, epoch=0):
        yield Note(
            f"close_mosaic={settings.close_mosaic} covers all of epochs={settings.epochs}, "
            "so mosaic is never on; close_mosaic=0 keeps it on."
        )


def _kept_epochs(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.save_period > settings.epochs:
        yield Note(
            f"save_period={settings.save_period} is more than epochs={settings.epochs}: no epochN.pt will be kept."
        )


def _compiled_sizes(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.compile and settings.multi_scale:
        yield Note(
            f"compile=True with multi_scale={settings.multi_scale:g}: each size that is drawn is compiled for when it"
            " first comes, which takes minutes every time; without multi_scale there is one size."
        )


def _a_device_each(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    devices = len(devices_of(settings))
    if settings.processes is not None and names_gpus(settings) and settings.processes != devices:
        yield Violation(
            f"processes={settings.processes} and device={settings.device}: each process has one GPU, so leave processes"
            " out, or name as many GPUs."
        )


def _parts_of_a_batch(settings: Settings, given: Set[str]) -> Iterator[Finding]:
    if settings.parts is not None and 1 <= settings.batch < settings.parts:
        yield Violation(f"parts={settings.parts} is more than batch={settings.batch}: a part has an image at least.")


def _no_effect(names: Set[str], because: str) -> Iterator[Finding]:
    if names:
        verb = "has" if len(names) == 1 else "have"
        yield Note(f"{' and '.join(sorted(names))} {verb} no effect, because {because}.")


_TRAINING_RULES: tuple[Callable[[Settings, Set[str]], Iterator[Finding]], ...] = (
    _one_start,
    _something_to_learn,
    _class_weights,
    _without_validation,
    _patience_off,
    _validation_period,
    _warmup,
    _mosaic_closed,
    _kept_epochs,
    _compiled_sizes,
    _a_device_each,
    _parts_of_a_batch,
)
