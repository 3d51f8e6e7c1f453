"""What is in a file that PyTorch wrote, ours or another program's? Plain data and tensors; nothing in it is ever run.

What it says is a pickle that is read by `foreign_pickle.py`; the tensors' bytes lie beside it in the zip and are read
on request. No tensor is larger than the bytes that the file brought along for it, so a file can't take more memory than
it is large. It must not know what any of it means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from peakmark.errors import ModelFileError
from peakmark.files.archive import Archive, ArchiveError, ChecksumError
from peakmark.files.foreign_pickle import MOST_BYTES, read_pickle
from peakmark.files.foreign_values import ORDERED_DICT, ForeignName, ForeignObject, PickleError
from peakmark.files.given_path import NO_FILE_WORDS, is_special

_DTYPES = {
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.BoolStorage": torch.bool,
}
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_OF_TENSORS = {*_DTYPES, _TENSOR, _PARAMETER, ORDERED_DICT}
_WRAPPERS = 3
"""Layers of wrapping around a tensor that are looked through; a file may nest them without end."""
_MOST_DIMENSIONS = 8
_MOST_USES = 4
"""Of the file's bytes, by all tensors together: one storage shared by 10,000 tensors is small until they are used."""
_DEEPEST = 40
"""Of dicts and lists in each other; a checkpoint has 8."""
_BYTE_ORDER_BYTES = 16


class UnreadableError(ValueError):
    """A file that can't be read as what PyTorch writes; the message is the end of a sentence that names the file."""


class ForeignClassesError(ValueError):
    """A file that holds objects of classes, whose names these are."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = tuple(names)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a regular file; reading from a pipe or a device could wait or go on for ever.

    Raises ModelFileError for what is no file, and OSError where the machine says no.
    """
    if is_special(path):
        raise ModelFileError(f"{path}: {NO_FILE_WORDS} that Peakmark wrote.")
    with open(path, "rb") as stream:
        yield stream


