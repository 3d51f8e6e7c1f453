"""How is an exported file used as a model? Its runtime gives boxes and scores, and the rest is what torch's get too.

Thresholds and suppression are those of `model/candidates.py`; where suppression is inside the file, only the
confidence is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.export.about import About
from peakmark.export.format import Format, Runtime
from peakmark.export.registry import format_of
from peakmark.model.candidates import Thresholds, candidates_in, suppressed
from peakmark.model.detector import Detector, decode
from peakmark.model.fuse import fused
from peakmark.nouns.images import Detections, FloatArray


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A file of another program that finds what a model of ours finds."""

    path: Path
    format: Format
    about: About
    runtime: Runtime


def open_exported(path: Path, threads: int) -> ExportedModel:
    """Loads a file that Peakmark exported. Raises ModelFileError for another, MachineError where nothing runs it."""
    known = format_of(path)
    if known is None:
        raise ModelFileError(f"{path} has no ending of an exported file.")
    path = path.parent if known.is_folder and not path.is_dir() else path
    if known.open is None:
        raise MachineError(f"{path}: format={known.name} can't be run here: it takes {known.needs}.")
    known.check_packages(to_write=False)
    opened = known.open(path, threads)
    if opened.about is None:
        raise ModelFileError(
            f"{path} was not exported by Peakmark: it doesn't say its classes and how images are to be prepared. Export"
            " it again with peakmark export model=best.pt."
        )
    return ExportedModel(path, known, opened.about, opened.runtime)


def torch_runtime(model: Detector) -> Runtime:
    """Gives the network itself, in float32: what an exported file is held against."""
    network = fused(model)

    def run(images_BCHW: FloatArray, confidence: float, every_class: bool) -> FloatArray:
        with torch.inference_mode():
            boxes_BA4, scores_BAC = decode(network(torch.from_numpy(images_BCHW)))
            first, last = boxes_BA4[..., :2], boxes_BA4[..., 2:]
            rows_BAX = torch.cat(((first + last) / 2, last - first, scores_BAC), dim=2)
            found: FloatArray = rows_BAX.transpose(1, 2).numpy()
        return found

    return run


class RuntimePredictor:
    """Finds objects in letterboxed images of one shape by a runtime: a `Detect`."""

    def __init__(self, runtime: Runtime, about: About, thresholds: Thresholds, *, one_class_per_box: bool) -> None:
        """Raises SettingsError where `thresholds` ask for what is decided inside of the file."""
        self._runtime = runtime
        self._about = about
        self._thresholds = thresholds
        self._one_class_per_box = one_class_per_box
        _check_decided(about, thresholds)

    def __call__(self, images_BCHW: torch.Tensor) -> list[Detections]:
        """Takes images (B, 3, H, W) uint8 RGB; boxes come in px of these."""
        return self.of_input(as_input(images_BCHW))

    def of_input(self, images_BCHW: FloatArray) -> list[Detections]:
        """The same for images as numbers 0 to 1."""
        return [each for part in self._parts(images_BCHW) for each in part]

    def _parts(self, images_BCHW: FloatArray) -> Iterator[list[Detections]]:
        batch = self._about.batch or len(images_BCHW)
        for start in range(0, len(images_BCHW), batch):
            images = images_BCHW[start : start + batch]
            count = len(images)
            if count < batch:
                images = np.concatenate((images, np.zeros((batch - count, *images.shape[1:]), np.float32)))
            found = self._runtime(images, self._thresholds.confidence, not self._one_class_per_box)[:count]
            yield self._decided(found) if self._about.suppression is not None else self._detections(found)

    def _detections(self, found_BXA: FloatArray) -> list[Detections]:
        rows_BAX = torch.from_numpy(np.ascontiguousarray(found_BXA)).transpose(1, 2)
        centre, size = rows_BAX[..., :2], rows_BAX[..., 2:4]
        boxes_BA4 = torch.cat((centre - size / 2, centre + size / 2), dim=2)
        limits = self._thresholds
        among = candidates_in(boxes_BA4, rows_BAX[..., 4:], limits, one_class_per_box=self._one_class_per_box)
        return suppressed(among, limits, images=len(rows_BAX))

    def _decided(self, found_BD6: FloatArray) -> list[Detections]:
        kept = [rows_D6[rows_D6[:, 4] > 0] for rows_D6 in found_BD6]
        return [
            Detections(rows[:, :4].copy(), rows[:, 4].copy(), np.rint(rows[:, 5]).astype(np.int64)) for rows in kept
        ]


def as_input(images_BCHW: torch.Tensor) -> FloatArray:
    """Takes uint8 images to numbers 0 to 1, as an exported network expects them."""
    return np.ascontiguousarray(images_BCHW.cpu().to(torch.float32).mul_(1 / 255).numpy())


def _check_decided(about: About, thresholds: Thresholds) -> None:
    if about.suppression is None:
        return
    inside = about.suppression
    wrong = []
    if thresholds.iou != inside["iou"]:
        wrong.append(f"iou={thresholds.iou:g}: {inside['iou']:g} is decided inside of this file")
    if thresholds.max_detections != inside["max_det"]:
        wrong.append(f"max_det={thresholds.max_detections}: {inside['max_det']:g} is decided inside of this file")
    if thresholds.agnostic:
        wrong.append("agnostic_nms=True: suppression is by class inside of this file")
    if thresholds.classes is not None:
        wrong.append("classes: all of them are suppressed inside of this file")
    if wrong:
        raise SettingsError([f"{text}; export without nms=True, or with these." for text in wrong])
