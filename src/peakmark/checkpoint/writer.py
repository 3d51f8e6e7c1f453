"""How does a checkpoint get to disk, whole and provably so, and never with a value that is not finite?

The file is what `torch.save` writes, a zip, plus a comment at its very end: `peakmark-sha256:` and the digest of every
byte before the digest. Torch ignores the comment; a flipped bit anywhere in the file makes the two disagree.
It must not know when to save or what is best; `background.py` saves without making the training wait.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from peakmark.checkpoint.format import Checkpoint, to_plain
from peakmark.errors import MachineError, TrainingError
from peakmark.files import durable

COMMENT_PREFIX = b"peakmark-sha256:"
_DIGEST_CHARACTERS = 64
COMMENT_BYTES = len(COMMENT_PREFIX) + _DIGEST_CHARACTERS

_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22
"""The end-of-directory record of a zip without a comment; the last two bytes are the comment's length."""
_BLOCK_BYTES = 1 << 20
_OVERHEAD_BYTES = 1 << 18
"""Zip headers, keys, settings and history: a few hundred bytes a tensor."""


def save(checkpoint: Checkpoint, *targets: Path, go_on: Callable[[], None] = lambda: None) -> int:
    """Writes one file under all the names in `targets`, in this order, and gives its size in bytes.

    The previous files stand until the new one is on the disk and its digest has been read back. Raises `TrainingError`,
    before anything is touched, if a value is not finite, and `MachineError` if the disk says no. `go_on` is called
    before each write and before the first name changes, and may raise what ends the save; the previous files stand
    then.
    """
    check_finite(checkpoint)
    plain = to_plain(checkpoint)
    return durable.write_durably(
        targets,
        lambda stream: write(plain, stream, go_on),
        partial(_check_what_was_written, go_on=go_on),
        expected_bytes=sum(tensor.nbytes for _, tensor in _tensors(plain, "")) + _OVERHEAD_BYTES,
    )


def write(plain: Mapping[str, Any], stream: BinaryIO, go_on: Callable[[], None] = lambda: None) -> None:
    """Writes a tree of tensors and plain values as a zip that ends in the digest of all its bytes."""
    digesting = _DigestingStream(stream, go_on)
    try:
        torch.save(plain, cast(BinaryIO, digesting))
    except RuntimeError:
        # Closing its file after a refused write, torch finds a position that it doesn't expect, and says only that: a
        # full disk, or a Ctrl-C in the middle of a write, would look like a defect.
        if digesting.stopped_by is not None:
            raise digesting.stopped_by from None
        raise
    digesting.finish()


def digest_of_file(stream: BinaryIO) -> tuple[str, bytes]:
    """Gives the digest of every byte before the file's last 64, and these: equal for a file that is whole.

    `stream` is an open file, of any content; it is read from its start.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    covered = hashlib.sha256()
    left = max(0, size - _DIGEST_CHARACTERS)
    while left > 0:
        block = stream.read(min(left, _BLOCK_BYTES))
        if not block:
            break
        covered.update(block)
        left -= len(block)
    return covered.hexdigest(), stream.read(_DIGEST_CHARACTERS)


def check_finite(checkpoint: Checkpoint) -> None:
    """Raises `TrainingError`, naming the first tensor, if the state holds a NaN or an infinity.

    A state that was saved with one can never be resumed, and it would have replaced one that could.
    """
    state = {
        "model": checkpoint.model,
        "training_weights": checkpoint.training_weights,
        "optimizer": checkpoint.optimizer,
        "scaler": checkpoint.scaler,
        "open_epoch": checkpoint.open_epoch,
    }
    for place, tensor in _tensors(state, ""):
        # By NumPy, not torch: this runs in the writer's thread, where torch's first parallel operation would start a
        # second team of threads. With more of them than cores, OpenMP puts every team to sleep between operations, and
        # each training step took 1.7 times as long from the first save on (2 cores, yolov8n).
        if tensor.is_floating_point() and not np.isfinite(tensor.numpy()).all():
            raise TrainingError(_not_finite(place))
    for place, number in _numbers(state, ""):
        if not math.isfinite(number):
            raise TrainingError(_not_finite(place))


def _not_finite(place: str) -> str:
    return (
        f"{place} holds a value that is not finite, so this state was not saved; the files of the last good one stand. "
        f"Go on from them with a lower lr0 or with amp=False."
    )


def _check_what_was_written(staged: Path, go_on: Callable[[], None]) -> None:
    with open(staged, "rb") as stream:
        computed, stored = digest_of_file(stream)
    if stored != computed.encode():
        raise MachineError(
            f"What was written for {staged.parent} reads back as something else: the disk or its cable is failing. "
            f"The previous file stands; choose a folder on another disk."
        )
    go_on()


def _tensors(value: Any, place: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield place, value
    for inner_place, inner in _inside(value, place):
        yield from _tensors(inner, inner_place)


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield place, value
    for inner_place, inner in _inside(value, place):
        yield from _numbers(inner, inner_place)


def _inside(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{place}.{key}" if place else str(key), item
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"{place}[{index}]", item


class _DigestingStream:
    """Passes on what torch writes, digests it on its way, and puts the digest into the zip's comment.

    The comment's length stands in the zip's last record, which is written before the comment: so the last bytes are
    held back until torch is done. Nothing is kept but these: a checkpoint of a large model is not in memory twice.
    """

    def __init__(self, stream: BinaryIO, go_on: Callable[[], None]) -> None:
        self._stream = stream
        self._go_on = go_on
        self._digest = hashlib.sha256()
        self._held_back = b""
        self.stopped_by: BaseException | None = None

    def write(self, data: bytes) -> int:
        buffered = self._held_back + bytes(data)
        split = max(0, len(buffered) - _ZIP_END_BYTES)
        self._pass_on(buffered[:split])
        self._held_back = buffered[split:]
        return len(data)

    def flush(self) -> None:
        self._stream.flush()

    def finish(self) -> None:
        end = self._held_back
        if not (end.startswith(_ZIP_END) and end.endswith(b"\0\0")):
            raise RuntimeError(
                "torch.save no longer ends its files as a zip without a comment; the digest has no place"
            )
        self._pass_on(end[:-2] + struct.pack("<H", COMMENT_BYTES) + COMMENT_PREFIX)
        self._stream.write(self._digest.hexdigest().encode())

    def _pass_on(self, data: bytes) -> None:
        self._digest.update(data)
        try:
            self._go_on()
            self._stream.write(data)
        except BaseException as error:
            self.stopped_by = error
            raise
