"""Where do an image's pixels come from the second time? From memory, from a scratch file, or from the image file again.

An image is kept as the letterbox of one side wants it. Its pixels are the same whatever the mode, so that a cache never
changes a result. Which images are wanted when, this file must not know.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np

from peakmark.data.images import decode_with_remark
from peakmark.data.source.indexed_split import Index
from peakmark.data.source.split_notes import remarks_note
from peakmark.errors import DataError, MachineError
from peakmark.files import disk
from peakmark.geometry.letterbox import BACKGROUND, Letterbox
from peakmark.machine.cache_folder import cache_folder
from peakmark.machine.memory import available_bytes
from peakmark.nouns.images import ImageArray

CacheMode = Literal["off", "ram", "disk"]

_FREE_SHARE = 0.35
"""Of the memory or disk that is free when a cache is made. A run makes two, for training and validation, before either
of them is filled; what both leave is for the model and for others."""

_RETRY_PAUSES_S = (0.1, 0.5)
"""Before the second and the third attempt to read an image."""


class _Store(Protocol):
    """Keeps images by number; may forget to. Called by several threads at once."""

    def get(self, number: int) -> ImageArray | None: ...

    def put(self, number: int, image: ImageArray) -> None: ...


class ImageCache:
    """Loads the images of an index, resized for the letterbox of `side_px`."""

    def __init__(
        self,
        index: Index,
        side_px: int,
        mode: CacheMode = "off",
        budget_bytes: int | None = None,
        *,
        square: bool = False,
        processes: int = 1,
    ) -> None:
        """`budget_bytes`: how much is kept at most; None: a third of the memory or disk that is free, of which each of
        the `processes` that keep images on this machine has its share. `square`: as of a letterbox.

        Raises `MachineError` if the scratch file of mode `disk` can't be made.
        """
        self._index = index
        self._side_px = side_px
        self._square = square
        self._store = _make_store(mode, budget_bytes, processes)
        self._remarks: dict[int, str] = {}
        """Of each image about which something was odd when it was read. Kept, so that each is told once."""
        self._told: set[int] = set()

    @property
    def keeps(self) -> bool:
        """Whether an image that was loaded is there the next time."""
        return self._store is not None

    def load(self, number: int) -> ImageArray:
        """Gives an image in RGB, exactly as large as the inside of its letterbox; it must not be written to.

        Raises `DataError` with the file's name if it can't be read any more or has another size than when indexed; no
        other image is ever given instead.
        """
        if self._store is not None and (kept := self._store.get(number)) is not None:
            return kept
        image = self._read(number)
        if self._store is not None:
            self._store.put(number, image)
        # In every mode, so that a write into a shared array fails at once and not only for who uses a cache.
        image.flags.writeable = False
        return image

    def letterbox(self, number: int) -> Letterbox:
        """Gives where the image lies in its rectangle."""
        width_px, height_px = int(self._index.widths_px[number]), int(self._index.heights_px[number])
        return Letterbox(width_px, height_px, self._side_px, self._square)

    def new_remarks(self) -> list[str]:
        """Says what was odd about images that were read since this was last asked, a sentence if there are any.

        Each image is told once, and not where the index has told it. To be asked by one thread.
        """
        new = sorted(self._remarks.copy().keys() - self._told)
        self._told.update(new)
        named = [f"{self._index.path(number)}: {self._remarks[number]}" for number in new]
        return [remarks_note(self._index.split, named, len(self._index))] if named else []

    def _read(self, number: int) -> ImageArray:
        path, box = self._index.path(number), self.letterbox(number)
        image, remark = _decode_patiently(path, self._index.max_image_pixels)
        if remark and self._index.files[number] not in self._index.remarked:
            self._remarks[number] = remark
        if image.shape[:2] != (box.height_px, box.width_px):
            raise DataError(
                f"{path}: the image is {image.shape[1]} x {image.shape[0]} px, but was {box.width_px} x "
                f"{box.height_px} when the data was indexed; don't change the data during a run, and start again."
            )
        return resize_into(image, box)


def resize_into(image: ImageArray, box: Letterbox) -> ImageArray:
    """Gives the image exactly as large as the inside of its letterbox; training, validation and prediction share it."""
    width_px, height_px = box.inner_width_px, box.inner_height_px
    if (box.width_px, box.height_px) == (width_px, height_px):
        return image
    # Shrinking by interpolation would skip pixels, and thin objects with them.
    shrinks = width_px < box.width_px or height_px < box.height_px
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=method), dtype=np.uint8)


def padded(inner: ImageArray, box: Letterbox) -> ImageArray:
    """Gives a resized image in the middle of the rectangle of its letterbox; the rest is grey."""
    image = np.full((box.padded_height_px, box.padded_width_px, 3), BACKGROUND, dtype=np.uint8)
    rows = slice(box.top_px, box.top_px + box.inner_height_px)
    image[rows, box.left_px : box.left_px + box.inner_width_px] = inner
    return image


def _decode_patiently(path: Path, max_image_pixels: int) -> tuple[ImageArray, str]:
    """Decodes a file that could be read when it was indexed: a network disk may stumble, so it is tried three times."""
    for pause_s in _RETRY_PAUSES_S:
        try:
            return decode_with_remark(path, max_image_pixels)
        except DataError:
            time.sleep(pause_s)
    return decode_with_remark(path, max_image_pixels)


def _make_store(mode: CacheMode, budget_bytes: int | None, processes: int) -> _Store | None:
    share = _FREE_SHARE / processes
    if mode == "ram":
        return _MemoryStore(int(available_bytes() * share) if budget_bytes is None else budget_bytes)
    if mode == "disk":
        return _ScratchStore(cache_folder(), budget_bytes, share)
    return None


class _MemoryStore:
    """Keeps the images that come first, as many as the budget holds.

    Nothing is ever dropped for another: an epoch passes over all images, so the oldest one is the one needed next.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._images: dict[int, ImageArray] = {}
        self._left_bytes = budget_bytes
        self._lock = threading.Lock()

    def get(self, number: int) -> ImageArray | None:
        return self._images.get(number)

    def put(self, number: int, image: ImageArray) -> None:
        with self._lock:
            if number not in self._images and image.nbytes <= self._left_bytes:
                self._images[number] = image
                self._left_bytes -= image.nbytes


