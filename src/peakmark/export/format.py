"""What is a format? Data that the registry lists: endings, packages, options, and how a file is written and run again.

It must not know any particular format, nor how a written file is judged.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from peakmark.errors import MachineError, how_to_install
from peakmark.export.about import About
from peakmark.nouns.images import FloatArray

OPTIONS = ("dynamic", "half", "int8", "nms", "batch", "opset")
"""What a format may know of; each is a setting of `peakmark export` by the same name."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """What is decided inside of the file, where it gives detections instead of boxes and scores."""

    iou: float
    max_detections: int
    """Of an image."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a network is to be written."""

    side_px: int
    """Of a square input, or of the example where the size is free."""
    dynamic: bool = False
    """Whether any number of images of any size (multiples of 32) may come in."""
    half: bool = False
    int8: bool = False
    suppression: Suppression | None = None
    batch: int = 1
    """Images of a call, where that is not free."""
    opset: int | None = None
    """Of ONNX; None for the format's own."""


class Calibration(Protocol):
    """Training images as the network sees them, one at a time: (1, 3, H, W), 0 to 1. They can be gone through again."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[FloatArray]: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What is written, and what goes into the file with it."""

    network: torch.nn.Module
    """Images (B, 3, H, W), 0 to 1, to (B, 4 + C, A): see `network.py`."""
    options: Options
    about: About
    weights: Mapping[str, torch.Tensor]
    """The state dict behind the network, before anything was fused."""
    calibration: Calibration | None = None
    """Where int8 is wished."""


class Runtime(Protocol):
    """A written file, loaded in its own program."""

    def __call__(self, images_BCHW: FloatArray, confidence: float, every_class: bool) -> FloatArray:
        """Takes images, 0 to 1, to (B, 4 + C, A), centre, width, height in px and scores; the rest is not heeded.

        Where suppression is inside, to (B, D, 6): corners in px, score, class; rows behind the last detection are 0.
        Detections score above `confidence`; `every_class`: whether a box may be one of each class.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What is in a file: how it is run, and what it says of itself."""

    about: About | None
    """None where Peakmark didn't write it."""
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a network."""

    name: str
    """What the user writes: onnx"""
    title: str
    ending: str
    """Of the file: .onnx; of a folder: _openvino_model"""
    writes_with: tuple[str, ...]
    """Names of packages to import, that must be there to write it."""
    runs_with: tuple[str, ...]
    extra: str | None
    """Of Peakmark, that brings them; None where none is needed."""
    options: frozenset[str]
    write: Callable[[Order, Path], None] | None
    """Writes to a path, or into a folder that is there; None where this machine can't."""
    open: Callable[[Path, int], Opened] | None
    """Loads a file for so many threads; None where it was never run. Raises ModelFileError for a damaged one."""
    needs: str = ""
    """What it takes that can't be installed by an extra, and that it was never run here."""
    is_folder: bool = False

    def target(self, model: Path, options: Options) -> Path:
        """Gives the path beside the model: best.onnx, best_int8.onnx, best_openvino_model."""
        kind = "_int8" if options.int8 else "_half" if options.half else ""
        return model.with_name(f"{model.stem}{kind}{self.ending}")

    def check_packages(self, *, to_write: bool) -> None:
        """Raises MachineError where what it takes is not installed, with what brings it."""
        wanted = {*self.runs_with, *(self.writes_with if to_write else ())}
        missing = sorted(name for name in wanted if importlib.util.find_spec(name) is None)
        if missing:
            raise MachineError(
                f"format={self.name} needs {', '.join(missing)}, not installed here:"
                f" {how_to_install(self.extra or '')}."
            )


def never_run(name: str, title: str, ending: str, needs: str) -> Format:
    """Gives a format that can't be written and run where this is tested; asked for, it says what it `needs`."""
    return Format(name, title, ending, (), (), None, frozenset(), None, None, needs)
