"""Prediction: pictures of any shape in, results in px of the original out, a few in memory at a time."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.data.cache import ImageCache, padded, resize_into
from peakmark.data.source.indexed_split import Index
from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Frame, Origin
from peakmark.deploy.predict import predict
from peakmark.errors import DataError
from peakmark.geometry.letterbox import Letterbox
from peakmark.machine.streams import stream
from peakmark.nouns.images import Detect, Detections, ImageArray

NAMES = ("dark", "light")


def make_frame(image: ImageArray, index: int = 0) -> Frame:
    return Frame(image, Origin(f"image{index}.jpg", None, index, None))


def no_detections(images_BCHW: torch.Tensor) -> list[Detections]:
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    return [empty for _ in images_BCHW]


def find_bright(images_BCHW: torch.Tensor) -> list[Detections]:
    """A detector of one bright rectangle on black; it answers with its class 1 and its edges in px of the image."""
    found = []
    for image in images_BCHW.numpy():
        ys, xs = np.nonzero(image[0] > 200)
        box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
        found.append(Detections(box, np.ones(1, np.float32), np.ones(1, np.int64)))
    return found


def answer(*rows: list[float]) -> Detect:
    """A detector that always answers with these rows of x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    detections = Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))
    return lambda images_BCHW: [detections for _ in images_BCHW]


@settings(max_examples=30, deadline=None)
@given(data=st.data(), width=st.integers(40, 300), height=st.integers(40, 300))
def test_boxes_come_back_to_where_the_pixels_were(data, width, height):
    """An end-to-end round trip through the resized pixels: half a padded pixel, on each side."""
    x1, y1 = data.draw(st.integers(0, width - 20)), data.draw(st.integers(0, height - 20))
    x2, y2 = data.draw(st.integers(x1 + 20, width)), data.draw(st.integers(y1 + 20, height))
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    side_px = 160
    [found] = predict([make_frame(image)], find_bright, names=NAMES, side_px=side_px)
    # Bright means above 200 of 255, so a mixed pixel at an edge counts where most of it is bright: up to a padded
    # pixel is lost there.
    tolerance = 1.01 * max(1.0, max(width, height) / side_px)
    assert np.abs(found.boxes.xyxy[0].numpy() - [x1, y1, x2, y2]).max() <= tolerance


def test_the_detector_sees_rgb_bytes_in_a_grey_rectangle():
    seen = []

    def looking(images_BCHW):
        seen.append(images_BCHW)
        return no_detections(images_BCHW)

    image = np.full((48, 128, 3), (250, 100, 0), np.uint8)
    list(predict([make_frame(image)], looking, names=NAMES, side_px=128))
    [images_BCHW] = seen
    assert images_BCHW.shape == (1, 3, 64, 128)
    assert images_BCHW.dtype == torch.uint8
    assert images_BCHW[0, :, 32, 32].tolist() == [250, 100, 0]
    assert images_BCHW[0, :, 0, 0].tolist() == images_BCHW[0, :, -1, -1].tolist() == [114, 114, 114]
    assert (images_BCHW[0, 0, 8:56] == 250).all()


@pytest.mark.parametrize(("width", "height"), [(64, 64), (640, 480), (33, 500), (1, 1), (5000, 2), (31, 17)])
def test_any_shape_fits_its_rectangle(width, height):
    box = Letterbox(width, height, 64)
    image = padded(resize_into(np.zeros((height, width, 3), np.uint8), box), box)
    assert image.shape == (box.padded_height_px, box.padded_width_px, 3)
    assert (image == 0).all(axis=2).sum() == box.inner_width_px * box.inner_height_px


@pytest.mark.parametrize(("width", "height"), [(64, 48), (200, 99), (30, 17), (1, 300), (64, 20)])
def test_the_pixels_are_those_of_validation(tmp_path, width, height):
    """The cache resizes for training and validation; a detector must see the same picture when it is used."""
    image = stream(0, "test-pixels", width, height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image[..., ::-1])
    index = SimpleNamespace(path=lambda number: path, widths_px=[width], heights_px=[height], max_image_pixels=10**6)
    cache = ImageCache(cast(Index, index), side_px=64)
    seen = []

    def looking(images_BCHW):
        seen.append(images_BCHW[0].permute(1, 2, 0).numpy())
        return no_detections(images_BCHW)

    list(predict([make_frame(image)], looking, names=NAMES, side_px=64))
    assert (seen[0] == padded(cache.load(0), cache.letterbox(0))).all()