class _ScratchStore:
    """Keeps the images in one nameless file: it belongs to this run and is gone with it, even after a crash."""

    def __init__(self, folder: Path, budget_bytes: int | None, share: float) -> None:
        """`share`: of the free disk, where no budget is given."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Nothing to flush or rename here: no one can find this file later, so a torn one can mislead no one.
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - lives as long as the cache
            free_bytes = disk.free_bytes(folder)
        except OSError as error:
            raise MachineError(
                f"cache=disk: {folder} can't be written ({error.strerror}); set PEAKMARK_CACHE to a folder that "
                "can, or take cache=ram or cache=False."
            ) from error
        self._end_byte = 0
        self._budget_bytes = int(free_bytes * share) if budget_bytes is None else budget_bytes
        self._places: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._lock = threading.Lock()

    def get(self, number: int) -> ImageArray | None:
        place = self._places.get(number)
        if place is None:
            return None
        start_byte, shape = place
        image = np.empty(shape, np.uint8)
        if self._read(image.reshape(-1).data, start_byte) != image.nbytes:
            return None
        image.flags.writeable = False
        return image

    def _read(self, into: memoryview, start_byte: int) -> int:
        """Gives the number of bytes that were there."""
        if hasattr(os, "preadv"):
            # By position, never by seeking: threads share the file.
            return os.preadv(self._file.fileno(), [into], start_byte)
        with self._lock:
            self._file.seek(start_byte)
            return self._file.readinto(into) or 0

    def _write(self, image: memoryview) -> int:
        """Adds to the end, for whoever has the lock; gives the number of bytes that were taken."""
        if hasattr(os, "pwrite"):
            return os.pwrite(self._file.fileno(), image, self._end_byte)
        self._file.seek(self._end_byte)
        return self._file.write(image)

    def put(self, number: int, image: ImageArray) -> None:
        with self._lock:
            if number in self._places or self._end_byte + image.nbytes > self._budget_bytes:
                return
            try:
                written = self._write(np.ascontiguousarray(image).reshape(-1).data)
            except OSError:
                written = 0
            if written != image.nbytes:  # the disk is full: keep what is there, read the rest from the image files
                self._budget_bytes = 0
                return
            self._places[number] = self._end_byte, image.shape
            self._end_byte += written
