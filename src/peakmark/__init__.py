"""Peakmark trains YOLOv8 object detectors, always knows which epoch was best, and goes on exactly where it stopped.

from peakmark import YOLO
results = YOLO("yolov8n.yaml").train(data="data.yaml", epochs=100, imgsz=640)
YOLO("runs/detect/train/weights/best.pt").predict("image.jpg")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from peakmark.machine.waiting import wait_briefly

if TYPE_CHECKING:
    from peakmark.api.audit import audit
    from peakmark.api.bring_in import import_model
    from peakmark.api.compare import compare
    from peakmark.api.convert import convert
    from peakmark.api.doctor import doctor
    from peakmark.api.log import log
    from peakmark.api.many.repeat import folds, seeds
    from peakmark.api.many.tune import tune
    from peakmark.api.model.results import TrainResults
    from peakmark.api.model.yolo import YOLO
    from peakmark.api.release import gate, promote
    from peakmark.api.report import make_report
    from peakmark.api.runs import diagnose, inspect, replay, strip
    from peakmark.api.select import select
    from peakmark.api.watch import watch

__all__ = [
    "YOLO",
    "TrainResults",
    "__version__",
    "audit",
    "compare",
    "convert",
    "diagnose",
    "doctor",
    "folds",
    "gate",
    "import_model",
    "inspect",
    "log",
    "make_report",
    "promote",
    "replay",
    "seeds",
    "select",
    "strip",
    "tune",
    "watch",
]
__version__ = "0.1.0"
_PLACES = {
    "YOLO": "api.model.yolo",
    "TrainResults": "api.model.results",
    "audit": "api.audit",
    "compare": "api.compare",
    "import_model": "api.bring_in",
    "convert": "api.convert",
    "doctor": "api.doctor",
    "log": "api.log",
    **dict.fromkeys(("gate", "promote"), "api.release"),
    "make_report": "api.report",
    "select": "api.select",
    "watch": "api.watch",
    "tune": "api.many.tune",
    **dict.fromkeys(("folds", "seeds"), "api.many.repeat"),
    **dict.fromkeys(("diagnose", "inspect", "replay", "strip"), "api.runs"),
}

wait_briefly()


def __getattr__(name: str) -> Any:
    # Loaded at first use: importing the package and asking for help must not cost the seconds that torch takes.
    if name in _PLACES:
        return getattr(importlib.import_module(f"peakmark.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'peakmark' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
