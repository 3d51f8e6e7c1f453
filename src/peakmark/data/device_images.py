"""Which images lie on the device, as bytes, and how do the others get there when they are wanted?

One flat store: a pixel of background, the images that have a place of their own, and a part that is written over for
those that have none. What lies where never changes a pixel, so the budget may follow from free memory.
Workers only read image files here; whatever touches the device is done by the thread that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from peakmark.data.cache import ImageCache
from peakmark.data.source.indexed_split import Index
from peakmark.geometry.letterbox import BACKGROUND, Letterbox
from peakmark.machine.memory import available_bytes_on
from peakmark.nouns.images import ImageArray

CHANNELS = 3
BACKGROUND_PX = 0
"""The number of the background's pixel in the store."""
MOST_PASSING = 64
"""Images without a place that can be on the device at the same time."""

_FREE_SHARE = 0.25
"""Of the device's memory that is free when this is made. A run makes two, for training and validation; what both leave
is for the network."""


class DeviceImages:
    """The images of an index, resized for the letterbox of `side_px`, on a device."""

    def __init__(
        self, index: Index, side_px: int, device: str, budget_bytes: int | None = None, *, processes: int = 1
    ) -> None:
        """`budget_bytes`: how much is kept at most; None: a quarter of what is free on the device.

        `processes`: those that keep images on this machine; on a processor they share its memory.
        """
        self.side_px = side_px
        self._once = ImageCache(index, side_px, "off")
        self._rest = ImageCache(index, side_px, "ram", processes=processes)
        """For those that have no place: they are wanted in every epoch."""
        sharers = 1 if device.startswith("cuda") else processes
        budget = int(available_bytes_on(device) * _FREE_SHARE / sharers) if budget_bytes is None else budget_bytes
        self._start_px, self._end_px = _places(self._once.letterbox, len(index), budget // CHANNELS)
        self._is_here = np.zeros(len(index), dtype=np.bool_)
        self._waiting: dict[int, ImageArray] = {}
        """Read by a worker and not uploaded yet, so that no other worker reads it again."""
        passing_px = 0 if self.kept == len(index) else MOST_PASSING * side_px**2
        # Two pixels of a row and of the row below are looked up together, also behind the last image; with what weight
        # is another matter.
        self.pixels_P3 = torch.empty(
            (self._end_px + passing_px + side_px + 2, CHANNELS), dtype=torch.uint8, device=device
        )
        self.pixels_P3[BACKGROUND_PX] = BACKGROUND

    @property
    def kept(self) -> int:
        """How many images have a place of their own."""
        return int((self._start_px >= 0).sum())

    @property
    def keeps_all(self) -> bool:
        return self.kept == len(self._start_px)

    @property
    def keeps(self) -> bool:
        """Whether an image that was loaded is there the next time."""
        return True

    def new_remarks(self) -> list[str]:
        """Says what was odd about images that were read, as `ImageCache.new_remarks` does."""
        return [*self._once.new_remarks(), *self._rest.new_remarks()]

    def letterbox(self, number: int) -> Letterbox:
        """Gives where the image lies in its rectangle."""
        return self._once.letterbox(number)

    def width_px(self, number: int) -> int:
        """Gives the width of the image as it is kept."""
        return self.letterbox(number).inner_width_px

    def to_bring(self, number: int) -> ImageArray | None:
        """Reads an image that the device doesn't hold; None where it does. For workers.

        Raises `DataError` as `ImageCache.load`.
        """
        if self._is_here[number]:
            return None
        if self._start_px[number] < 0:
            return self._rest.load(number)
        if (waiting := self._waiting.get(number)) is not None:
            return waiting
        return self._waiting.setdefault(number, self._once.load(number))

    def bring(self, images: Mapping[int, ImageArray]) -> Callable[[int], int]:
        """Puts images on the device, and gives where the first pixel of each lies in the store.

        At most `MOST_PASSING` of them have no place of their own; those are there until the next call.
        """
        for number in images:
            self._waiting.pop(number, None)
        new = {number: image for number, image in images.items() if not self._is_here[number]}
        passing: dict[int, int] = {}
        if new:
            bytes_P3 = self._pinned(list(new.values()))
            passing = self._put(bytes_P3, {number: image.size // CHANNELS for number, image in new.items()})

        def start_of(number: int) -> int:
            return passing[number] if number in passing else int(self._start_px[number])

        return start_of

    def letterboxed(self, numbers: Sequence[int], brought: Sequence[ImageArray | None]) -> torch.Tensor:
        """Gives letterboxed images of one shape (B, 3, H, W): the bytes of the store amid the background."""
        start_of = self.bring({n: image for n, image in zip(numbers, brought, strict=True) if image is not None})
        outer = self.letterbox(numbers[0])
        shape = (len(numbers), outer.padded_height_px, outer.padded_width_px, CHANNELS)
        images_BHWC = torch.full(shape, BACKGROUND, dtype=torch.uint8, device=self.pixels_P3.device)
        for at, number in enumerate(numbers):
            box, start = self.letterbox(number), start_of(number)
            width, height = box.inner_width_px, box.inner_height_px
            inside = images_BHWC[at, box.top_px : box.top_px + height, box.left_px : box.left_px + width]
            inside.copy_(self.pixels_P3[start : start + width * height].view(height, width, CHANNELS))
        return images_BHWC.permute(0, 3, 1, 2)

    def _pinned(self, images: Sequence[ImageArray]) -> torch.Tensor:
        """Joins images in memory that a GPU can read by itself, so that nobody waits for the copy.

        A new tensor each time: torch gives pinned memory out again only when the copies from it are done.
        """
        count = sum(image.size for image in images) // CHANNELS
        joined_P3 = torch.empty((count, CHANNELS), dtype=torch.uint8, pin_memory=self.pixels_P3.is_cuda)
        np.concatenate([image.reshape(-1, CHANNELS) for image in images], out=joined_P3.numpy())
        return joined_P3

    def _put(self, joined_P3: torch.Tensor, counts: Mapping[int, int]) -> dict[int, int]:
        """Copies joined images to their places; gives where those are that have none of their own."""
        passing: dict[int, int] = {}
        taken, free = 0, self._end_px
        for number, count in counts.items():
            start = int(self._start_px[number])
            if start < 0:
                start = passing[number] = free
                free += count
            else:
                self._is_here[number] = True
            self.pixels_P3[start : start + count].copy_(joined_P3[taken : taken + count], non_blocking=True)
            taken += count
        return passing


def _places(letterbox: Callable[[int], Letterbox], count: int, budget_px: int) -> tuple[np.ndarray, int]:
    """Gives the images that come first a place, as many as the budget holds: where each begins (-1: no place), and the
    end of all."""
    start_px = np.full(count, -1, dtype=np.int64)
    first = end = BACKGROUND_PX + 1
    for number in range(count):
        box = letterbox(number)
        size_px = box.inner_width_px * box.inner_height_px
        if end - first + size_px > budget_px:
            break
        start_px[number] = end
        end += size_px
    return start_px, end
