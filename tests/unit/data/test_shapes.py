"""Is the sample set what its description says, and the same every time?"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from peakmark.data.dataset import read_dataset
from peakmark.data.images import decode
from peakmark.data.index import build_index
from peakmark.data.shapes import shapes
from peakmark.data.shapes.drawn_shapes import NAMES, SIDE_PX, Picture
from peakmark.errors import DataError


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [shapes.sample_picture("train", number) for number in range(64)]


def test_enough_images_for_the_demo():
    assert shapes.IMAGE_COUNTS["train"] >= 200
    assert shapes.IMAGE_COUNTS["val"] >= 60


def test_one_to_twelve_objects_of_four_classes(pictures: list[Picture]):
    counts = [len(picture.classes) for picture in pictures]
    assert min(counts) >= 1
    assert max(counts) <= 12
    assert np.mean(counts) > 4
    shares = np.bincount(np.concatenate([picture.classes for picture in pictures]), minlength=4) / sum(counts)
    assert len(shares) == len(NAMES)
    assert shares.min() > 0.15


def test_small_and_large_objects(pictures: list[Picture]):
    boxes = np.concatenate([picture.boxes_xyxy_px for picture in pictures])
    longest_px = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert longest_px.min() >= 8
    assert longest_px.max() <= 200
    assert (longest_px < 24).mean() > 0.1
    assert (longest_px > 96).mean() > 0.1
    assert boxes.min() >= 0
    assert boxes.max() <= SIDE_PX


def test_a_third_is_partly_hidden_and_nothing_more_than_half(pictures: list[Picture]):
    visible = np.concatenate([picture.visible for picture in pictures])
    assert 0.25 < (visible < 0.95).mean() < 0.45
    assert visible.min() >= 0.5


def test_boxes_are_the_extent_of_visible_pixels(pictures: list[Picture]):
    for picture in pictures[:20]:
        for number, (left, top, right, bottom) in enumerate(picture.boxes_xyxy_px.astype(int)):
            seen = picture.shown == number
            assert seen.sum() == seen[top:bottom, left:right].sum() > 0
            assert seen[top].any()
            assert seen[bottom - 1].any()
            assert seen[:, left].any()
            assert seen[:, right - 1].any()


def test_objects_stand_out_from_the_ground(pictures: list[Picture]):
    # What the labels say must be in the pixels: along an object's visible rim, colours jump.
    jumps = []
    for picture in pictures[:20]:
        image = picture.image.astype(float)
        change = np.linalg.norm(np.diff(image, axis=1), axis=2)
        rim = np.diff(picture.shown, axis=1) != 0
        jumps.append(np.median(change[rim]) / np.median(change[~rim]))
    assert min(jumps) > 2


def test_drawing_is_deterministic_and_every_picture_another():
    digests = [
        hashlib.sha256(shapes.sample_picture(split, number).image.tobytes()).hexdigest()
        for split in ("train", "val", "train")
        for number in range(3)
    ]
    assert digests[:3] == digests[6:]
    assert len(set(digests)) == 6


def test_written_as_an_ordinary_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shapes, "IMAGE_COUNTS", {"train": 6, "val": 3})
    spec = read_dataset("shapes")
    assert spec.names == NAMES
    train, val = build_index(spec, "train"), build_index(spec, "val")
    assert (len(train), len(val)) == (6, 3)
    assert train.warnings == val.warnings == ()
    picture = shapes.sample_picture("train", 4)
    np.testing.assert_allclose(train.truths_px(4).boxes_xyxy_px, picture.boxes_xyxy_px, atol=1e-3)
    np.testing.assert_array_equal(train.truths_px(4).classes, picture.classes)
    assert np.abs(decode(train.path(4)).astype(int) - picture.image).mean() < 6

    copy = shapes.write_shapes(tmp_path / "copy")
    assert build_index(read_dataset(copy), "train").fingerprint == train.fingerprint
    with pytest.raises(DataError, match="name a new one"):
        shapes.write_shapes(tmp_path / "copy")


def test_drawn_only_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shapes, "IMAGE_COUNTS", {"train": 1, "val": 1})
    file = shapes.shapes_dataset()
    before = file.stat().st_mtime_ns
    assert shapes.shapes_dataset() == file
    assert file.stat().st_mtime_ns == before
