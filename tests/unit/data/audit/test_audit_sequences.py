"""Is a sequence that was torn apart found, and a numbered collection left in peace?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from peakmark.data.audit.findings import Finding
from peakmark.data.audit.pool import Pool
from peakmark.data.audit.sequences import check_torn, find_torn
from peakmark.data.source.indexed_split import Index

MakePool = Callable[..., Pool]
MakeIndex = Callable[..., Index]
FRAMES = 60


def film(frames: int, seed: int = 0) -> NDArray[np.uint8]:
    """A camera that moves over a landscape: neighbours look much the same, distant frames don't."""
    land = np.random.default_rng(seed).uniform(0, 255, (8, 4 * frames)).astype(np.float32)
    wide = np.clip(cv2.resize(land, (frames * 16 + 32, 32), interpolation=cv2.INTER_CUBIC), 0, 255)
    return np.stack([wide[:, 3 * frame : 3 * frame + 32] for frame in range(frames)]).astype(np.uint8)


def split_up(
    make_pool: MakePool,
    make_index: MakeIndex,
    files: Sequence[str],
    val: Sequence[int],
    looks: NDArray[np.uint8] | None,
    taken_at_s: Sequence[float] | None = None,
) -> Pool:
    """A pool of these files, those with a number in `val` to validate on."""
    train = [number for number in range(len(files)) if number not in set(val)]
    order = [*train, *val]
    indexes = [
        make_index(split, [[0]] * len(numbers), files=[files[number] for number in numbers])
        for split, numbers in (("train", train), ("val", val))
    ]
    times = None if taken_at_s is None else [taken_at_s[number] for number in order]
    return make_pool(*indexes, thumbnails=None if looks is None else looks[order], taken_at_s=times)


def found_in(pool: Pool) -> list[Finding]:
    return list(check_torn(pool, find_torn(pool)))


EVERY_FIFTH = range(2, FRAMES, 5)
AT_THE_END = range(48, FRAMES)
NUMBERED = [f"clip_{number:04d}.jpg" for number in range(FRAMES)]
MOMENTS = [f"cam_2024-05-06_12-{number // 60:02d}-{number % 60:02d}_x.jpg" for number in range(FRAMES)]
MILLISECONDS = [f"{1_700_000_000_000 + 100 * number}.jpg" for number in range(FRAMES)]
NAMELESS = [f"{chr(97 + number // 26)}{chr(97 + number % 26)}.jpg" for number in range(FRAMES)]


@pytest.mark.parametrize("files", [NUMBERED, MOMENTS, MILLISECONDS])
def test_a_torn_film_is_found_by_its_names(make_pool: MakePool, make_index: MakeIndex, files: list[str]):
    (found,) = found_in(split_up(make_pool, make_index, files, EVERY_FIFTH, film(FRAMES)))
    assert (found.kind, found.severity) == ("torn sequence", "high")
    assert "1 sequence of frames torn apart: 12 images to measure with" in found.text
    assert {image.file.name for image in found.examples[0].images} == {files[1], files[2]}


def test_a_torn_film_is_found_by_the_cameras_clock(make_pool: MakePool, make_index: MakeIndex):
    seconds = [1.7e9 + 2 * number for number in range(FRAMES)]
    pool = split_up(make_pool, make_index, NAMELESS, EVERY_FIFTH, film(FRAMES), seconds)
    assert [found.kind for found in found_in(pool)] == ["torn sequence"]
    hours = [3600 * second for second in seconds]
    assert found_in(split_up(make_pool, make_index, NAMELESS, EVERY_FIFTH, film(FRAMES), hours)) == []


def test_cameras_that_record_at_once_are_told_apart_by_the_rest_of_the_name(make_pool: MakePool, make_index: MakeIndex):
    """Mixed, each frame's neighbour would be that of the other camera, which sees something else."""
    files = [f"2024-05-06_12-00-{number // 2:02d}_{'left' if number % 2 else 'right'}.jpg" for number in range(FRAMES)]
    looks = np.empty((FRAMES, 32, 32), np.uint8)
    looks[0::2], looks[1::2] = film(FRAMES // 2, seed=1), film(FRAMES // 2, seed=2)
    (found,) = found_in(split_up(make_pool, make_index, files, EVERY_FIFTH, looks))
    assert found.count == 24, "each of the 12 frames has two neighbours of its own camera"


def test_a_numbered_collection_is_no_sequence(make_pool: MakePool, make_index: MakeIndex):
    assert found_in(split_up(make_pool, make_index, NUMBERED, EVERY_FIFTH, None)) == []


def test_numbers_far_apart_are_no_neighbours(make_pool: MakePool, make_index: MakeIndex):
    files = [f"clip_{100 * number:06d}.jpg" for number in range(FRAMES)]
    assert found_in(split_up(make_pool, make_index, files, EVERY_FIFTH, film(FRAMES))) == []


def test_one_clean_cut_through_a_film_is_a_small_fault(make_pool: MakePool, make_index: MakeIndex):
    (found,) = found_in(split_up(make_pool, make_index, NUMBERED, AT_THE_END, film(FRAMES)))
    assert found.severity == "medium"
    assert ": 1 image to measure with" in found.text


def test_films_that_are_whole_in_their_splits_are_right(make_pool: MakePool, make_index: MakeIndex):
    files = [f"clip{number // 48}_{number:04d}.jpg" for number in range(FRAMES)]
    assert found_in(split_up(make_pool, make_index, files, AT_THE_END, film(FRAMES))) == []


def test_copies_that_an_export_made_are_known_by_their_names(make_pool: MakePool, make_index: MakeIndex):
    files = [f"IMG{number // 3}_jpg.rf.{number:032x}.jpg" for number in range(FRAMES)]
    (found,) = found_in(split_up(make_pool, make_index, files, [0, 30, 31, 32], None))
    assert (found.kind, found.severity, found.count) == ("copies across splits", "high", 1)
    assert [image.split for image in found.examples[0].images] == ["train", "val"]
    assert {image.file.name for image in found.examples[0].images} <= set(files[:3])
