"""How do arrays and plain values travel between processes? As JSON and the arrays' own bytes: nothing that can be run.

It must not know what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH_BYTES = 8


def pack(plain: Any, arrays: Sequence[NDArray[Any]] = ()) -> bytes:
    """Writes a plain value (NaN and infinities may be in it) and arrays of numbers."""
    contiguous = [np.ascontiguousarray(array) for array in arrays]
    about = [(array.dtype.str, array.shape) for array in contiguous]
    head = json.dumps({"plain": plain, "arrays": about}).encode()
    return b"".join([len(head).to_bytes(_LENGTH_BYTES, "little"), head, *(array.tobytes() for array in contiguous)])


def unpack(packed: bytes) -> tuple[Any, list[NDArray[Any]]]:
    """Gives back what `pack` was given; the arrays may be written into."""
    begin = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES], "little")
    head = json.loads(packed[_LENGTH_BYTES:begin])
    arrays = []
    for kind, shape in head["arrays"]:
        dtype = np.dtype(kind)
        count = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(packed, dtype, count, begin).reshape(shape).copy())
        begin += count * dtype.itemsize
    return head["plain"], arrays
