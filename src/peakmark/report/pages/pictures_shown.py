"""Which of a run's still pictures stand on its page? Few, and no larger than they are shown.

It must not know what is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from peakmark.markup import data_url
from peakmark.report.pages.run_files import read_file

_SHOWN: Final = (
    ("train_batch0.jpg", "training.first"),
    ("train_batch3.jpg", "training.late"),
    ("labels.jpg", "training.labels"),
)
"""File, and the key of what it shows. The fourth batch is the first without mosaic; a run without one has none."""
_WIDTH_PX: Final = 1100
_JPEG_QUALITY: Final = 75


@dataclass(frozen=True, slots=True)
class Picture:
    key: str
    """Of the words that say what it shows"""
    file_name: str
    url: str


def pictures_in(folder: Path) -> Sequence[Picture]:
    """Gives the pictures that are there. Raises `MachineError` where one can't be read."""
    return [
        Picture(key, name, data_url(small, ".jpg"))
        for name, key in _SHOWN
        if (folder / name).is_file() and (small := _small(read_file(folder / name)))
    ]


def _small(file: bytes) -> bytes:
    """The picture as a JPEG of at most `_WIDTH_PX`; empty where the file is no picture any more."""
    picture = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) if file else None
    if picture is None:
        return b""
    height, width = picture.shape[:2]
    if width > _WIDTH_PX:
        size = (_WIDTH_PX, max(1, round(height * _WIDTH_PX / width)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
