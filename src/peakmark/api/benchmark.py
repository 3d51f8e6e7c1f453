"""Which format is fastest here, and what does it cost in accuracy? Each is written, compared and timed in turn.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peakmark.api.asking import checked
from peakmark.api.model.export import Reference, export_model
from peakmark.api.model.trained import arithmetic_of, data_of, trained_of
from peakmark.api.model.validate import OpenedSplit, open_split
from peakmark.errors import MachineError, PeakmarkError, SettingsError
from peakmark.events import Notice, Observer, unwatched
from peakmark.export.exported import RuntimePredictor, open_exported
from peakmark.export.exporting import Exported
from peakmark.export.footprint import footprint
from peakmark.export.registry import FORMATS, RUN_HERE
from peakmark.files.durable import write_text
from peakmark.machine.cores import default_threads
from peakmark.machine.devices import Arithmetic
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import Detector
from peakmark.model.predictor import Predictor
from peakmark.nouns.images import Detect
from peakmark.record.folder import create_run_folder
from peakmark.record.plain_json import as_json
from peakmark.run.weights import ModelSource
from peakmark.settings.fields import BenchmarkSettings, ValSettings
from peakmark.settings.parse import parse
from peakmark.settings.settings_file import with_file

_INT8 = "-int8"
_TORCH = "torch"
_WARM_UPS = 5
_AS_A_PERSON = Thresholds(0.25, 0.7, 300)


@dataclass(frozen=True, slots=True)
class Timed:
    """A format, measured on this machine with all its threads, one image at a time."""

    name: str
    """torch, onnx, onnx-int8 ..."""
    size_bytes: int
    load_s: float | None
    """Of the file, in a process of its own"""
    median_ms: float
    """Of an image: network, decoding and suppression"""
    p95_ms: float
    memory_bytes: int | None
    """By how much that process grew, with what the runtime itself takes"""
    map50_95: float | None
    difference: float | None
    """Of mAP50-95 from torch in float32, on the same images"""
    low: float | None
    """Of the 95 % interval of the difference"""
    high: float | None
    failed: str = ""
    """Why there are no numbers"""

    @property
    def images_per_s(self) -> float:
        return 1000 / self.median_ms if self.median_ms else float("nan")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All formats that were tried."""

    rows: tuple[Timed, ...]
    images: int
    side_px: int
    threads: int
    save_dir: Path


def benchmark_model(source: ModelSource, model: Detector, given: Mapping[str, Any], observe: Observer) -> Benchmark:
    """Tries all formats, or those that are asked for. Raises PeakmarkErrors of settings, data and model."""
    trained = trained_of(source, "exported")
    given = with_file(BenchmarkSettings, {**given, "model": source.name})
    names = _formats(parse(BenchmarkSettings, given).settings.formats)
    given |= {"data": data_of(trained, given.get("data"))}
    parsed, spec = checked(BenchmarkSettings, given)
    wishes = parsed.settings
    folder, said = create_run_folder(Path(wishes.project), wishes.name, exist_ok=wishes.exist_ok)
    for note in (*parsed.notes, *said):
        observe(Notice(note))
    # Exported files are squares: torch is timed on the same.
    squares = dataclasses.replace(trained, square=True)
    asked = parse(ValSettings, {name: getattr(wishes, name) for name in ("model", "data", "imgsz", "verify")})
    split = open_split(squares, asked.settings, spec, observe)
    images = [image[None] for image in _images(split, wishes.timed)]
    arithmetic = arithmetic_of(trained, "cpu", observe)
    rows = [_torch(model, arithmetic, images, Path(source.name))]
    shared = {name: getattr(wishes, name) for name in ("data", "imgsz", "images", "calibrate", "verify")}
    reference = Reference()
    for name in names:
        observe(Notice(f"{name} ..."))
        settings = {**shared, "format": name.removesuffix(_INT8), "int8": name.endswith(_INT8)}
        rows.append(_tried(name, source, model, settings, folder.path, images, reference))
    side_px = wishes.imgsz or int(trained.settings["imgsz"])
    found = Benchmark(tuple(rows), len(images), side_px, default_threads(), folder.path)
    write_text(folder.path / "benchmark.json", as_json(found, indent=2))
    return found


