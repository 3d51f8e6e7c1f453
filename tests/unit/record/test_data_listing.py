"""Does the listing of a run's files say which of them changed?"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.errors import MachineError
from peakmark.record.data_listing import differences, read, render

ROWS = [("a.png", "11", "aa"), ("b.png", "22", "bb"), ("c.png", "33", "cc")]


def _listing(tmp_path: Path, **splits: Any) -> Any:
    path = tmp_path / "data-files.txt.gz"
    path.write_bytes(render(splits))
    return read(path)


def test_it_reads_back_what_was_written(tmp_path):
    listing = _listing(tmp_path, train=ROWS, val=ROWS[:1])
    assert listing == {"train": {name: (i, t) for name, i, t in ROWS}, "val": {"a.png": ("11", "aa")}}
    assert render({"train": ROWS}) == render({"train": iter(ROWS)})


@given(name=st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name))
def test_any_name_survives(tmp_path_factory, name):
    text = os.fsdecode(name)
    listing = _listing(tmp_path_factory.mktemp("names"), train=[(text, "11", "aa")])
    assert listing == {"train": {text: ("11", "aa")}}


def test_differences_are_named(tmp_path):
    before = _listing(tmp_path, train=ROWS, val=ROWS)
    now = _listing(tmp_path, train=[("a.png", "99", "aa"), ("b.png", "22", "99"), ("d.png", "44", "dd")], val=ROWS)
    assert differences(before, now) == (
        "train: 1 image added (d.png), 1 image removed (c.png), 1 image changed (a.png), 1 image with other labels"
        " (b.png).",
    )
    assert differences(before, before) == ()
    many = _listing(tmp_path, train=ROWS, val=[*ROWS, *((f"{n}.png", "1", "1") for n in range(5))])
    assert differences(before, many) == ("val: 5 images added (0.png, 1.png, 2.png and 2 more).",)
    assert differences(before, {"train": before["train"]}) == ("val: 3 images removed (a.png, b.png, c.png).",)


def test_a_listing_that_is_not_there_or_damaged_is_none(tmp_path):
    assert read(tmp_path / "none.gz") is None
    whole = render({"train": ROWS})
    for number, content in enumerate((b"", b"no gzip", whole[:-9], whole[:20], whole[:15] + b"\xff" * 9 + whole[24:])):
        (tmp_path / f"{number}.gz").write_bytes(content)
        assert not read(tmp_path / f"{number}.gz")
    with pytest.raises(MachineError, match="Can't read"):
        read(tmp_path)


def test_an_index_tells_images_and_labels_apart(tiny_data):
    index = build_index(read_dataset(str(tiny_data)), "train")
    rows = list(index.file_digests())
    assert [name for name, _, _ in rows] == list(index.files)
    assert len({image for _, image, _ in rows}) == len({labels for _, _, labels in rows}) == len(rows)
    other_boxes = dataclasses.replace(index, boxes_cxcywh_norm=index.boxes_cxcywh_norm * np.float32(0.99))
    other_images = dataclasses.replace(index, digests=index.digests + np.uint8(1))
    for other, image_same, labels_same in ((other_boxes, True, False), (other_images, False, True)):
        for (_, image, labels), (_, own_image, own_labels) in zip(other.file_digests(), rows, strict=True):
            assert (image == own_image, labels == own_labels) == (image_same, labels_same)
    assert list(index.as_single_class().file_digests()) != rows
    assert list(index.select([3, 1]).file_digests()) == [rows[3], rows[1]]