class TorchFile:
    """A file that PyTorch wrote. `stream` must stay open for as long as tensors are read."""

    def __init__(self, stream: BinaryIO) -> None:
        """Reads all but the tensors' bytes. Raises UnreadableError, and OSError."""
        try:
            self._archive = Archive(stream)
            self._folder = _folder(self._archive.names)
            order = f"{self._folder}/byteorder"
            if order in self._archive.names and self._archive.read(order, _BYTE_ORDER_BYTES) != b"little":
                raise UnreadableError("its numbers are written in another order of bytes than this machine's")
            said = read_pickle(self._archive.read(f"{self._folder}/data.pkl", MOST_BYTES))
        except ChecksumError as error:
            raise UnreadableError("what it says disagrees with its checksum") from error
        except (ArchiveError, PickleError) as error:
            raise UnreadableError(str(error)) from error
        self.root: Any = said.root
        """What the pickle says; whoever walks it must heed that it may be endless."""
        self.classes = tuple(name for name in said.names if name not in _OF_TENSORS)
        """The names that it holds besides those of tensors."""
        self._nodes_left = said.instructions
        self._bytes_left = _MOST_USES * sum(map(self._archive.size_bytes, self._archive.names))
        self._storages: dict[str, torch.Tensor] = {}

    def plain(self) -> Any:
        """Gives dicts, lists, tuples, plain values and tensors.

        Raises ForeignClassesError where there is anything else, and UnreadableError where parts are shared so often, or
        nested so deep, as no program would have written them.
        """
        classes: dict[str, None] = {}
        plain = self._plain(self.root, classes, 0)
        if classes:
            raise ForeignClassesError(tuple(classes))
        return plain

    def shape(self, value: object) -> tuple[int, ...] | None:
        """The shape of the tensor that a value of the tree stands for, None where it stands for none; reads nothing."""
        found = _unwrapped(value)
        return self._layout(found)[3] if found else None

    def tensor(self, value: object) -> torch.Tensor | None:
        """Reads the tensor that a value of the tree stands for, None where it stands for none; raises UnreadableError.

        Tensors that share bytes in the file share memory.
        """
        found = _unwrapped(value)
        return self._tensor(found) if found else None

    def _plain(self, value: Any, classes: dict[str, None], depth: int) -> Any:
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise UnreadableError("a part of it lies in itself, or is shared so often that it has no end")
        if depth > _DEEPEST:
            raise UnreadableError(f"what it says is nested deeper than {_DEEPEST}")
        if isinstance(value, dict):
            return {
                self._plain(key, classes, depth + 1): self._plain(item, classes, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            if all(type(item) is float for item in value):
                self._nodes_left -= len(value)
                return value
            items = (self._plain(item, classes, depth + 1) for item in value)
            return list(items) if isinstance(value, list) else tuple(items)
        found = _unwrapped(value)
        if found:
            return self._tensor(found)
        if isinstance(value, ForeignObject | ForeignName):
            classes[value.name] = None
        return value

    def _tensor(self, made: ForeignObject) -> torch.Tensor:
        key, dtype, offset, size, stride = self._layout(made)
        storage = self._storage(key).untyped_storage()
        itemsize = torch.empty(0, dtype=dtype).itemsize
        count, last = 1, 0
        for length, step in zip(size, stride, strict=True):
            count, last = count * length, last + (length - 1) * step
        # Torch would make the storage larger where it doesn't hold the tensor, up to all memory that there is.
        if count and not max(count, last + 1) * itemsize <= storage.nbytes() - offset * itemsize:
            raise UnreadableError("a tensor in it reaches beyond its bytes")
        self._bytes_left -= count * itemsize
        if self._bytes_left < 0:
            raise UnreadableError("its tensors share their bytes so often that they would fill the memory")
        try:
            # As `torch.load` does it: aligned for the machine's vectors, and no view of another tensor.
            return torch.empty(0, dtype=dtype).set_(storage, offset, size, stride)
        except (RuntimeError, OverflowError) as error:
            raise UnreadableError("a tensor in it has no possible shape") from error

    def _layout(self, made: ForeignObject) -> tuple[str, torch.dtype, int, tuple[int, ...], tuple[int, ...]]:
        """Storage, type, offset, size and stride."""
        try:
            (_, storage_type, key, _, _), offset, size, stride = made.args[:4]
            dtype = _DTYPES[storage_type.name]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UnreadableError("a tensor in it is of a kind unknown here") from error
        if isinstance(size, ForeignObject):
            size = size.args[0] if size.args else None
        tuples = isinstance(key, str) and all(isinstance(each, tuple) for each in (size, stride))
        if not tuples or len(size) != len(stride) or len(size) > _MOST_DIMENSIONS:
            raise UnreadableError("a tensor in it has no possible shape")
        if any(type(number) is not int or not 0 <= number < 1 << 40 for number in (offset, *size, *stride)):
            raise UnreadableError("a tensor in it has no possible shape")
        return key, dtype, offset, size, stride

    def _storage(self, key: str) -> torch.Tensor:
        if key not in self._storages:
            name = f"{self._folder}/data/{key}"
            try:
                made = torch.empty(self._archive.size_bytes(name), dtype=torch.uint8)
                self._archive.read_into(name, made.numpy().data)
            except ArchiveError as error:
                raise UnreadableError(str(error)) from error
            self._storages[key] = made
        return self._storages[key]


def _folder(names: Sequence[str]) -> str:
    found = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(found) != 1:
        raise UnreadableError("there is no data.pkl in it, as PyTorch writes one")
    folder = found[0].partition("/")[0]
    if any(name.startswith(f"{folder}/code/") for name in names):
        raise UnreadableError("it is an exported program (TorchScript), not a model's weights")
    return folder


def _unwrapped(value: object) -> ForeignObject | None:
    for _ in range(_WRAPPERS):
        if isinstance(value, ForeignObject) and value.name == _PARAMETER and value.args:
            value = value.args[0]
    return value if isinstance(value, ForeignObject) and value.name == _TENSOR else None
