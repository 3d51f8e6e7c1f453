"""Which images are nearly the same picture, whatever their size, compression, brightness or flips?

In two steps. Pictures that may be alike share a part of a perceptual hash (signs of the lowest frequencies of the
cosine transform), found by sorting; whether they are alike is decided on the small pictures themselves. The hash of a
flipped picture follows from the same frequencies, so flips cost no second transform. Sorting several times by other
parts of the hash finds neighbours in time N log N (Manku, Jain, Das Sarma 2007); nothing compares all with all.

It is given small grey pictures; it must not know whose they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peakmark.machine.streams import stream
from peakmark.nouns.images import IntArray

HASH_BITS = 64
_TABLES = 24
"""Sortings by other bits. With 1 bit in 20 changed, one of them keeps 13 bits unchanged in 99.99999 % of the cases."""

_NEIGHBOURS = 8
"""How far along a sorted table pictures are compared. What bounds the work where thousands share their hash: they form
one group all the same, since being alike is passed on."""

_MOST_CHANGED_BITS = 14
_ALIKE = 0.3
"""Root mean square difference of two pictures, their means taken out, relative to their contrast. Copies that were
scaled, compressed (JPEG quality 30), brightened or flipped mostly stay below 0.1, all of it at once below 0.26; two
shots of one field of view in BCCD have 0.22; other pictures of that microscope lie above 0.5."""

_LEAST_CONTRAST = 4.0
"""Grey levels. The noise of a picture without contrast must not make it unlike another one."""

_ROUNDING = 1.0
"""A frequency below this is none: where a picture is of one colour, the sums of single precision would have signs."""

_PAIRS_AT_A_TIME = 4096
"""What bounds the memory, whatever the size of the set."""

Pictures = NDArray[np.uint8]
"""(N, S, S) grey"""


@dataclass(frozen=True, slots=True)
class AlikePairs:
    """P pairs of pictures that are nearly the same."""

    first_P: IntArray
    second_P: IntArray
    """Greater than first."""
    difference_P: NDArray[np.float32]
    """0 for the same picture, at most 0.3"""


def alike_pairs(pictures: Pictures) -> AlikePairs:
    """Finds pictures that are nearly the same. Of many that are alike among each other not every pair is given, but
    all hang together. Deterministic."""
    found: list[tuple[IntArray, NDArray[np.float32]]] = []
    bits = _hash_bits(pictures)
    for codes in _candidates(bits):
        for start in range(0, len(codes), _PAIRS_AT_A_TIME):
            part = codes[start : start + _PAIRS_AT_A_TIME]
            first, second, flip = _decoded(part, len(pictures))
            changed = (bits[first] != (bits[second] ^ _FLIPS[flip])).sum(axis=1)
            near = part[changed <= _MOST_CHANGED_BITS]
            difference = _differences(pictures, *_decoded(near, len(pictures)))
            alike = difference <= _ALIKE
            found.append((near[alike], difference[alike]))
    codes = np.concatenate([np.zeros(0, np.int64), *(part for part, _ in found)]) // len(_FLIPS)
    difference = np.concatenate([np.zeros(0, np.float32), *(part for _, part in found)])
    # The least different flip stands for a pair.
    order = np.lexsort((difference, codes))
    pairs, places = np.unique(codes[order], return_index=True)
    return AlikePairs(pairs // len(pictures), pairs % len(pictures), difference[order][places])


def differences(pictures: Pictures, first: IntArray, second: IntArray) -> NDArray[np.float32]:
    """Tells how different pictures are, pair by pair, not flipped: 0 for the same, about 1.4 for unrelated ones."""
    parts = [slice(start, start + _PAIRS_AT_A_TIME) for start in range(0, len(first), _PAIRS_AT_A_TIME)]
    unflipped = np.zeros_like(first)
    found = (_differences(pictures, first[part], second[part], unflipped[part]) for part in parts)
    return np.concatenate([np.zeros(0, np.float32), *found])


def _contrasts(pictures: Pictures) -> NDArray[np.float32]:
    """Grey levels, never less than noise has."""
    spread = pictures.std(axis=(1, 2), dtype=np.float32)
    contrast: NDArray[np.float32] = np.maximum(spread, np.float32(_LEAST_CONTRAST))
    return contrast


def _frequencies() -> IntArray:
    """The 64 lowest frequencies (down, across) of a picture without its mean, the same after a transposition."""
    all_of_them = [(down, across) for total in range(1, 11) for down in range(total + 1) for across in [total - down]]
    return np.array(all_of_them[:HASH_BITS], np.int64)


_FREQUENCIES = _frequencies()
_FLIPS: NDArray[np.bool_] = np.stack(
    [(_FREQUENCIES * flip).sum(axis=1) % 2 == 1 for flip in np.array([(0, 0), (0, 1), (1, 0), (1, 1)])]
)
"""(4, 64) bits that a flip changes: an odd frequency turns its sign. None, left to right, upside down, both."""


def _hash_bits(pictures: Pictures) -> NDArray[np.bool_]:
    """(N, 64) the signs of the lowest frequencies."""
    side = pictures.shape[1]
    waves = np.cos(np.pi * (np.arange(side) + 0.5)[None, :] * np.arange(11)[:, None] / side).astype(np.float32)
    bits = np.zeros((len(pictures), HASH_BITS), np.bool_)
    for start in range(0, len(pictures), _PAIRS_AT_A_TIME):
        part = pictures[start : start + _PAIRS_AT_A_TIME].astype(np.float32)
        spectrum = waves @ part @ waves.T
        bits[start : start + len(part)] = spectrum[:, _FREQUENCIES[:, 0], _FREQUENCIES[:, 1]] > _ROUNDING
    return bits


def _candidates(bits: NDArray[np.bool_]) -> Iterator[IntArray]:
    """Yields, table by table, the pairs that share the leading bits, as codes: (first x N + second) x 4 + flip."""
    count = len(bits)
    flipped = (bits[None] ^ _FLIPS[:, None]).reshape(-1, HASH_BITS)
    # The leading bits grow with the set, so that not more pictures share them by chance.
    leading = max(8, int(np.ceil(np.log2(max(2, len(flipped))))))
    for table in range(_TABLES):
        chosen = stream(0, "duplicates", table).permutation(HASH_BITS)
        packed = np.ascontiguousarray(np.packbits(flipped[:, chosen], axis=1))
        keys = packed.view(">u8").ravel().astype(np.uint64)
        order = np.argsort(keys, kind="stable")
        heads = keys[order] >> np.uint64(HASH_BITS - leading)
        codes = []
        for gap in range(1, _NEIGHBOURS + 1):
            (at,) = np.nonzero(heads[gap:] == heads[:-gap])
            codes.append(_coded(order[at], order[at + gap], count))
        yield np.unique(np.concatenate(codes))


def _coded(one: IntArray, other: IntArray, count: int) -> IntArray:
    flip = (one // count) ^ (other // count)
    first, second = np.minimum(one % count, other % count), np.maximum(one % count, other % count)
    codes: IntArray = ((first * count + second) * len(_FLIPS) + flip)[first != second]
    return codes


def _decoded(codes: IntArray, count: int) -> tuple[IntArray, IntArray, IntArray]:
    pairs = codes // len(_FLIPS)
    return pairs // count, pairs % count, codes % len(_FLIPS)


def _differences(pictures: Pictures, first: IntArray, second: IntArray, flip: IntArray) -> NDArray[np.float32]:
    ones = pictures[first].astype(np.float32)
    others = pictures[second].astype(np.float32)
    for rows, axes in ((flip == 1, 2), (flip == 2, 1), (flip == 3, (1, 2))):
        others[rows] = np.flip(others[rows], axes)
    contrast = np.maximum(_contrasts(pictures[first]), _contrasts(pictures[second]))
    result: NDArray[np.float32] = (ones - others).std(axis=(1, 2)) / contrast
    return result