def _formats(wish: str) -> tuple[str, ...]:
    """Raises SettingsError for one that can't be run here, MachineError where what was asked for isn't installed."""
    known = [
        name for each in RUN_HERE for name in (each, *((f"{each}{_INT8}",) if "int8" in FORMATS[each].options else ()))
    ]
    if wish == "all":
        return tuple(name for name in known if _is_installed(name))
    asked = [part.strip() for part in wish.split(",") if part.strip()]
    others = ", ".join(known)
    unknown = [part for part in asked if part not in known]
    if unknown or not asked:
        raise SettingsError(
            [f"formats={part}: there is no such format to try; there are {others}." for part in unknown]
            or [f"formats={wish}: name at least one of {others}."]
        )
    for part in asked:
        FORMATS[part.removesuffix(_INT8)].check_packages(to_write=True)
    return tuple(asked)


def _is_installed(name: str) -> bool:
    try:
        FORMATS[name.removesuffix(_INT8)].check_packages(to_write=True)
    except MachineError:
        return False
    return True


def _images(split: OpenedSplit, most: int) -> Iterator[torch.Tensor]:
    every = (image for batch in split.data.batches() for image in batch.batch.images_BCHW)
    yield from islice(every, most)


def _torch(model: Detector, arithmetic: Arithmetic, images: Sequence[torch.Tensor], file: Path) -> Timed:
    """What `predict` does, in the arithmetic of the model's numbers; its memory is this process's own."""
    detect = Predictor(model, arithmetic, _AS_A_PERSON, chunk=1, one_class_per_box=True)
    median_ms, p95_ms = _times(detect, images)
    size = file.stat().st_size if file.is_file() else 0
    return Timed(f"{_TORCH} {arithmetic.precision}", size, None, median_ms, p95_ms, None, None, None, None, None)


def _tried(
    name: str,
    source: ModelSource,
    model: Detector,
    settings: Mapping[str, Any],
    folder: Path,
    images: Sequence[torch.Tensor],
    reference: Reference,
) -> Timed:
    nothing = (0, None, 0.0, 0.0, None, None, None, None, None)
    try:
        exported = export_model(source, model, settings, unwatched, lambda parity: True, folder, reference)
        return _measured(name, exported, images)
    except PeakmarkError as error:
        # One that fails is told in its row: the others are still worth their time.
        return Timed(name, *nothing, failed=str(error))


def _measured(name: str, exported: Exported, images: Sequence[torch.Tensor]) -> Timed:
    taken = footprint(exported.path, default_threads())
    opened = open_exported(exported.path, default_threads())
    median_ms, p95_ms = _times(
        RuntimePredictor(opened.runtime, opened.about, _AS_A_PERSON, one_class_per_box=True), images
    )
    accuracy = exported.parity.accuracy
    between = None if accuracy is None else accuracy.difference
    return Timed(
        name,
        exported.size_bytes,
        taken.load_s,
        median_ms,
        p95_ms,
        taken.memory_bytes,
        None if accuracy is None else accuracy.exported,
        None if accuracy is None else accuracy.exported - accuracy.model,
        None if between is None else between.low,
        None if between is None else between.high,
        failed="" if exported.parity.holds else "computes something else than the model",
    )


def _times(detect: Detect, images: Sequence[torch.Tensor]) -> tuple[float, float]:
    for image in images[:_WARM_UPS]:
        detect(image)
    taken_ms = []
    for image in images:
        began = time.perf_counter()
        detect(image)
        taken_ms.append(1000 * (time.perf_counter() - began))
    return float(np.median(taken_ms)), float(np.percentile(taken_ms, 95))
