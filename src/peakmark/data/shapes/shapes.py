"""What can one train on without any data? Circles, squares, triangles and stars on textured ground, drawn by code.

The set is written out once as an ordinary YOLO data set, so that every other part of the program, and the user, meets
ordinary files. What the pictures look like is `drawn_shapes.py`'s business.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2

from peakmark.data.shapes.drawn_shapes import NAMES, SIDE_PX, Picture, draw_picture
from peakmark.errors import DataError
from peakmark.files import durable
from peakmark.geometry.boxes import cxcywh_from_xyxy
from peakmark.machine.cache_folder import cache_folder
from peakmark.machine.streams import stream

IMAGE_COUNTS = {"train": 256, "val": 64}

_VERSION = 1
"""Goes up when a pixel or a label changes: in the folder's name, so that an older copy is not taken for this one."""
_SEED = 0
_JPEG_QUALITY = 95


def shapes_dataset() -> Path:
    """Gives the data.yaml of the sample set in the user's cache folder; draws it first if it isn't there (seconds).

    Raises `MachineError` if the cache folder can't be written.
    """
    folder = cache_folder() / f"shapes-{_VERSION}"
    file = folder / "data.yaml"
    return file if file.exists() else _write(folder)


def write_shapes(folder: Path) -> Path:
    """Writes the sample set as a YOLO data set into a new folder and gives its data.yaml.

    Raises `DataError` if the folder holds something, `MachineError` if it can't be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: there is something in this folder already; name a new one for the sample set.")
    return _write(folder)


def sample_picture(split: str, number: int) -> Picture:
    """Draws one picture of the sample set, before it is made a JPEG. Deterministic."""
    return draw_picture(stream(_SEED, "shapes", list(IMAGE_COUNTS).index(split), number))


def _write(folder: Path) -> Path:
    pictures = [(split, number) for split, count in IMAGE_COUNTS.items() for number in range(count)]
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(lambda picture: _write_picture(folder, *picture), pictures):
            pass  # to hear of errors
    # data.yaml comes last: where it stands, everything else does. Two processes that do this at once write the same.
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(NAMES))
    file = folder / "data.yaml"
    durable.write_text(file, f"# Drawn by code; free to use.\ntrain: images/train\nval: images/val\nnames:\n{names}")
    return file


def _write_picture(folder: Path, split: str, number: int) -> None:
    picture = sample_picture(split, number)
    bgr = cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    durable.write_bytes(folder / "images" / split / f"{number:04d}.jpg", jpeg.tobytes())
    durable.write_text(folder / "labels" / split / f"{number:04d}.txt", _label_text(picture))


def _label_text(picture: Picture) -> str:
    boxes_cxcywh_norm = cxcywh_from_xyxy(picture.boxes_xyxy_px) / SIDE_PX
    return "".join(
        f"{number} " + " ".join(f"{value:.6f}" for value in box) + "\n"
        for number, box in zip(picture.classes.tolist(), boxes_cxcywh_norm.tolist(), strict=True)
    )
