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

from peakmark.data.augment.apply import apply_plan
from peakmark.data.augment.apply_on_device import apply_on_device
from peakmark.data.augment.device_plan import DrawnSample, drawn_sample
from peakmark.data.augment.plan import AugmentPlan, draw_plan, draw_side
from peakmark.data.cache import ImageCache, padded
from peakmark.data.device_images import DeviceImages
from peakmark.data.order import epoch_order
from peakmark.data.source.indexed_split import Index
from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns.batch import Batch, ValidationBatch
from peakmark.nouns.images import ImageArray, Truths
from peakmark.settings.fields import Settings

VALIDATION_CHUNK = 8
"""Images of one shape that are validated together, whatever `batch` is: grouping must not move a number. What is
left of a shape is padded with images that nobody looks at: more would waste more, and fewer take longer for each."""
_BATCHES_AHEAD = 2

Images = ImageCache | DeviceImages
"""Where pixels come from: on a processor workers carry the plans out, on a device the thread that asks for a batch."""

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

    def __init__(self, index: Index, images: Images, settings: Settings, workers: int, version: int) -> None:
        """`version`: of the rules of training by which images are augmented."""
        self._index = index
        self._version = version
        self._images = images
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
        if isinstance(self._images, DeviceImages):
            yield from self._batches_on_device(self._images, keys, groups)
            return
        load = self._images.load
        samples = self._ahead(lambda key: apply_plan(self._plan(key), load, self._truths_of), keys)
        for images in groups:
            made = list(islice(samples, len(images)))
            yield _collate(_stacked([sample.image for sample in made]), [s.truths for s in made], self._files(images))

    def _batches_on_device(
        self, images: DeviceImages, keys: Iterable[_SampleKey], groups: Sequence[Sequence[int]]
    ) -> Iterator[Batch]:
        """The same, but the workers only draw and read files: no torch in their threads."""

        def draw(key: _SampleKey) -> DrawnSample:
            return drawn_sample(self._plan(key), self._truths_of, images.width_px, images.to_bring)

        samples = self._ahead(draw, keys)
        for group in groups:
            drawn = list(islice(samples, len(group)))
            yield _collate(apply_on_device(drawn, images), [s.truths for s in drawn], self._files(group))

    def _ahead(self, make: Callable[[_SampleKey], Made], keys: Iterable[_SampleKey]) -> Iterator[Made]:
        return _made_ahead(make, keys, self._workers, _BATCHES_AHEAD * self._settings.batch)

    def _files(self, images: Iterable[int]) -> tuple[str, ...]:
        return tuple(str(self._index.path(image)) for image in images)

    def _plan(self, key: _SampleKey) -> AugmentPlan:
        return draw_plan(
            self._settings,
            self._sizes_px,
            epoch=key.epoch,
            image=key.image,
            base_px=self._settings.imgsz,
            side_px=key.side_px,
            mosaic_open=key.mosaic_open,
            version=self._version,
        )

    def _truths_of(self, image: int) -> Truths:
        truths, box = self._index.truths_px(image), self._images.letterbox(image)
        outlines = truths.outlines_px and [box.points_to_inner(points) for points in truths.outlines_px]
        return Truths(box.to_inner(truths.boxes_xyxy_px), truths.classes, outlines)


def validation_chunks(index: Index, images: Images, first: int | None = None) -> list[list[int]]:
    """Cuts a set, or its `first` so many images, into chunks of one shape and fixed size; gives their numbers."""
    count = len(index) if first is None else min(first, len(index))
    return list(_chunks_of_a_shape(map(images.letterbox, range(count))))


def validation_batches(
    index: Index,
    images: Images,
    *,
    workers: int,
    images_ahead: int,
    first: int | None = None,
    chunks: Sequence[list[int]] | None = None,
) -> Iterator[ValidationBatch]:
    """Yields the letterboxed images of a set, or of its `first` so many, or of some of its chunks."""
    chunks = validation_chunks(index, images, first) if chunks is None else chunks

    def make(image: int) -> tuple[ImageArray | None, Truths, Letterbox, Truths]:
        box, truths = images.letterbox(image), index.truths_px(image)
        pixels = images.to_bring(image) if isinstance(images, DeviceImages) else padded(images.load(image), box)
        return pixels, Truths(box.to_padded(truths.boxes_xyxy_px), truths.classes), box, truths

    made = _made_ahead(make, (image for chunk in chunks for image in chunk), workers, images_ahead)
    for chunk in chunks:
        pixels, in_padded, boxes, truths = zip(*islice(made, len(chunk)), strict=True)
        joined = images.letterboxed(chunk, pixels) if isinstance(images, DeviceImages) else _stacked(pixels)
        batch = _collate(joined, in_padded, tuple(str(index.path(image)) for image in chunk))
        yield ValidationBatch(batch, tuple(chunk), boxes, truths)


def _chunks_of_a_shape(letterboxes: Iterable[Letterbox]) -> Iterator[list[int]]:
    """Cuts a set into chunks, nearly in its order: a chunk comes when its last image does, what is left over last."""
    open_chunks: dict[tuple[int, int], list[int]] = {}
    for number, box in enumerate(letterboxes):
        shape = box.padded_height_px, box.padded_width_px
        chunk = open_chunks.setdefault(shape, [])
        chunk.append(number)
        if len(chunk) == VALIDATION_CHUNK:
            yield open_chunks.pop(shape)
    yield from open_chunks.values()


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


def _stacked(images: Sequence[ImageArray]) -> torch.Tensor:
    """Joins images; they stay in the rows that they were drawn in, which is the channels-last layout.

    Where a GPU is in use, in memory that it can read by itself: else the processor would wait for each copy.
    """
    joined_BHWC = torch.empty(
        (len(images), *images[0].shape),
        dtype=torch.uint8,
        pin_memory=torch.cuda.is_initialized(),  # type: ignore[no-untyped-call]
    )
    np.stack(images, out=joined_BHWC.numpy())
    return joined_BHWC.permute(0, 3, 1, 2)


def _collate(images_BCHW: torch.Tensor, truths: Sequence[Truths], files: tuple[str, ...]) -> Batch:
    counts = torch.tensor([len(own) for own in truths])
    return Batch(
        images_BCHW,
        torch.from_numpy(np.concatenate([own.boxes_xyxy_px for own in truths])),
        torch.from_numpy(np.concatenate([own.classes for own in truths])),
        torch.arange(len(truths)).repeat_interleave(counts),
        files,
    )
