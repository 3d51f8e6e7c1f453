"""Are the pixels the same whatever the cache, and is a bad read never covered up?"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data import cache as cache_module
from peakmark.data.cache import ImageCache
from peakmark.data.dataset import DatasetSpec
from peakmark.data.images import Verify, decode, decode_with_remark
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index
from peakmark.errors import DataError, MachineError
from peakmark.nouns.images import ImageArray

MODES = ("off", "ram", "disk")


@pytest.fixture
def index(make_dataset: Callable[..., DatasetSpec], write_image: Callable[..., None], tmp_path: Path) -> Index:
    spec = make_dataset(count=6)
    write_image(tmp_path / "images/train/90.png", 90, width_px=300, height_px=7)
    write_image(tmp_path / "images/train/91.png", 91, width_px=32, height_px=32)
    return build_index(spec, "train")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def note(path: Path, most_px: int) -> tuple[ImageArray, str]:
        names.append(path.name)
        return decode_with_remark(path, most_px)

    monkeypatch.setattr(cache_module, "decode_with_remark", note)
    monkeypatch.setattr(cache_module, "_RETRY_PAUSES_S", (0.0, 0.0))
    return names


@pytest.mark.parametrize("side_px", [32, 64])
def test_pixels_do_not_depend_on_the_mode(index: Index, side_px: int):
    caches = [ImageCache(index, side_px, mode) for mode in MODES]  # type: ignore[arg-type]
    for _ in range(2):
        for number in range(len(index)):
            reference, *others = (cache.load(number) for cache in caches)
            box = caches[0].letterbox(number)
            assert reference.shape == (box.inner_height_px, box.inner_width_px, 3)
            assert max(reference.shape) == side_px
            for other in others:
                np.testing.assert_array_equal(other, reference)


def test_an_image_that_fits_is_left_as_it_is(index: Index):
    np.testing.assert_array_equal(ImageCache(index, 32).load(7), decode(index.path(7)))


@pytest.mark.parametrize("mode", MODES)
def test_what_is_given_cannot_be_written_to(index: Index, mode: str):
    cache = ImageCache(index, 64, mode)  # type: ignore[arg-type]
    for number in (0, 0, 7):
        with pytest.raises(ValueError, match="read-only"):
            cache.load(number)[0, 0, 0] = 1


@pytest.mark.parametrize(("mode", "times"), [("off", 2), ("ram", 1), ("disk", 1)])
def test_how_often_a_file_is_read(index: Index, decoded: list[str], mode: str, times: int):
    cache = ImageCache(index, 32, mode)  # type: ignore[arg-type]
    for _ in range(2):
        for number in range(len(index)):
            cache.load(number)
    assert len(decoded) == times * len(index)


@pytest.mark.parametrize("mode", ["ram", "disk"])
def test_the_budget_is_kept(index: Index, decoded: list[str], mode: str):
    room_for_two = 2 * 32 * 16 * 3
    cache = ImageCache(index, 32, mode, budget_bytes=room_for_two)  # type: ignore[arg-type]
    for _ in range(3):
        for number in range(6):
            cache.load(number)
    assert len(decoded) == 6 + 4 + 4


def test_processes_that_share_a_machine_share_its_memory(
    index: Index, decoded: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Four that took a third each would be killed by the kernel."""
    images = 6 * 32 * 16 * 3
    monkeypatch.setattr(cache_module, "available_bytes", lambda: 3 * images)
    for processes, is_read_again in ((1, False), (4, True)):
        decoded.clear()
        cache = ImageCache(index, 32, "ram", processes=processes)
        for number in (*range(6), *range(6)):
            cache.load(number)
        assert (len(decoded) > 6) == is_read_again


@pytest.mark.parametrize("mode", ["ram", "disk"])
def test_threads_get_the_right_images(index: Index, mode: str):
    cache, plain = ImageCache(index, 64, mode), ImageCache(index, 64)  # type: ignore[arg-type]
    numbers = [number % len(index) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(cache.load, numbers))
    for number, image in zip(numbers, images, strict=True):
        np.testing.assert_array_equal(image, plain.load(number))


def test_a_full_disk_only_ends_the_keeping(index: Index, decoded: list[str], monkeypatch: pytest.MonkeyPatch):
    cache = ImageCache(index, 32, "disk")
    cache.load(0)

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    for _ in range(2):
        np.testing.assert_array_equal(cache.load(1), ImageCache(index, 32).load(1))
        cache.load(0)
    assert decoded.count("00.png") == 1


def test_the_scratch_file_has_no_name(index: Index, own_cache: Path):
    before = sorted(own_cache.rglob("*"))
    cache = ImageCache(index, 32, "disk")
    cache.load(0)
    assert sorted(own_cache.rglob("*")) == before


def test_no_place_for_the_scratch_file(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "file"))
    with pytest.raises(MachineError, match=r"cache=disk.*PEAKMARK_CACHE"):
        ImageCache(index, 32, "disk")


def test_a_read_that_fails_is_tried_three_times(index: Index, decoded: list[str]):
    file = index.path(2)
    file.write_bytes(b"")
    with pytest.raises(DataError, match=r"02\.png: the file is empty"):
        ImageCache(index, 32).load(2)
    assert decoded == ["02.png"] * 3


def test_a_stumble_is_overcome(index: Index, monkeypatch: pytest.MonkeyPatch):
    attempts = []

    def stumble(path: Path, most_px: int) -> tuple[ImageArray, str]:
        attempts.append(path)
        if len(attempts) < 3:
            raise DataError("the disk stumbled")
        return decode_with_remark(path, most_px)

    monkeypatch.setattr(cache_module, "decode_with_remark", stumble)
    monkeypatch.setattr(cache_module, "_RETRY_PAUSES_S", (0.0, 0.0))
    np.testing.assert_array_equal(ImageCache(index, 32).load(7), decode(index.path(7)))


def test_an_image_of_another_size_is_refused(index: Index, write_image: Callable[..., None]):
    write_image(index.path(0), width_px=41)
    with pytest.raises(DataError, match=r"00\.png: the image is 41 x 20 px, but was 40 x 20"):
        ImageCache(index, 32).load(0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("verify", ["fast", "full"])
def test_what_is_odd_about_an_image_is_said_once(
    make_dataset: Callable[..., DatasetSpec], tmp_path: Path, mode: str, verify: Verify
):
    """By the index where it decoded the image, else when it is read: verify=fast looks at both ends only."""
    spec = make_dataset(count=2)
    dark = np.full((20, 40, 3), 1000, np.uint16)
    cv2.imwrite(str(tmp_path / "images/train/90.png"), dark)
    index = build_index(spec, "train", verify=verify)
    in_index = [warning for warning in index.warnings if "nearly black" in warning]
    cache = ImageCache(index, 32, mode)  # type: ignore[arg-type]
    assert cache.new_remarks() == []
    for _ in range(2):
        for number in range(3):
            cache.load(number)
    told = cache.new_remarks()
    for number in range(3):
        cache.load(number)
    assert cache.new_remarks() == []
    assert (len(in_index), len(told)) == ((1, 0) if verify == "full" else (0, 1))
    (sentence,) = in_index + told
    assert sentence.startswith("train: 1 of 3 images are used but should be seen:")
    assert f"{index.path(2)}: its 16 bits" in sentence
