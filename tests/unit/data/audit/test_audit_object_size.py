"""Objects too small for an image size are counted at the size at which the network sees them, and what would help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.data.audit.object_size import check_object_sizes, sizes_px, small_objects_notes
from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[..., Index]:
    """An index of one image of this size, with square objects of these sides in px."""

    def make(sides_px: list[float], width: int = 1280, height: int = 640) -> Index:
        for folder in ("images/train", "labels/train"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "images/train/a.png"), np.zeros((height, width, 3), np.uint8))
        rows = (
            f"0 {(n % 30 + 1) / 32} {(n // 30 + 1) / 32} {side / width} {side / height}\n"
            for n, side in enumerate(sides_px)
        )
        (tmp_path / "labels/train/a.txt").write_text("".join(rows))
        (tmp_path / "data.yaml").write_text("train: images/train\nval: images/train\nnames: [a]\n")
        return build_index(read_dataset(tmp_path / "data.yaml"), "train")

    return make


def test_sizes_are_those_that_the_network_sees(make_index):
    index = make_index([10.0, 40.0])
    np.testing.assert_allclose(sizes_px(index, 320), [2.5, 10.0], rtol=1e-4)
    np.testing.assert_allclose(sizes_px(index, 1280), [10.0, 40.0], rtol=1e-4)


def test_what_is_too_small_is_counted_with_what_would_help(make_index):
    index = make_index([10.0] * 30 + [24.0] * 10 + [100.0] * 60)
    (note,) = small_objects_notes(index, 320)
    assert "at imgsz=320 40 objects are under 8 px (40.0% of 100) and 40 under 16 px (40.0%)" in note
    assert "imgsz=1280, which is all that the images have, would leave 0.0% under 8 px and 30.0% under 16 px" in note
    (found,) = check_object_sizes(index, 640)
    assert found.severity == "medium"
    assert "30 objects are under 8 px" in found.text
    assert found.examples[0].text == "images/train/a.png: 5.0 px"
    (small,) = check_object_sizes(index, 1280)
    assert small.severity == "low"
    assert "0 objects are under 8 px (0.0% of 100) and 30 under 16 px" in small.text
    assert "The images have no more pixels" in small.remedy
    assert check_object_sizes(index, 2048) == []


def test_an_image_size_is_named_at_which_nothing_would_be_said(make_index):
    index = make_index([20.1] * 50 + [100.0] * 50)
    (found,) = check_object_sizes(index, 320)
    assert (
        "imgsz=1024 would leave 0.0% under 8 px and 0.0% under 16 px; so would training and predicting on tiles of"
        in found.remedy
    )
    assert check_object_sizes(index, 1024) == []
    assert check_object_sizes(index, 992) != []


@pytest.mark.parametrize("sides", [[100.0] * 3, [100.0] * 199 + [5.0]])
def test_where_there_is_next_to_nothing_small_nothing_is_said(make_index, sides):
    assert check_object_sizes(make_index(sides), 640) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.5, 400), min_size=1, max_size=40), st.integers(1, 60))
def test_the_size_that_is_named_is_enough(sides: list[float], steps: int):
    index = Index.__new__(Index)
    values = {
        "split": "train", "files": ("a.png",), "widths_px": np.array([4000]), "heights_px": np.array([3000]),
        "offsets": np.array([0, len(sides)]), "classes": np.zeros(len(sides), np.int64),
        "boxes_cxcywh_norm": np.array([[0.5, 0.5, side / 4000, side / 3000] for side in sides], np.float32),
    }  # fmt: skip
    for name, value in values.items():
        object.__setattr__(index, name, value)
    for found in check_object_sizes(index, steps * 32):
        words = found.remedy.split("imgsz=")
        if len(words) > 1 and "all that the images have" not in found.remedy:
            assert check_object_sizes(index, int(words[1].split()[0].rstrip(","))) == []
