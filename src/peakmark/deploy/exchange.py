"""How do other programs read what was found in a picture? DataFrames, supervision, COCO, LabelMe, each in its form.

Libraries that only their users have are looked for when they are asked for. Must not know models or sources.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from peakmark.deploy.boxes import Boxes
from peakmark.errors import MachineError
from peakmark.shown import as_shown

_DECIMALS = 5
"""Of a px or a confidence: finer than float32 holds for a picture of 1000 px."""

_LABELME_VERSION = "5.5.0"
"""Whose form it is; newer ones read it."""


def data_frame(columns: Sequence[str], rows: Sequence[Sequence[Any]], library: Literal["pandas", "polars"]) -> Any:
    """Gives a table as a DataFrame. Raises `MachineError` where the library is not installed."""
    loaded = _loaded(library, "to_df()", f"pip install {library}; or take summary() or to_csv()")
    if library == "polars":
        return loaded.DataFrame([list(row) for row in rows], schema=list(columns), orient="row")
    return loaded.DataFrame(rows, columns=list(columns))


def supervision_detections(boxes: Boxes, names: Mapping[int, str]) -> Any:
    """Gives a `supervision.Detections`. Raises `MachineError` where supervision is not installed."""
    supervision = _loaded("supervision", "to_supervision()", "pip install supervision")
    found = boxes.numpy()
    classes = found.cls.astype(np.int64)
    return supervision.Detections(
        xyxy=found.xyxy.copy(),
        confidence=found.conf.copy(),
        class_id=classes,
        tracker_id=found.id.astype(np.int64) if found.is_track else None,
        data={"class_name": np.array([names[number] for number in classes.tolist()], dtype=str)},
    )


def _loaded(name: str, asking: str, remedy: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MachineError(f"{asking} needs {name}: {remedy}.") from error


def image_id_of(file_name: str) -> int | str:
    """COCO's number of an image: the file's name without its ending, as a number where it is one."""
    stem = Path(file_name).stem
    return int(stem) if stem.isascii() and stem.isdigit() else stem


def coco_rows(boxes: Boxes, image_id: int | str) -> list[dict[str, Any]]:
    """Gives COCO results: a dictionary a box."""
    found = boxes.numpy()
    corners = found.xyxy.astype(np.float64)
    corners[:, 2:] -= corners[:, :2]
    return [
        {
            "image_id": image_id,
            "category_id": number,
            "bbox": [round(side, _DECIMALS) for side in box],
            "score": round(score, _DECIMALS),
        }
        for box, score, number in zip(
            corners.tolist(), found.conf.tolist(), found.cls.astype(int).tolist(), strict=True
        )
    ]


def labelme_text(boxes: Boxes, names: Mapping[int, str], target: Path, picture: Path) -> str:
    """Gives the content of a LabelMe file that will lie at `target`: a rectangle a box, its confidence in words.

    The id of a tracked object is its group.
    """
    found = boxes.numpy()
    ids = found.id.astype(int).tolist() if found.is_track else [None] * len(found)
    shapes = [
        {
            "label": names[number],
            "points": [[round(x, _DECIMALS) for x in box[:2]], [round(x, _DECIMALS) for x in box[2:]]],
            "group_id": tracked,
            "description": f"confidence {score:.3f}",
            "shape_type": "rectangle",
            "flags": {},
            "mask": None,
        }
        for box, score, number, tracked in zip(
            found.xyxy.tolist(), found.conf.tolist(), found.cls.astype(int).tolist(), ids, strict=True
        )
    ]
    content: dict[str, Any] = {
        "version": _LABELME_VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": _way(target.parent, picture),
        "imageData": None,
        "imageHeight": boxes.orig_shape[0],
        "imageWidth": boxes.orig_shape[1],
    }
    return as_shown(json.dumps(content, indent=2, ensure_ascii=False), lines=True) + "\n"


def _way(folder: Path, file: Path) -> str:
    """The file as seen from a folder: a path that LabelMe follows also where both are moved together."""
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
