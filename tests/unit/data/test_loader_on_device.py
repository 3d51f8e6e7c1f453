"""Images on a device: the same batches for any number of workers or place of the bytes, letterboxed images as ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from peakmark.data import cache as cache_module
from peakmark.data.cache import ImageCache
from peakmark.data.dataset import DatasetSpec
from peakmark.data.device_images import DeviceImages
from peakmark.data.images import decode_with_remark
from peakmark.data.index import build_index
from peakmark.data.loader import Microbatch, TrainLoader, validation_batches
from peakmark.data.order import epoch_order
from peakmark.data.source.indexed_split import Index
from peakmark.errors import DataError
from peakmark.nouns.batch import Batch
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION

COUNT = 21
PARTS = [Microbatch(first, min(4, COUNT - first)) for first in range(0, COUNT, 4)]
AUGMENTED = {"mixup": 0.5, "degrees": 10, "multi_scale": 0.5}
IMAGE_BYTES = 32 * 16 * 3
BUDGETS = {"nothing": 0, "a part": 5 * IMAGE_BYTES + 7, "all": COUNT * IMAGE_BYTES}


@pytest.fixture
def index(make_dataset: Callable[..., DatasetSpec]) -> Index:
    labels = {3: "", 5: "0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.25 0.25\n", 20: ""}
    return build_index(make_dataset(COUNT, labels), "train", workers=1)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    deadline_s = time.monotonic() + 5
    while (left := [t for t in threading.enumerate() if t.name.startswith("peakmark-loader")]) and (
        time.monotonic() < deadline_s
    ):
        time.sleep(0.01)
    assert not left


def loader(index: Index, workers: int = 0, budget_bytes: int | None = None, **changes: Any) -> TrainLoader:
    wishes = {"data": "x.yaml", "imgsz": 32, "batch": 4, "epochs": 3, "close_mosaic": 1, **AUGMENTED}
    images = DeviceImages(index, 32, "cpu", budget_bytes)
    return TrainLoader(index, images, Settings.model_validate(wishes | changes), workers, VERSION)


def taken(of: TrainLoader, epoch: int = 0, parts: list[Microbatch] = PARTS) -> list[Batch]:
    return list(of.batches(epoch, parts, mosaic_open=True))


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.files == other.files
        for name in ("images_BCHW", "boxes_xyxy_px", "classes", "image_index"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_neither_workers_nor_the_place_of_the_bytes_change_a_batch(index: Index, workers: int, budget: str):
    expected = [taken(loader(index), epoch) for epoch in (0, 1)]
    found = loader(index, workers, BUDGETS[budget])
    for epoch in (0, 1):  # the second one with what the first left on the device
        assert_equal(taken(found, epoch), expected[epoch])


def test_any_position_gives_what_comes_from_there(index: Index):
    whole = taken(loader(index))
    for start in range(len(PARTS) + 1):
        assert_equal(taken(loader(index, 2), parts=PARTS[start:]), whole[start:])


def test_all_but_the_pixels_is_as_without_a_device(index: Index):
    settings = Settings.model_validate({"data": "x.yaml", "imgsz": 32, "batch": 4, **AUGMENTED})
    usual = taken(TrainLoader(index, ImageCache(index, 32), settings, 0, VERSION))
    for one, other in zip(usual, taken(loader(index)), strict=True):
        assert one.files == other.files
        assert one.images_BCHW.stride() == other.images_BCHW.stride()
        for name in ("boxes_xyxy_px", "classes", "image_index"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    reads: list[Any] = []

    def count(path: Any, most_px: int) -> Any:
        reads.append(path)
        return decode_with_remark(path, most_px)

    monkeypatch.setattr(cache_module, "decode_with_remark", count)
    return reads


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_file_is_read_once(index: Index, monkeypatch: pytest.MonkeyPatch, budget: str):
    reads = counted(monkeypatch)
    of = loader(index, 0, BUDGETS[budget])
    for epoch in (0, 1):
        taken(of, epoch)
    assert len(reads) == len(set(reads)) == COUNT


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_is_gone_is_named(index: Index, workers: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache_module, "_RETRY_PAUSES_S", ())
    gone = index.path(int(epoch_order(0, 0, COUNT)[5]))
    gone.unlink()
    batches = loader(index, workers, mosaic=0, mixup=0).batches(0, PARTS, mosaic_open=True)
    assert len(next(batches)) == 4
    with pytest.raises(DataError, match=gone.name):
        next(batches)


def test_closing_early_sends_the_threads_home(index: Index):
    batches = loader(index, 3).batches(0, PARTS, mosaic_open=True)
    next(batches)
    batches.close()  # type: ignore[attr-defined]


# --- validation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize(("side_px", "workers"), [(32, 0), (64, 2)])
def test_letterboxed_images_are_the_same_bytes_as_ever(index: Index, side_px: int, workers: int, budget: str):
    """40 x 20 px: shrunk into 32, grown into 64, and upright bars of background above and below."""
    images = DeviceImages(index, side_px, "cpu", BUDGETS[budget] * side_px**2 // 32**2)
    expected = list(validation_batches(index, ImageCache(index, side_px), workers=0, images_ahead=16))
    for _ in range(2):
        found = list(validation_batches(index, images, workers=workers, images_ahead=16))
        assert_equal([each.batch for each in found], [each.batch for each in expected])
        assert [each.letterboxes for each in found] == [each.letterboxes for each in expected]
        for one, other in zip(found, expected, strict=True):
            for mine, theirs in zip(one.truths, other.truths, strict=True):
                assert mine.boxes_xyxy_px.tolist() == theirs.boxes_xyxy_px.tolist()
        strides = {each.batch.images_BCHW.stride() for each in (*found, *expected)}
        assert len(strides) == 1
