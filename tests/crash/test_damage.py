"""A checkpoint with any byte changed, cut off anywhere or with anything behind it is refused, with a sentence."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from peakmark.checkpoint.reader import read, read_position
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError


@pytest.fixture(scope="module")
def good(tiny_checkpoint, tmp_path_factory) -> bytes:
    path: Path = tmp_path_factory.mktemp("good") / "last.pt"
    save(tiny_checkpoint, path)
    return path.read_bytes()


def refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as refused:
        read(path)
    assert path.name in str(refused.value)
    # This one verifies nothing and may be content; but it must not break in another way.
    with contextlib.suppress(ModelFileError):
        read_position(path)


def flip(path: Path, good: bytes, places: range | list[int], bit: int) -> None:
    for place in places:
        damaged = bytearray(good)
        damaged[place] ^= 1 << bit
        refuse(path, bytes(damaged))


def test_flipped_bits(good, tmp_path):
    size = len(good)
    places = [*range(64), *range(64, size - 200, 151), *range(size - 200, size)]
    flip(tmp_path / "last.pt", good, places, bit=0)
    # Bit 5 is what tells a from A: the digest is compared as it is written.
    flip(tmp_path / "last.pt", good, range(size - 64, size), bit=5)


def test_truncations(good, tmp_path):
    size = len(good)
    for length in [0, 1, 3, 4, 5, *range(64, size - 200, 307), *range(size - 120, size, 7), size - 1]:
        refuse(tmp_path / "last.pt", good[:length])


@pytest.mark.parametrize("more", [b"\0", b"peakmark-sha256:", b"x" * 80])
def test_anything_behind_or_before(good, tmp_path, more):
    refuse(tmp_path / "last.pt", good + more)
    refuse(tmp_path / "last.pt", more + good)


@pytest.mark.slow
@pytest.mark.parametrize("bit", range(8))
def test_every_bit(good, tmp_path, bit):
    flip(tmp_path / "last.pt", good, range(len(good)), bit)


@pytest.mark.slow
def test_every_truncation(good, tmp_path):
    for length in range(len(good)):
        refuse(tmp_path / "last.pt", good[:length])
