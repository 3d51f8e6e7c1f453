"""How does a picture become a file, or bytes for a page? Whole, or cut out around each box. Pixels are BGR.

Must not know what the pictures are of, nor models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from peakmark.errors import DataError
from peakmark.files import durable
from peakmark.nouns.images import FloatArray, ImageArray

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""What pictures can be written as."""


def write_picture(target: Path, image_bgr: ImageArray) -> None:
    """Writes a picture in the format that its ending says. Raises `DataError` for other endings, and `MachineError`."""
    if target.suffix.lower() not in PICTURE_SUFFIXES:
        endings = ", ".join(sorted(PICTURE_SUFFIXES))
        raise DataError(f"{target}: {target.suffix!r} is not an ending of a picture. Use one of {endings}.")
    durable.write_bytes(target, encoded(image_bgr, target.suffix.lower()))


def encoded(image_bgr: ImageArray, suffix: str, longest_px: int | None = None) -> bytes:
    """Gives a picture's file content by its ending (.png), made smaller where a side is longer than `longest_px`."""
    longest = max(image_bgr.shape[:2])
    if longest_px is not None and longest > longest_px:
        height, width = (max(1, round(side * longest_px / longest)) for side in image_bgr.shape[:2])
        image_bgr = np.asarray(cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _, content = cv2.imencode(suffix, image_bgr)
    return content.tobytes()


def write_crops(
    folder: Path,
    stem: str,
    image_bgr: ImageArray,
    boxes_xyxy_px: FloatArray,
    classes: Sequence[int],
    names: Mapping[int, str],
) -> list[Path]:
    """Writes what is inside each box (D, 4) to FOLDER/CLASS/STEM.jpg, STEM2.jpg ... and gives the files, in order.

    Each is cut at whole px outside of its box, inside the picture. A file that is there already is never replaced: the
    next free number is taken. Raises `MachineError`.
    """
    files: list[Path] = []
    for box, number in zip(boxes_xyxy_px, classes, strict=True):
        left, top, right, bottom = _cut_px(box, width=image_bgr.shape[1], height=image_bgr.shape[0])
        file = next(name for name in _numbered(folder / folder_of_class(number, names), stem) if not name.exists())
        write_picture(file, image_bgr[top:bottom, left:right])
        files.append(file)
    return files


def folder_of_class(number: int, names: Mapping[int, str]) -> str:
    """The name of a class, where a folder can have it as it is; else with its number and what can't be left out."""
    name = names[number]
    plain = re.sub(r"[^\w .+-]", "_", name)[:100].strip(" .")
    # With the number: a/b and a_b are two classes, and "..", "" and "/" are no names of folders.
    return name if plain == name else f"{number}_{plain}"


def _cut_px(box_xyxy_px: FloatArray, *, width: int, height: int) -> tuple[int, int, int, int]:
    """At least one px in each direction: a box without area has no picture otherwise."""
    left, top, right, bottom = (float(x) for x in box_xyxy_px)
    first_x, first_y = (min(max(math.floor(x), 0), side - 1) for x, side in ((left, width), (top, height)))
    end_x, end_y = (min(math.ceil(x), side) for x, side in ((right, width), (bottom, height)))
    return first_x, first_y, max(end_x, first_x + 1), max(end_y, first_y + 1)


def _numbered(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.jpg"
    number = 2
    while True:
        yield folder / f"{stem}{number}.jpg"
        number += 1
