"""A checkpoint with any byte changed, cut off anywhere or with anything behind it is refused, with a sentence.

Where another good one lies beside it, that one is taken and the damage is told: whatever the damaged one says of its
place in the run, by which files are put in order before they are read.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from peakmark.checkpoint.catalogue import newest_good
from peakmark.checkpoint.reader import read, read_position
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError
from peakmark.nouns.run import Position

BITS = 8
SAMPLE = 150
OLDER, NEWER = Position(1, 4, "train", 2), Position(2, 4, "train", 4)
"""Than the file that is damaged."""


@pytest.fixture(scope="module")
def good(tiny_checkpoint, tmp_path_factory) -> bytes:
    path: Path = tmp_path_factory.mktemp("good") / "last.pt"
    save(tiny_checkpoint, path)
    return path.read_bytes()


@pytest.fixture
def beside(tiny_checkpoint, tmp_path) -> dict[Position, Path]:
    """Folders with a good best.pt that is older or newer than the last.pt that is put there."""
    folders = {OLDER: tmp_path / "older", NEWER: tmp_path / "newer"}
    for position, folder in folders.items():
        save(replace(tiny_checkpoint, position=position), folder / "best.pt")
    return folders


def refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as refused:
        read(path)
    assert path.name in str(refused.value)
    # This one doesn't look at tensors and may be content; but it must say nothing wrong, nor break in another way.
    with contextlib.suppress(ModelFileError):
        assert read_position(path) == Position(2, 0, "train", 3)


def pass_over(beside: dict[Position, Path], content: bytes) -> None:
    """The run goes on from the good file, and the damage is told, once, where it costs anything."""
    for position, folder in beside.items():
        (folder / "last.pt").write_bytes(content)
        found = newest_good(folder)
        assert (found.path.name, found.checkpoint.position) == ("best.pt", position)
        told = sum("last.pt" in sentence for sentence in found.refused)
        assert told == 1 or (told == 0 and position == NEWER)


def flipped(good: bytes, places: Iterable[int], bit: int) -> Iterable[bytes]:
    for place in places:
        damaged = bytearray(good)
        damaged[place] ^= 1 << bit
        yield bytes(damaged)


def sample(size: int, seed: int) -> list[int]:
    """Some places, with the beginning, where the file's kind is told, and the end, where its digest is."""
    anywhere = random.Random(seed).sample(range(size), SAMPLE)
    return sorted({*range(64), *anywhere, *range(size - 200, size)})


def test_flipped_bits(good, tmp_path):
    for number, place in enumerate(sample(len(good), seed=0)):
        for damaged in flipped(good, [place], bit=number % BITS):
            refuse(tmp_path / "last.pt", damaged)
    # Bit 5 is what tells a from A: the digest is compared as it is written.
    for damaged in flipped(good, range(len(good) - 64, len(good)), bit=5):
        refuse(tmp_path / "last.pt", damaged)


def test_truncations(good, tmp_path):
    size = len(good)
    for length in [0, 1, 3, 4, 5, *range(64, size - 200, 307), *range(size - 120, size, 7), size - 1]:
        refuse(tmp_path / "last.pt", good[:length])


@pytest.mark.parametrize("more", [b"\0", b"peakmark-sha256:", b"x" * 80])
def test_anything_behind_or_before(good, tmp_path, more):
    refuse(tmp_path / "last.pt", good + more)
    refuse(tmp_path / "last.pt", more + good)


def test_a_resume_passes_damage_over_and_tells_it(good, beside):
    for number, place in enumerate(sample(len(good), seed=1)[::3]):
        for damaged in flipped(good, [place], bit=number % BITS):
            pass_over(beside, damaged)
    for length in range(0, len(good), 997):
        pass_over(beside, good[:length])


@pytest.mark.parametrize("bit", [pytest.param(bit, marks=pytest.mark.slow if bit > 1 else ()) for bit in range(BITS)])
def test_a_resume_is_never_led_astray_by_a_changed_place(good, beside, bit):
    """What says where in the run the file is decides which file is taken, and is read before the rest is verified."""
    at = good.index(b"position")
    for damaged in flipped(good, range(at, at + 60), bit):
        pass_over(beside, damaged)


@pytest.mark.slow
@pytest.mark.parametrize("bit", range(BITS))
def test_every_bit(good, tmp_path, bit):
    for damaged in flipped(good, range(len(good)), bit):
        refuse(tmp_path / "last.pt", damaged)


@pytest.mark.slow
def test_every_truncation(good, tmp_path):
    for length in range(len(good)):
        refuse(tmp_path / "last.pt", good[:length])


@pytest.mark.slow
def test_a_resume_passes_over_every_byte_s_damage(good, beside):
    for place in range(len(good)):
        for damaged in flipped(good, [place], bit=place % BITS):
            pass_over(beside, damaged)
