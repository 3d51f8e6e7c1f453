"""Runs the peer once, by its documented Python interface alone, and prints one JSON line, for `against_the_peer.py`.

usage: PEER_PYTHON peer.py val MODEL DATA_YAML IMGSZ BATCH REPETITIONS FOLDER
       PEER_PYTHON peer.py predict MODEL IMAGES_FOLDER IMGSZ REPETITIONS
       PEER_PYTHON peer.py start DATA_YAML IMGSZ BATCH RUN_DIR
       PEER_PYTHON peer.py learn RUN_DIR [key=value ...]
       PEER_PYTHON peer.py find MODEL DATA_YAML SPLIT IMGSZ FILE
Everything that isn't named is at the peer's default. It runs in the peer's environment; nothing of it is shared.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ultralytics import YOLO  # type: ignore[import-not-found]


def val(model: str, data: str, imgsz: str, batch: str, repetitions: str, folder: str) -> dict[str, Any]:
    def once() -> float:
        detector = YOLO(model)  # read anew each time, outside of what is timed
        began = time.perf_counter()
        detector.val(
            data=data, imgsz=int(imgsz), batch=int(batch), device="cpu", plots=False, verbose=False, project=folder,
            name="val", exist_ok=True,
        )  # fmt: skip
        return time.perf_counter() - began

    return {"seconds": [once() for _ in range(1 + int(repetitions))][1:]}


def predict(model: str, images: str, imgsz: str, repetitions: str) -> dict[str, Any]:
    detector = YOLO(model)
    paths = sorted(Path(images).iterdir())

    def one_by_one() -> float:
        began = time.perf_counter()
        for path in paths:
            detector.predict(path, imgsz=int(imgsz), device="cpu", verbose=False)
        return time.perf_counter() - began

    def the_folder() -> float:
        began = time.perf_counter()
        detector.predict(images, imgsz=int(imgsz), device="cpu", verbose=False)
        return time.perf_counter() - began

    one_by_one()
    pairs = [(one_by_one(), the_folder()) for _ in range(int(repetitions))]
    single, folder = zip(*pairs, strict=True)
    return {"single_s": [each / len(paths) for each in single], "folder_s": [each / len(paths) for each in folder]}


def start(data: str, imgsz: str, batch: str, run: str) -> dict[str, Any]:
    folder = Path(run).resolve()
    detector = YOLO("yolov8n.yaml")

    def told(trainer: Any) -> None:
        print("\n" + json.dumps({"at": time.time()}), flush=True)
        os._exit(0)

    detector.add_callback("on_train_batch_end", told)
    detector.train(
        data=data, epochs=1, imgsz=int(imgsz), batch=int(batch), device="cpu", plots=False, verbose=False,
        project=str(folder.parent), name=folder.name, exist_ok=True,
    )  # fmt: skip
    raise SystemExit("no step was made")


def learn(run: str, *pairs: str) -> dict[str, Any]:
    options, folder = dict(pair.split("=", 1) for pair in pairs), Path(run).resolve()
    numbers = {name: int(value) if value.isdigit() else value for name, value in options.items()}
    began = time.perf_counter()
    YOLO(numbers.pop("model")).train(
        device="cpu", plots=False, verbose=False, project=str(folder.parent), name=folder.name, exist_ok=True, **numbers
    )
    return {"wall_s": time.perf_counter() - began}


def find(model: str, data: str, split: str, imgsz: str, file: str) -> dict[str, Any]:
    place = Path(file).resolve()
    YOLO(model).val(
        data=data, split=split, imgsz=int(imgsz), device="cpu", plots=False, verbose=False, save_json=True,
        project=str(place.parent), name=place.stem, exist_ok=True,
    )  # fmt: skip
    found = json.loads((place.parent / place.stem / "predictions.json").read_text())
    # Its files count classes from 1, and a name that is a number as that number.
    names = {str(int(path.stem)) if path.stem.isdigit() else path.stem: path.stem for path in _images(data, split)}
    for one in found:
        one["image_id"], one["category_id"] = names[str(one["image_id"])], one["category_id"] - 1
    place.write_text(json.dumps(found))
    return {}


def _images(data: str, split: str) -> list[Path]:
    return sorted((Path(data).parent / "images" / split).iterdir())


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    tasks: dict[str, Callable[..., object]] = {
        "val": val,
        "predict": predict,
        "start": start,
        "learn": learn,
        "find": find,
    }
    print("\n" + json.dumps(tasks[task](*arguments)))
