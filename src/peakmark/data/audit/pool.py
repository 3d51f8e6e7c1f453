"""What do the images of all splits look like, small? One row an image, whatever split it is in, so that all compare.

A small grey picture is all that is kept of an image: its memory is bounded by 1 KB an image. What is alike is not
asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.data.audit.findings import Shown
from peakmark.data.audit.labels import show
from peakmark.data.images import decode_with_time
from peakmark.data.source.indexed_split import Index
from peakmark.data.source.survey import Progress
from peakmark.nouns.images import IntArray
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS

SIDE_PX = 32
_CHUNK = 256
"""Images in work at a time: what bounds the memory."""

Thumbnails = NDArray[np.uint8]
"""(N, 32, 32) grey, squeezed to a square"""


@dataclass(frozen=True, slots=True)
class Pool:
    """The readable images of all splits in one row."""

    indexes: tuple[Index, ...]
    split_N: NDArray[np.int8]
    """Which of the indexes an image is in."""
    row_N: IntArray
    """Its number there."""
    thumbnails: Thumbnails
    taken_at_s_N: NDArray[np.float64]
    """Seconds since 1970 by the camera's clock; NaN where unknown."""

    def __len__(self) -> int:
        return len(self.split_N)

    def index(self, image: int) -> Index:
        """Gives the index that an image is in."""
        return self.indexes[int(self.split_N[image])]

    def split(self, image: int) -> str:
        """Names the split of an image."""
        return self.index(image).split

    def file(self, image: int) -> str:
        """Gives the name of an image, relative to its split's folder."""
        return self.index(image).files[int(self.row_N[image])]

    def path(self, image: int) -> Path:
        """Gives the absolute path of an image."""
        return self.index(image).path(int(self.row_N[image]))

    def shown(self, image: int) -> Shown:
        """Gives an image to look at."""
        return Shown(self.split(image), self.path(image))

    def shown_with_labels(self, image: int) -> Shown:
        """Gives an image to look at with all its boxes."""
        index, number = self.index(image), int(self.row_N[image])
        return show(index, number, range(int(index.offsets[number]), int(index.offsets[number + 1])))

    @property
    def digests(self) -> NDArray[np.void]:
        """(N,) of each file's content."""
        joined = np.concatenate([index.digests for index in self.indexes])
        return np.ascontiguousarray(joined).view(f"V{joined.shape[1]}").ravel()


def look_at(splits: Mapping[str, Index], *, workers: int, progress: Progress | None = None) -> Pool:
    """Looks at every image once. Equal for any number of workers (threads). Raises `DataError` where a read fails."""
    indexes = tuple(splits.values())
    paths = [index.path(number) for index in indexes for number in range(len(index))]
    look = partial(_look, most_px=max((index.max_image_pixels for index in indexes), default=MAX_IMAGE_PIXELS))
    thumbnails = np.zeros((len(paths), SIDE_PX, SIDE_PX), np.uint8)
    taken_at_s = np.full(len(paths), np.nan)
    with ThreadPoolExecutor(max(1, workers)) as threads:
        for start in range(0, len(paths), _CHUNK):
            for number, (thumbnail, at_s) in enumerate(threads.map(look, paths[start : start + _CHUNK]), start):
                thumbnails[number], taken_at_s[number] = thumbnail, at_s
            if progress:
                progress(min(start + _CHUNK, len(paths)), len(paths))
    return Pool(
        indexes=indexes,
        split_N=np.repeat(np.arange(len(indexes), dtype=np.int8), [len(index) for index in indexes]),
        row_N=np.concatenate([np.arange(len(index)) for index in indexes]),
        thumbnails=thumbnails,
        taken_at_s_N=taken_at_s,
    )


def _look(path: Path, most_px: int) -> tuple[Thumbnails, float]:
    image, taken_at = decode_with_time(path, most_px)
    # Scaled before it is made grey: a 300th of the pixels is left for the second step.
    small = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return grey, taken_at.replace(tzinfo=UTC).timestamp() if taken_at else np.nan
