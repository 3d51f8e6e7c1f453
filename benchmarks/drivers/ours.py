"""Runs this project once and prints one JSON line, for `against_the_peer.py`.

usage: ours.py train DATA_YAML IMGSZ EPOCHS BATCH RUN_DIR [key=value ...]
       ours.py val MODEL DATA_YAML IMGSZ BATCH REPETITIONS FOLDER
       ours.py predict MODEL IMAGES_FOLDER IMGSZ REPETITIONS
       ours.py start DATA_YAML IMGSZ BATCH RUN_DIR
       ours.py learn RUN_DIR [key=value ...]          trains, for `accuracy.py`, and gives the seconds that it took
       ours.py find MODEL DATA_YAML SPLIT IMGSZ FILE   writes what best.pt finds as a COCO results file
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peakmark
from peakmark.cli.main import run as run_command
from peakmark.events import EpochEnded, Event, MicrobatchDone, TimeMeasured
from peakmark.report.terminal.console import ConsoleObserver


def _silent(event: Event) -> None:
    """In place of the terminal."""


def train(data: str, imgsz: str, epochs: str, batch: str, run: str, *pairs: str) -> dict[str, Any]:
    ends: list[float] = []
    maps: list[float] = []
    shares: dict[str, float] = {}

    def observe(event: Event) -> None:
        match event:
            case EpochEnded():
                ends.append(time.perf_counter())
                maps.append((event.record.metrics or {}).get("map50_95", 0.0))
            case TimeMeasured():
                shares.update({stage: event.timings.share(stage) for stage in event.timings.seconds})

    settings = {"model": "yolov8n.yaml", **dict(pair.split("=", 1) for pair in pairs)}
    folder = Path(run).resolve()
    images = len(list((Path(data).parent / "images" / "train").iterdir()))
    peakmark.YOLO(settings.pop("model")).train(
        observer=observe, data=data, epochs=epochs, imgsz=imgsz, batch=batch, device="cpu", project=folder.parent,
        name=folder.name, exist_ok=True, plots=False, profile=True, **settings,
    )  # fmt: skip
    epoch_s = statistics.median(later - earlier for earlier, later in itertools.pairwise(ends)) if ends[1:] else 0.0
    return {
        "train_images_per_s_with_validation": images / epoch_s if epoch_s else 0.0,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "map50_95": maps,
        "shares": shares,
    }


def val(model: str, data: str, imgsz: str, batch: str, repetitions: str, folder: str) -> dict[str, Any]:
    detector = peakmark.YOLO(model)

    def once() -> float:
        began = time.perf_counter()
        detector.val(
            data=data, imgsz=imgsz, batch=batch, device="cpu", plots=False, project=folder, observer=_silent
        )  # fmt: skip
        return time.perf_counter() - began

    return {"seconds": [once() for _ in range(1 + int(repetitions))][1:]}


def predict(model: str, images: str, imgsz: str, repetitions: str) -> dict[str, Any]:
    detector = peakmark.YOLO(model)
    paths = sorted(Path(images).iterdir())

    def one_by_one() -> float:
        began = time.perf_counter()
        for path in paths:
            detector.predict(path, imgsz=imgsz, device="cpu")
        return time.perf_counter() - began

    def the_folder() -> float:
        began = time.perf_counter()
        detector.predict(images, imgsz=imgsz, device="cpu")
        return time.perf_counter() - began

    one_by_one()
    pairs = [(one_by_one(), the_folder()) for _ in range(int(repetitions))]
    single, folder = zip(*pairs, strict=True)
    return {"single_s": [each / len(paths) for each in single], "folder_s": [each / len(paths) for each in folder]}


def start(data: str, imgsz: str, batch: str, run: str) -> dict[str, Any]:
    """The command as it is typed, up to its first step."""
    folder = Path(run).resolve()
    show = ConsoleObserver.__call__

    def watch(console: ConsoleObserver, event: Event) -> None:
        if isinstance(event, MicrobatchDone):
            print(json.dumps({"at": time.time()}), flush=True)
            os._exit(0)
        show(console, event)

    ConsoleObserver.__call__ = watch  # type: ignore[method-assign, assignment]
    given = {"data": data, "model": "yolov8n.yaml", "epochs": 1, "imgsz": imgsz, "batch": batch, "device": "cpu",
             "project": folder.parent, "name": folder.name, "exist_ok": True, "plots": False}  # fmt: skip
    sys.argv = ["peakmark", "train", *(f"{name}={value}" for name, value in given.items())]
    run_command()
    raise SystemExit("no step was made")


def learn(run: str, *pairs: str) -> dict[str, Any]:
    settings, folder = dict(pair.split("=", 1) for pair in pairs), Path(run).resolve()
    began = time.perf_counter()
    peakmark.YOLO(settings.pop("model")).train(
        observer=_silent, device="cpu", project=folder.parent, name=folder.name, exist_ok=True, plots=False, **settings
    )
    return {"wall_s": time.perf_counter() - began}


def find(model: str, data: str, split: str, imgsz: str, file: str) -> dict[str, Any]:
    place = Path(file).resolve()
    peakmark.YOLO(model).val(
        data=data, split=split, imgsz=imgsz, device="cpu", plots=False, save_json=True, project=place.parent,
        name=place.stem, exist_ok=True, observer=_silent,
    )  # fmt: skip
    found = json.loads((place.parent / place.stem / "predictions.json").read_text())
    place.write_text(json.dumps([{**one, "image_id": Path(one["file_name"]).stem} for one in found]))
    return {}


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    tasks: dict[str, Callable[..., object]] = {
        "train": train,
        "val": val,
        "predict": predict,
        "start": start,
        "learn": learn,
        "find": find,
    }
    print("\n" + json.dumps(tasks[task](*arguments)))
