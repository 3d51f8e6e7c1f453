"""Is it said where an image holds more objects than a validation looks at?"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from peakmark.data.audit.density import check_density, density_notes
from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index


def index_of(write_set: Any, folder: Path, *images: dict[int, int]) -> Index:
    """A validation split whose images hold so many objects of each class."""
    index = build_index(read_dataset(write_set(folder, val=len(images))), "val")
    classes = np.concatenate([np.repeat([*each], [*each.values()]) for each in images])
    offsets = np.concatenate(([0], np.cumsum([sum(each.values()) for each in images])))
    return replace(
        index, offsets=offsets, classes=classes, boxes_cxcywh_norm=np.full((len(classes), 4), 0.1, np.float32)
    )


def test_nothing_is_said_where_coco_and_max_det_hold_all(write_set, tmp_path):
    assert density_notes(index_of(write_set, tmp_path, {0: 100, 1: 100}, {0: 100}), 300) == ()


def test_more_than_a_hundred_of_a_class_is_said_with_how_many_images(write_set, tmp_path):
    (note,) = density_notes(index_of(write_set, tmp_path, {0: 101, 1: 30}, {1: 150}, {0: 4}), 300)
    assert note.startswith("val: 2 images hold more than 100 objects of a class, up to 150")
    assert "without that cap" in note


def test_more_objects_than_max_det_says_what_to_set(write_set, tmp_path):
    index = index_of(write_set, tmp_path, {0: 90, 1: 90}, {0: 60, 1: 60})
    (found,) = check_density(index, 100)
    assert (found.kind, found.severity, found.count) == ("more objects than max_det", "high", 2)
    assert "100 objects of 300 can never be found" in found.text
    assert int(re.findall(r"max_det=(\d+)", found.remedy)[0]) >= 180
    assert [example.text.split(": ")[1] for example in found.examples] == ["180 objects", "120 objects"]
    assert check_density(index, 180) == []


def test_what_is_only_trained_on_is_not_measured(write_set, tmp_path):
    index = replace(index_of(write_set, tmp_path, {0: 400}), split="train")
    assert check_density(index, 300) == []
