"""Where do two states differ first, and by how much? For a person who was told that their digests do.

It must not know where the states come from, nor why they should be the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from peakmark.checkpoint.digest import digest, parts
from peakmark.checkpoint.format import Checkpoint


def first_difference(a: Checkpoint, b: Checkpoint) -> str | None:
    """Names the first part of the state, and in it the first tensor or value, that isn't the same, bit for bit.

    None where `everything` is equal. Parts come as in `part_digests`, tensors as the network has them.
    """
    of_a, of_b = parts(a), parts(b)
    for part, value in of_a.items():
        for difference in _differences(value, of_b[part], ""):
            return f"{part}: {difference}"
    return None


def differing_parts(a: Checkpoint, b: Checkpoint) -> list[str]:
    """Names the parts of the state that aren't the same, bit for bit: those whose `part_digests` differ.

    Without hashing anything, so that it costs a run no time when it is resumed.
    """
    of_a, of_b = parts(a), parts(b)
    return [part for part, value in of_a.items() if any(_differences(value, of_b[part], ""))]


def _differences(a: Any, b: Any, place: str) -> Iterator[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in [*a, *(key for key in b if key not in a)]:
            inner = f"{place}.{key}" if place else str(key)
            if key in a and key in b:
                yield from _differences(a[key], b[key], inner)
            else:
                yield f"{inner} is in the {'first' if key in a else 'second'} only"
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        for index, (of_a, of_b) in enumerate(zip(a, b, strict=False)):
            yield from _differences(of_a, of_b, f"{place}[{index}]")
        if len(a) != len(b):
            yield f"{place} has {len(a)} entries against {len(b)}".lstrip()
    elif not _same(a, b):
        both = isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
        yield f"{place} {_of_tensors(a, b) if both else f'is {_said(a)} against {_said(b)}'}".lstrip()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        alike = (a.dtype, a.shape) == (b.dtype, b.shape)
        return alike and np.array_equal(_bytes_of(a), _bytes_of(b))
    return digest(a) == digest(b)


def _bytes_of(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """By their bytes, since 0.0 and -0.0 are equal as numbers and a NaN is not equal to itself."""
    found: NDArray[np.uint8] = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return found


def _of_tensors(a: torch.Tensor, b: torch.Tensor) -> str:
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return f"is {_said(a)} against {_said(b)}"
    one, other = (tensor.detach().cpu().contiguous().reshape(-1) for tensor in (a, b))
    rows = (_bytes_of(tensor).reshape(tensor.numel(), -1) for tensor in (one, other))
    places = np.flatnonzero((next(rows) != next(rows)).any(axis=1))
    first = int(places[0])
    index = ", ".join(str(i) for i in np.unravel_index(first, a.shape)) if a.ndim else ""
    at_most = float((one.double() - other.double()).abs().max())
    return (
        f"{tuple(a.shape)} differs in {len(places)} of {one.numel()} values, by at most {at_most:.3g}; first at "
        f"[{index}]: {one[first].item()!r} against {other[first].item()!r}"
    )


def _said(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    return repr(value)
