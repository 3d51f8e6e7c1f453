"""How does a picture larger than a tile go through a detector, tile by tile, and come back as one result?

A picture that one tile holds goes as if there were no tiles, bit for bit. Each tile is letterboxed as any image, so a
detector can't tell it from one. In memory are a picture and a batch of its tiles. Must not know sources or models.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import torch

from peakmark.data.cache import padded, resize_into
from peakmark.data.loader import VALIDATION_CHUNK
from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Frame
from peakmark.deploy.predict import batch_of, keep_classes, predict, to_bgr
from peakmark.deploy.results import Results
from peakmark.deploy.tiled.layout import Tiling
from peakmark.deploy.tiled.merging import merge
from peakmark.events import Notice, Observer
from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns.images import Detect, Detections, ImageArray

_CELL_PX = 8
"""The finest cells of a detector: what is smaller is hardly found."""
_SHRUNK_MUCH = 4


def predict_in_tiles(
    frames: Iterable[Frame],
    detect: Detect,
    *,
    tiling: Tiling,
    names: Sequence[str],
    side_px: int,
    square: bool = False,
    max_detections: int,
    agnostic: bool,
    observer: Observer,
    batch: int = 1,
    classes: Collection[int] | None = None,
) -> Iterator[Results]:
    """Gives the results of each frame as `predict` does; frames that are larger than a tile are looked at in tiles.

    `max_detections` are kept of a picture, and as many `detect` may give of a tile; `observer` is told once where that
    leaves out any. `agnostic`: whether boxes of two classes can be one object.
    """
    looking = _Looking(detect, tiling, side_px, square, batch, max_detections, agnostic)
    kept_classes = None if classes is None else np.array(list(classes), dtype=np.int64)
    is_told = False
    for cuts, group in itertools.groupby(frames, lambda frame: tiling.cuts(*frame.image.shape[1::-1])):
        if not cuts:
            yield from predict(group, detect, names=names, side_px=side_px, square=square, batch=batch, classes=classes)
            continue
        for frame in group:
            began_at = time.perf_counter()
            found, is_full = looking.at(frame.image)
            if is_full and not is_told:
                is_told = True
                text = f"more was found than max_det={max_detections} keeps of a picture or a tile. Raise max_det."
                observer(Notice(f"{frame.origin.text}: {text}", serious=True))
            boxes = Boxes.from_detections(keep_classes(found, kept_classes), frame.image.shape[:2])
            took_ms = 1000 * (time.perf_counter() - began_at)
            speed_ms = {
                "preprocess": looking.prepared_ms,
                "inference": looking.detected_ms,
                "postprocess": max(0.0, took_ms - looking.prepared_ms - looking.detected_ms),
            }
            result = Results(to_bgr(frame.image), boxes, dict(enumerate(names)), frame.origin, speed_ms)
            del frame  # only the caller's hold keeps a picture alive
            yield result


class _Looking:
    """Looks at one picture after the other, and knows how long the last one took."""

    def __init__(
        self,
        detect: Detect,
        tiling: Tiling,
        side_px: int,
        square: bool,
        batch: int,
        max_detections: int,
        agnostic: bool,
    ) -> None:
        self._detect = detect
        self._tiling = tiling
        self._side_px = side_px
        self._square = square
        self._batch = batch
        self._max_detections = max_detections
        self._agnostic = agnostic
        self.prepared_ms = 0.0
        self.detected_ms = 0.0

    def at(self, image: ImageArray) -> tuple[Detections, bool]:
        """Gives what is in a picture, in px of it, and whether more was found than may be kept."""
        self.prepared_ms = self.detected_ms = 0.0
        height_px, width_px = image.shape[:2]
        grid = self._tiling.grid(width_px, height_px)
        tiles = grid.tiles_xyxy_px
        of_tiles: list[Detections] = []
        for start in range(0, len(tiles), self._batch):
            of_tiles += self._in_windows(image, tiles[start : start + self._batch])
        [of_whole] = self._in_windows(image, [(0, 0, width_px, height_px)])
        merged = merge(
            grid,
            of_tiles,
            of_whole,
            edge_px=self._tiling.edge_px,
            whole_px=self._tiling.whole_px,
            seen_px=(self._tiling.size_px / self._side_px, max(width_px, height_px) / self._side_px),
            agnostic=self._agnostic,
        )
        most = self._max_detections
        is_full = len(merged) > most or any(len(found) == most for found in of_tiles)
        return Detections(merged.boxes_xyxy_px[:most], merged.scores[:most], merged.classes[:most]), is_full

    def _in_windows(self, image: ImageArray, windows: Sequence[tuple[int, int, int, int]]) -> list[Detections]:
        """What is in windows of one size, in px of the picture."""
        began_at = time.perf_counter()
        left, top, right, bottom = windows[0]
        letterbox = Letterbox(right - left, bottom - top, self._side_px, self._square)
        parts = [np.ascontiguousarray(image[top:bottom, left:right]) for left, top, right, bottom in windows]
        images = np.stack([padded(resize_into(part, letterbox), letterbox) for part in parts])
        images_BCHW = torch.from_numpy(images).permute(0, 3, 1, 2)
        prepared_at = time.perf_counter()
        found = self._detect(images_BCHW)
        self.prepared_ms += 1000 * (prepared_at - began_at)
        self.detected_ms += 1000 * (time.perf_counter() - prepared_at)
        return [
            Detections(
                letterbox.to_original(each.boxes_xyxy_px) + np.array([left, top, left, top], np.float32),
                each.scores,
                each.classes,
            )
            for each, (left, top, _, _) in zip(found, windows, strict=True)
        ]


def batch_with_tiles(frames: Iterator[Frame], tiling: Tiling | None) -> tuple[int, Iterator[Frame]]:
    """Gives how many images are best looked at together, as `batch_of`: a picture in tiles is several images."""
    batch, frames = batch_of(frames)
    first = next(frames, None)
    if first is None:
        return batch, frames
    frames = itertools.chain((first,), frames)
    if tiling is not None and tiling.cuts(*first.image.shape[1::-1]):
        return VALIDATION_CHUNK, frames
    return batch, frames


def saying_what_is_shrunk(frames: Iterator[Frame], side_px: int, observer: Observer) -> Iterator[Frame]:
    """The same frames; the first one that is made very much smaller is said, with what can't be found then."""
    is_told = False
    for frame in frames:
        times = max(frame.image.shape[:2]) / side_px
        if times > _SHRUNK_MUCH and not is_told:
            is_told = True
            # Without the picture's name and size: a program that predicts one by one is told once, not at each.
            observer(
                Notice(
                    f"Pictures are made {round(times)} times smaller for imgsz={side_px}: what is under"
                    f" {_CELL_PX * round(times)} px there is hardly found. tiles={side_px} looks at every part in full"
                    " size."
                )
            )
        yield frame
