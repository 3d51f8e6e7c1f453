"""Batches are the same for any number of workers and from any position; errors arrive, threads go home."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from peakmark.data import cache as cache_module
from peakmark.data.cache import ImageCache
from peakmark.data.dataset import DatasetSpec
from peakmark.data.index import build_index
from peakmark.data.loader import Microbatch, TrainLoader, validation_batches
from peakmark.data.order import epoch_order
from peakmark.data.source.indexed_split import Index
from peakmark.errors import DataError
from peakmark.geometry.letterbox import BACKGROUND
from peakmark.nouns.batch import Batch
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION

COUNT = 21
PARTS = [Microbatch(first, min(4, COUNT - first)) for first in range(0, COUNT, 4)]


@pytest.fixture
def index(make_dataset: Callable[..., DatasetSpec]) -> Index:
    labels = {3: "", 5: "0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.25 0.25\n", 20: ""}
    return build_index(make_dataset(COUNT, labels), "train", workers=1)


@pytest.fixture
def mixed_shapes(make_dataset: Callable[..., DatasetSpec]) -> Index:
    """40 images: wide, every third tall, every seventh square."""
    spec = make_dataset(40, {})
    files = sorted(path for path in spec.root.rglob("*") if path.suffix in (".jpg", ".png"))
    for number, file in enumerate(files):
        shape = (20, 20, 3) if number % 7 == 0 else (40, 20, 3) if number % 3 == 0 else (20, 40, 3)
        cv2.imwrite(str(file), np.full(shape, number, np.uint8))
    return build_index(spec, "train", workers=1)


def loader(index: Index, workers: int, **changes: Any) -> TrainLoader:
    settings = Settings.model_validate(
        {"data": "x.yaml", "imgsz": 32, "batch": 4, "epochs": 3, "close_mosaic": 1} | changes
    )
    return TrainLoader(index, ImageCache(index, 32), settings, workers, VERSION)


def assert_equal(first: Batch, second: Batch) -> None:
    assert first.files == second.files
    for name in ("images_BCHW", "boxes_xyxy_px", "classes", "image_index"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("peakmark-loader")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    deadline_s = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not loader_threads()


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(index: Index, workers: int):
    expected = list(loader(index, 0).batches(1, PARTS, mosaic_open=True))
    found = list(loader(index, workers).batches(1, PARTS, mosaic_open=True))
    assert len(found) == len(PARTS)
    for one, other in zip(expected, found, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("workers", [0, 3])
def test_any_position_gives_what_comes_from_there(index: Index, workers: int):
    whole = list(loader(index, 0, multi_scale=0.5).batches(0, PARTS, mosaic_open=True))
    for start in range(len(PARTS) + 1):
        rest = list(loader(index, workers, multi_scale=0.5).batches(0, PARTS[start:], mosaic_open=True))
        assert len(rest) == len(PARTS) - start
        for one, other in zip(whole[start:], rest, strict=True):
            assert_equal(one, other)


def test_epochs_differ(index: Index):
    batches = [next(iter(loader(index, 0).batches(epoch, PARTS, mosaic_open=True))) for epoch in (0, 1)]
    assert batches[0].files != batches[1].files


def test_batches_are_what_their_type_says(index: Index):
    order = epoch_order(0, 0, COUNT)
    for part, batch in zip(PARTS, loader(index, 0).batches(0, PARTS, mosaic_open=True), strict=True):
        assert batch.files == tuple(str(index.path(image)) for image in order[part.first : part.first + part.count])
        assert len(batch) == part.count
        assert batch.images_BCHW.dtype == torch.uint8
        assert batch.images_BCHW.shape[1:] == (3, 32, 32)
        assert batch.images_BCHW.is_contiguous(memory_format=torch.channels_last)
        assert (batch.boxes_xyxy_px.dtype, batch.classes.dtype) == (torch.float32, torch.int64)
        assert batch.boxes_xyxy_px.shape == (len(batch.classes), 4)
        assert batch.image_index.tolist() == sorted(batch.image_index.tolist())
        assert set(batch.image_index.tolist()) <= set(range(part.count))


def test_truths_stay_with_their_image(index: Index):
    still = {"mosaic": 0, "translate": 0, "scale": 0, "fliplr": 0}
    order = epoch_order(0, 0, COUNT)
    for part, batch in zip(PARTS, loader(index, 0, **still).batches(0, PARTS, mosaic_open=True), strict=True):
        for place in range(part.count):
            image = int(order[part.first + place])
            own = batch.image_index == place
            expected = ImageCache(index, 32).letterbox(image).to_padded(index.truths_px(image).boxes_xyxy_px)
            np.testing.assert_allclose(batch.boxes_xyxy_px[own].numpy(), expected, atol=1e-4)
            assert batch.classes[own].tolist() == index.truths_px(image).classes.tolist()


def test_sides_of_a_batch_are_equal_multiples_of_32(index: Index):
    found = {
        tuple(batch.images_BCHW.shape[2:])
        for epoch in range(3)
        for batch in loader(index, 0, imgsz=64, multi_scale=0.5).batches(epoch, PARTS, mosaic_open=True)
    }
    assert found == {(32, 32), (64, 64), (96, 96)}


def test_without_mosaic_each_image_is_alone(index: Index):
    # With nothing else drawn, its own pixels are there.
    still = {"translate": 0, "scale": 0, "fliplr": 0, "hsv_h": 0, "hsv_s": 0, "hsv_v": 0}
    batch = next(iter(loader(index, 0, **still).batches(2, PARTS, mosaic_open=False)))
    image = int(epoch_order(0, 2, COUNT)[0])
    assert np.array_equal(batch.images_BCHW[0].permute(1, 2, 0).numpy()[8:24], ImageCache(index, 32).load(image))


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_closing_early_sends_the_threads_home(index: Index, taken: int):
    batches = loader(index, 3).batches(0, PARTS, mosaic_open=True)
    for _ in range(taken):
        next(batches)
    if taken:
        assert loader_threads()
    batches.close()  # type: ignore[attr-defined]


def test_what_is_queued_is_dropped_when_closed_early(index: Index, monkeypatch: pytest.MonkeyPatch):
    loaded: list[int] = []
    load = ImageCache.load

    def slow(self: ImageCache, number: int) -> Any:
        loaded.append(number)
        time.sleep(0.02)
        return load(self, number)

    monkeypatch.setattr(ImageCache, "load", slow)
    batches = loader(index, 1, mosaic=0).batches(0, PARTS, mosaic_open=True)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    while loader_threads():
        time.sleep(0.01)
    assert 4 <= len(loaded) < 10  # 4 were taken, 8 more were queued


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_is_gone_is_named_and_nothing_replaces_it(
    index: Index, workers: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache_module, "_RETRY_PAUSES_S", ())
    gone = index.path(int(epoch_order(0, 0, COUNT)[5]))
    gone.unlink()
    batches = loader(index, workers, mosaic=0).batches(0, PARTS, mosaic_open=True)
    assert len(next(batches)) == 4
    with pytest.raises(DataError, match=gone.name):
        next(batches)


def test_nothing_is_prepared_beyond_what_is_asked_for(index: Index, monkeypatch: pytest.MonkeyPatch):
    loaded: list[int] = []
    load = ImageCache.load

    def note(self: ImageCache, number: int) -> Any:
        loaded.append(number)
        return load(self, number)

    monkeypatch.setattr(ImageCache, "load", note)
    list(loader(index, 2, mosaic=0).batches(0, PARTS[:2], mosaic_open=True))
    assert sorted(loaded) == sorted(epoch_order(0, 0, COUNT)[:8].tolist())


@pytest.mark.parametrize("gpu_in_use", [False, True])
def test_batches_lie_where_a_gpu_can_read_them_if_one_is_in_use(
    index: Index, monkeypatch: pytest.MonkeyPatch, gpu_in_use: bool
):
    asked: list[bool] = []
    empty = torch.empty

    def without_a_gpu(*size: Any, pin_memory: bool = False, **rest: Any) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(*size, **rest)

    expected = next(loader(index, 0).batches(0, PARTS, mosaic_open=True))
    monkeypatch.setattr(torch, "empty", without_a_gpu)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: gpu_in_use)
    assert_equal(next(loader(index, 0).batches(0, PARTS, mosaic_open=True)), expected)
    assert asked == [gpu_in_use]


# --- validation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "images_ahead"), [(0, 4), (1, 1), (3, 40)])
def test_validation_takes_every_image_once_in_chunks_that_never_change(index: Index, workers: int, images_ahead: int):
    batches = list(validation_batches(index, ImageCache(index, 64), workers=workers, images_ahead=images_ahead))
    assert [len(one.batch) for one in batches] == [8, 8, 5]
    files = [file for one in batches for file in one.batch.files]
    assert files == [str(index.path(number)) for number in range(COUNT)]


@pytest.mark.parametrize("first", [None, 12])
def test_validation_images_go_together_by_shape_and_nearly_in_order(mixed_shapes: Index, first: int | None):
    batches = list(
        validation_batches(mixed_shapes, ImageCache(mixed_shapes, 64), workers=0, images_ahead=1, first=first)
    )
    numbers = [number for one in batches for number in one.numbers]
    assert sorted(numbers) == list(range(first or len(mixed_shapes)))
    for one in batches:
        boxes = [ImageCache(mixed_shapes, 64).letterbox(number) for number in one.numbers]
        assert list(one.letterboxes) == boxes
        assert {(box.padded_height_px, box.padded_width_px) for box in boxes} == {one.batch.images_BCHW.shape[2:]}
        assert one.batch.files == tuple(str(mixed_shapes.path(number)) for number in one.numbers)
    whole = [one.numbers for one in batches if len(one.numbers) == 8]
    assert whole == sorted(whole, key=lambda each: each[-1])
    # What is left over comes last, at most one batch a shape.
    left = batches[len(whole) :]
    assert len({one.batch.images_BCHW.shape[2:] for one in left}) == len(left)


def test_validation_images_are_letterboxed_and_their_truths_are_the_original_ones(index: Index):
    (first, *_) = validation_batches(index, ImageCache(index, 64), workers=0, images_ahead=16)
    for place, (box, truths) in enumerate(zip(first.letterboxes, first.truths, strict=True)):
        image = first.batch.images_BCHW[place].permute(1, 2, 0).numpy()
        assert (image[: box.top_px] == BACKGROUND).all()
        assert (image[box.top_px + box.inner_height_px :] == BACKGROUND).all()
        inner = image[box.top_px : box.top_px + box.inner_height_px]
        assert np.array_equal(inner, ImageCache(index, 64).load(place))
        assert truths.boxes_xyxy_px.tolist() == index.truths_px(place).boxes_xyxy_px.tolist()
        own = first.batch.image_index == place
        assert first.batch.boxes_xyxy_px[own].numpy().tolist() == box.to_padded(truths.boxes_xyxy_px).tolist()


def test_a_validation_that_is_given_up_sends_the_threads_home(index: Index, tmp_path: Path):
    batches = validation_batches(index, ImageCache(index, 64), workers=2, images_ahead=4)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