def test_results_hold_the_original_picture_and_boxes_clipped_to_it():
    image = np.full((100, 200, 3), (1, 2, 3), np.uint8)
    [found] = predict([make_frame(image)], answer([-50, -9, 300, 48, 0.9, 0]), names=NAMES, side_px=64)
    assert (found.orig_img == (3, 2, 1)).all()
    assert found.orig_shape == (100, 200)
    assert found.boxes.xyxy.tolist() == [[0, 0, 200, 100]]
    assert found.verbose() == "1 dark"
    assert found.names == {0: "dark", 1: "light"}
    assert set(found.speed) == {"preprocess", "inference", "postprocess"}
    assert all(milliseconds >= 0 for milliseconds in found.speed.values())


def test_classes_keeps_only_these():
    detect = answer([0, 0, 9, 9, 0.9, 0], [0, 0, 9, 9, 0.8, 1], [0, 0, 9, 9, 0.7, 0])
    frame = make_frame(np.zeros((64, 64, 3), np.uint8))

    def kept(classes: list[int] | None) -> list[float]:
        [found] = predict([frame], detect, names=NAMES, side_px=64, classes=classes)
        return [round(score, 1) for score in found.boxes.conf.tolist()]

    assert kept(None) == pytest.approx([0.9, 0.8, 0.7])
    assert kept([0]) == pytest.approx([0.9, 0.7])
    assert kept([1, 0]) == pytest.approx([0.9, 0.8, 0.7])
    assert kept([]) == []


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_order_and_content_do_not_depend_on_the_batch(batch):
    frames = []
    for index in range(7):
        image = np.zeros((60 + index, 80, 3), np.uint8)
        image[10 : 30 + index, 20:50] = 255
        frames.append(make_frame(image, index))
    sizes = []

    def detect(images_BCHW):
        sizes.append(len(images_BCHW))
        return find_bright(images_BCHW)

    found = list(predict(frames, detect, names=NAMES, side_px=64, batch=batch))
    assert [result.origin.index for result in found] == list(range(7))
    alone = [next(predict([frame], find_bright, names=NAMES, side_px=64)) for frame in frames]
    assert all(torch.equal(a.boxes.data, b.boxes.data) for a, b in zip(found, alone, strict=True))
    assert max(sizes) == min(batch, 7)
    assert sum(sizes) == 7


def shaped(*shapes: str) -> list[Frame]:
    """Frames that are wide, tall or square, black with a bright part."""
    frames = []
    for index, shape in enumerate(shapes):
        height, width = {"wide": (30, 64), "tall": (64, 30), "square": (64, 64)}[shape]
        image = np.zeros((height, width, 3), np.uint8)
        image[4 : 20 + index % 8, 5:25] = 255
        frames.append(make_frame(image, index))
    return frames


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_frames_wait_for_others_of_their_shape_and_come_out_in_order(batch: int):
    frames = shaped(*(stream(0, "test-shapes").choice(["wide", "tall", "square"], 40)))
    seen: list[tuple[int, ...]] = []

    def detect(images_BCHW):
        seen.append(tuple(images_BCHW.shape))
        return find_bright(images_BCHW)

    found = list(predict(frames, detect, names=NAMES, side_px=64, batch=batch))
    assert [result.origin.index for result in found] == list(range(40))
    alone = [next(predict([frame], find_bright, names=NAMES, side_px=64)) for frame in frames]
    assert all(torch.equal(a.boxes.data, b.boxes.data) for a, b in zip(found, alone, strict=True))
    assert {shape[2:] for shape in seen} == {(32, 64), (64, 32), (64, 64)}
    # Only what is left of each shape at the end is no full batch.
    assert sum(shape[0] < batch for shape in seen) <= 3


@pytest.mark.parametrize(("most_bytes", "most_held"), [(10**9, 16), (11 * 3 * 30 * 64 - 1, 11), (0, 4)])
def test_a_frame_of_a_rare_shape_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, most_bytes: int, most_held: int
):
    """One tall frame, then wide ones: their results wait for its, so it may only wait for so long."""
    monkeypatch.setattr("peakmark.deploy.predict._MOST_BYTES_BEYOND_A_BATCH", most_bytes)
    taken = 0

    def frames() -> Iterator[Frame]:
        nonlocal taken
        for frame in shaped("tall", *["wide"] * 100):
            taken += 1
            yield frame

    results = predict(frames(), no_detections, names=NAMES, side_px=64, batch=4)
    assert next(results).origin.index == 0
    assert taken == most_held
    assert [result.origin.index for result in results] == list(range(1, 101))


