"""How do keys become batches ahead of need, in order, without the number of workers changing anything?

Workers are threads: decoding and warping happen in OpenCV, which lets go of the interpreter's lock, and threads share
the image cache and start at once. A batch is a pure function of its key, so what is ahead is lost without harm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch

from peakmark.data.apply import BACKGROUND, apply_plan
from peakmark.data.cache import ImageCache
from peakmark.data.index import Index
from peakmark.data.order import epoch_order
from peakmark.data.plan import draw_plan, draw_side
from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns import Batch, Sample, Truths, ValidationBatch
from peakmark.settings.fields import Settings

VALIDATION_CHUNK = 16
"""Images validated together, whatever `batch` is: grouping must not move a number."""
_BATCHES_AHEAD = 2

Key = TypeVar("Key")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Microbatch:
    """Which images of an epoch's order go through the network together: `count` from number `first` on."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class _SampleKey:
    epoch: int
    image: int
    side_px: int
    mosaic_open: bool


class TrainLoader:
    """Makes the training batches of an epoch, from any position on."""

    def __init__(self, index: Index, cache: ImageCache, settings: Settings, workers: int) -> None:
        self._index = index
        self._cache = cache
        self._settings = settings
        self._workers = workers
        self._sizes_px = np.stack((index.widths_px, index.heights_px), axis=1).astype(np.int64)

    def __len__(self) -> int:
        return len(self._index)

    def batches(self, epoch: int, microbatches: Sequence[Microbatch], *, mosaic_open: bool) -> Iterator[Batch]:
        """Yields the batches in order. Nothing is prepared beyond the ones asked for."""
        order = epoch_order(self._settings.seed, epoch, len(self._index))
        groups = [[int(image) for image in order[part.first : part.first + part.count]] for part in microbatches]
        sides = [draw_side(self._settings, epoch=epoch, first_image=part.first) for part in microbatches]
        keys = (
            _SampleKey(epoch, image, side, mosaic_open)
            for images, side in zip(groups, sides, strict=True)
            for image in images
        )
        samples = _made_ahead(self._make, keys, self._workers, _BATCHES_AHEAD * self._settings.batch)
        for images in groups:
            files = tuple(str(self._index.path(image)) for image in images)
            yield _collate(list(islice(samples, len(images))), files)

    def _make(self, key: _SampleKey) -> Sample:
        plan = draw_plan(
            self._settings,
            self._sizes_px,
            epoch=key.epoch,
            image=key.image,
            base_px=self._settings.imgsz,
            side_px=key.side_px,
            mosaic_open=key.mosaic_open,
        )
        return apply_plan(plan, self._cache.load, self._truths_of)

    def _truths_of(self, image: int) -> Truths:
        truths = self._index.truths_px(image)
        return Truths(self._cache.letterbox(image).to_inner(truths.boxes_xyxy_px), truths.classes)


def mosaic_is_open(settings: Settings, horizon: int, epoch: int) -> bool:
    """Whether mosaic and mixup may happen in this epoch: a function of the epoch, so nothing has to be switched.

    Epochs beyond the horizon are in the phase of its last one.
    """
    return min(epoch, horizon - 1) < horizon - settings.close_mosaic


def validation_batches(
    index: Index, cache: ImageCache, *, side_px: int, workers: int, images_ahead: int
) -> Iterator[ValidationBatch]:
    """Yields the letterboxed images of a set in the order of the index, in chunks of a fixed size."""

    def make(image: int) -> tuple[Sample, Letterbox, Truths]:
        box = cache.letterbox(image)
        truths = index.truths_px(image)
        square = np.full((side_px, side_px, 3), BACKGROUND, dtype=np.uint8)
        rows = slice(box.top_px, box.top_px + box.inner_height_px)
        square[rows, box.left_px : box.left_px + box.inner_width_px] = cache.load(image)
        return Sample(square, Truths(box.to_square(truths.boxes_xyxy_px), truths.classes)), box, truths

    made = _made_ahead(make, iter(range(len(index))), workers, images_ahead)
    for first in range(0, len(index), VALIDATION_CHUNK):
        images = range(first, min(first + VALIDATION_CHUNK, len(index)))
        samples, boxes, truths = zip(*islice(made, len(images)), strict=True)
        batch = _collate(samples, tuple(str(index.path(image)) for image in images))
        yield ValidationBatch(batch, boxes, truths)


def _made_ahead(make: Callable[[Key], Made], keys: Iterable[Key], workers: int, ahead: int) -> Iterator[Made]:
    """Yields `make(key)` in the order of the keys, up to `ahead` of them prepared by `workers` threads."""
    if workers == 0:
        yield from map(make, keys)
        return
    remaining = iter(keys)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="peakmark-loader")
    try:
        queue: deque[Future[Made]] = deque(pool.submit(make, key) for key in islice(remaining, ahead))
        while queue:
            made = queue.popleft().result()
            queue.extend(pool.submit(make, key) for key in islice(remaining, 1))
            yield made
    finally:
        # Reached on a stop as well: what is queued is dropped, what is being made finishes alone.
        pool.shutdown(wait=False, cancel_futures=True)


def _collate(samples: Sequence[Sample], files: tuple[str, ...]) -> Batch:
    """Joins samples; the images stay in the rows that they were drawn in, which is the channels-last layout."""
    images_BHWC = torch.from_numpy(np.stack([sample.image for sample in samples]))
    counts = torch.tensor([len(sample.truths) for sample in samples])
    return Batch(
        images_BHWC.permute(0, 3, 1, 2),
        torch.from_numpy(np.concatenate([sample.truths.boxes_xyxy_px for sample in samples])),
        torch.from_numpy(np.concatenate([sample.truths.classes for sample in samples])),
        torch.arange(len(samples)).repeat_interleave(counts),
        files,
    )
