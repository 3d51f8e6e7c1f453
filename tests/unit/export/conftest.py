"""What the tests of exported files share: a small detector that finds something everywhere, and quick exports."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peakmark.export.about import About
from peakmark.export.format import Options, Order
from peakmark.export.formats import onnx as onnx_format
from peakmark.export.network import ExportedNetwork
from peakmark.machine.streams import stream
from peakmark.model.detector import Detector, build_detector
from peakmark.model.scales import SCALES
from peakmark.nouns.images import FloatArray

SIDE_PX = 64
NAMES = ("circle", "square", "triangle")


@pytest.fixture(scope="session")
def detector() -> Detector:
    model = build_detector(SCALES["yolov8t"], len(NAMES), seed=0)
    with torch.no_grad():
        # Statistics of what it sees: nothing dies out on the way, so that every layer bears on what comes out.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.train()(torch.from_numpy(_draw_images()))
        for branch in (*model.head.box, *model.head.cls):
            branch[-1].weight *= 1.5
    return model.eval()


def _draw_images() -> FloatArray:
    return stream(0, "images").uniform(0, 1, (3, 3, SIDE_PX, SIDE_PX)).astype(np.float32)


@pytest.fixture(scope="session")
def images() -> FloatArray:
    """(3, 3, 64, 64)"""
    return _draw_images()


class _Images(list[FloatArray]):
    """As a calibration: it can be gone through again."""


@pytest.fixture(scope="session")
def make_order(detector: Detector, images: FloatArray) -> Callable[..., Order]:
    network = ExportedNetwork(detector)

    def make(**wishes: Any) -> Order:
        options = Options(SIDE_PX, **wishes)
        inside = options.suppression
        about = About(
            names=NAMES,
            side_px=SIDE_PX,
            square=not options.dynamic,
            batch=None if options.dynamic else options.batch,
            precision="int8" if options.int8 else "float16" if options.half else "float32",
            suppression=None if inside is None else {"iou": inside.iou, "max_det": inside.max_detections},
            architecture="yolov8t",
            weights_digest="0" * 32,
            settings={"imgsz": SIDE_PX, "conf": 0.001, "single_cls": False, "classes": None},
            lineage={"epoch": 3, "license": None},
            protocol=None,
        )
        return Order(network, options, about, detector.state_dict(), _Images(image[None] for image in images))

    return make


@pytest.fixture(scope="session")
def exports_of_torch() -> dict[tuple[int, bool, int | None], Any]:
    return {}


@pytest.fixture(autouse=True)
def quick_onnx(monkeypatch: pytest.MonkeyPatch, exports_of_torch: dict[tuple[int, bool, int | None], Any]) -> None:
    """torch takes seconds for each graph; those of one network and shape are the same."""
    export = onnx_format._exported

    def once(network: torch.nn.Module, options: Options) -> Any:
        key = (id(network), options.dynamic, options.opset or (options.batch if not options.dynamic else None))
        if key not in exports_of_torch:
            exports_of_torch[key] = export(network, options)
        return copy.deepcopy(exports_of_torch[key])

    monkeypatch.setattr(onnx_format, "_exported", once)


@pytest.fixture
def place(tmp_path: Path) -> Callable[[Any, Order], Path]:
    """Writes an order in a format, as an export does, and gives the path."""

    def write(known: Any, order: Order) -> Path:
        target: Path = known.target(tmp_path / "best.pt", order.options)
        if known.is_folder:
            target.mkdir()
        known.write(order, target)
        return target

    return write
