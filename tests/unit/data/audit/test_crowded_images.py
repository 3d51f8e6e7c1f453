"""Are boxes in one place found among very many, in bounded memory?"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from peakmark.data.audit.findings import MOST_EXAMPLES
from peakmark.data.audit.labels import boxes_in_one_place, check_boxes
from peakmark.data.source.indexed_split import Index
from peakmark.geometry.boxes import xyxy_from_cxcywh
from peakmark.nouns.images import FloatArray


def _index(boxes_cxcywh: FloatArray, classes: int = 2) -> Index:
    count = len(boxes_cxcywh)
    one = np.ones(1, np.int32)
    return Index(
        "train", Path("set"), ("a.png",), one, one, np.zeros((1, 16), np.uint8), np.array([0, count]),
        boxes_cxcywh, np.arange(count) % classes, (), (), "full", np.ones(1, np.bool_),
    )  # fmt: skip


def _by_brute_force(boxes_cxcywh: FloatArray) -> list[tuple[int, int]]:
    boxes = xyxy_from_cxcywh(boxes_cxcywh).astype(np.float64)
    found = []
    for first in range(len(boxes)):
        for second in range(first + 1, len(boxes)):
            low, high = np.maximum(boxes[first, :2], boxes[second, :2]), np.minimum(boxes[first, 2:], boxes[second, 2:])
            overlap = np.prod(np.maximum(high - low, 0))
            areas = [np.prod(boxes[number, 2:] - boxes[number, :2]) for number in (first, second)]
            if overlap / (sum(areas) - overlap) >= 0.9:
                found.append((first, second))
    return found


@pytest.mark.parametrize("at_a_time", [7, 1 << 18])
def test_all_pairs_are_found_and_no_other(monkeypatch: pytest.MonkeyPatch, at_a_time: int):
    monkeypatch.setattr("peakmark.data.audit.labels._PAIRS_AT_A_TIME", at_a_time)
    rng = np.random.default_rng(0)
    places = rng.uniform(0.3, 0.7, (12, 4)) * [1, 1, 0.5, 0.5]
    boxes = (np.repeat(places, 8, axis=0) * rng.uniform(0.97, 1.03, (96, 4))).astype(np.float32)
    found = [
        (int(first), int(second))
        for _, first_P, second_P, _ in boxes_in_one_place(_index(boxes))
        for first, second in zip(first_P, second_P, strict=True)
    ]
    expected = _by_brute_force(boxes)
    assert len(expected) > 50
    assert sorted(found) == expected
    if at_a_time > len(boxes) ** 2:
        assert found == expected


def test_ten_thousand_boxes_in_an_image_take_little_memory():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0.3, 0.7, (10_000, 2)), np.full((10_000, 2), 0.1)], axis=1)
    index = _index(boxes.astype(np.float32))
    tracemalloc.start()
    found = {each.kind: each for each in check_boxes(index, ("a", "b"))}
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found["doubled box"].count > MOST_EXAMPLES == len(found["doubled box"].examples)
    assert peak_bytes < 100e6
