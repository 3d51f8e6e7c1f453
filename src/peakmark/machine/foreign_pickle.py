"""What does a model file of another program hold? An inert reader: nothing in the file is ever run.

A pickle is a program that calls what it names. Here every name, whatever it is, becomes a class that only remembers
what it was handed; so the file's calls build a tree of plain data and can't do anything else. Tensors are read from the
zip's raw bytes on request. The only place that unpickles. It must not know what the tree means.
"""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from peakmark.errors import ModelFileError

_STORAGE_TYPES = {
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
_WRAPPERS = 3
"""Layers of wrapping around a tensor that are looked through; a file may nest them without end."""


class ForeignObject:
    """What stands for an object of the file: the name it was made by, what it was made from, and its state."""

    name = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **keywords: Any) -> ForeignObject:
        made = super().__new__(cls)
        made.args = args
        made.state = None
        return made

    def __init__(self, *args: Any, **keywords: Any) -> None:
        """Takes whatever the file hands over; `__new__` kept it."""

    # These three are what a pickle does to an object after making it.
    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """Lets go of an item: no list or dict of another program is looked into."""

    def __setitem__(self, key: Any, item: Any) -> None:
        """As `append`."""


class _ForeignDict(dict[Any, Any]):
    """An ordered dict of the file; the attributes that it may carry are let go of."""

    def __setstate__(self, state: Any) -> None:
        """Keeps nothing."""


class _InertUnpickler(pickle.Unpickler):
    """Resolves every name to data, without importing anything."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return _ForeignDict
        return type(name, (ForeignObject,), {"name": full})

    def persistent_load(self, pid: Any) -> Any:
        return pid


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A foreign model file, read but not run."""

    path: Path
    root: Any
    """Dicts, lists, tuples, strings, numbers, and a `ForeignObject` for all else."""
    folder: str
    """Inside the zip."""

    def tensor(self, value: object) -> torch.Tensor | None:
        """Gives the tensor that a value of the tree stands for, None where it stands for none."""
        for _ in range(_WRAPPERS):
            if isinstance(value, ForeignObject) and value.name == _PARAMETER and value.args:
                value = value.args[0]
        if not isinstance(value, ForeignObject) or value.name != _TENSOR:
            return None
        try:
            (_, storage_type, key, _, _), offset, size, stride = value.args[:4]
            dtype = _STORAGE_TYPES[storage_type.name]
            with zipfile.ZipFile(self.path) as archive:
                stored = bytearray(_read(archive, f"{self.folder}/data/{key}"))
            # as_strided checks against the storage, so a file can't reach beyond what it brought along.
            flat = torch.frombuffer(stored, dtype=dtype) if stored else torch.empty(0, dtype=dtype)
            return flat.as_strided(size, stride, offset)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise _unreadable(self.path) from error


def read_foreign(path: Path) -> ForeignFile:
    """Reads a PyTorch file of another program as plain data. Raises ModelFileError where it can't be read as one."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl"))
            folder = name.partition("/")[0]
            if f"{folder}/byteorder" in archive.namelist() and _read(archive, f"{folder}/byteorder") != b"little":
                raise ValueError("big-endian")
            with archive.open(_stored(archive, name)) as stream:
                return ForeignFile(path, _unpickled(stream), folder)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(path) from error


def _unpickled(stream: Any) -> Any:
    source: BinaryIO = stream
    try:
        return _InertUnpickler(source).load()
    except Exception as error:
        # A damaged pickle fails in whatever way its bytes happen to say; the caller makes one sentence of it.
        raise ValueError("not a pickle that can be read as data") from error


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    return archive.read(_stored(archive, name))


def _stored(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Finds an entry. PyTorch never compresses, so one that is compressed is made to swell."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("compressed")
    return entry


def _unreadable(path: Path) -> ModelFileError:
    return ModelFileError(
        f"{path} can't be read as a model file of another program: it is damaged or of a kind unknown here. "
        "Give a whole .pt file, or one that Peakmark wrote."
    )