@pytest.mark.parametrize("shapes", [("square",), ("wide", "tall", "square"), ("tall", *["wide"] * 50)])
def test_pictures_that_wait_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch, shapes: tuple[str, ...]):
    """Of pictures of 12,000 px a batch is gigabytes: they go before it is full, in order and with equal results."""
    frames = shaped(*list(shapes) * (60 // len(shapes)))
    largest = max(frame.image.nbytes for frame in frames)
    limit = 2 * largest
    monkeypatch.setattr("peakmark.deploy.predict._MOST_BYTES_HELD", limit)
    held_bytes = most_bytes = 0

    def arriving() -> Iterator[Frame]:
        nonlocal held_bytes, most_bytes
        for frame in frames:
            held_bytes += frame.image.nbytes
            most_bytes = max(most_bytes, held_bytes)
            yield frame

    found = []
    for result in predict(arriving(), find_bright, names=NAMES, side_px=64, batch=16):
        held_bytes -= result.orig_img.nbytes
        found.append(result)
    assert most_bytes <= limit + largest
    assert [result.origin.index for result in found] == list(range(len(frames)))
    alone = [next(predict([frame], find_bright, names=NAMES, side_px=64)) for frame in frames]
    assert all(torch.equal(a.boxes.data, b.boxes.data) for a, b in zip(found, alone, strict=True))
    assert all((a.orig_img == b.orig_img).all() for a, b in zip(found, alone, strict=True))


def test_a_batch_of_large_pictures_is_not_kept_in_both_orders_of_colours():
    side_px, count = 1024, 16
    frames = (make_frame(np.zeros((side_px, side_px, 3), np.uint8), index) for index in range(count))
    tracemalloc.start()
    try:
        list(predict(frames, no_detections, names=NAMES, side_px=32, batch=count))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < (count + 4) * side_px * side_px * 3


def test_what_came_before_a_frame_that_can_not_be_read_has_its_results_first():
    def frames() -> Iterator[Frame]:
        yield from shaped("wide", "tall", "wide")
        raise DataError("the fourth is broken")

    results = predict(frames(), no_detections, names=NAMES, side_px=64, batch=8)
    assert [next(results).origin.index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="fourth"):
        next(results)


def test_no_frames_no_results():
    assert list(predict([], no_detections, names=NAMES, side_px=64)) == []


def test_a_long_stream_keeps_no_more_than_a_batch_alive():
    batch = 4
    images: weakref.WeakSet[ImageArray] = weakref.WeakSet()
    most_alive = 0

    class Image(np.ndarray):
        """An array that a weak set can hold."""

        __hash__ = object.__hash__  # type: ignore[assignment]

    def frames() -> Iterator[Frame]:
        nonlocal most_alive
        for index in range(1000):
            image = np.zeros((8, 8, 3), np.uint8).view(Image)
            images.add(image)
            most_alive = max(most_alive, len(images))
            frame = make_frame(image, index)
            del image
            yield frame
            del frame

    boxes: weakref.WeakSet[Boxes] = weakref.WeakSet()
    most_results = count = 0
    gc.disable()  # what is let go must go by itself, not when the collector comes by
    try:
        for result in predict(frames(), no_detections, names=NAMES, side_px=32, batch=batch):
            boxes.add(result.boxes)
            most_results = max(most_results, len(boxes))
            count += 1
    finally:
        gc.enable()
    assert count == 1000
    assert most_alive <= batch
    assert most_results <= 2  # the one in hand and the one that just came


def test_frames_are_taken_only_as_results_are_asked_for():
    taken = []

    def frames() -> Iterator[Frame]:
        for index in range(100):
            taken.append(index)
            yield make_frame(np.zeros((8, 8, 3), np.uint8), index)

    results = predict(frames(), no_detections, names=NAMES, side_px=32, batch=2)
    assert taken == []
    next(results)
    next(results)
    assert taken == [0, 1]
    next(results)
    assert taken == [0, 1, 2, 3]
