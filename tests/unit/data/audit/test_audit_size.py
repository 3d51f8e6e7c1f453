"""Is it said when there is too little to learn from or to measure with?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from peakmark.data.audit.size import check_size, expected_standard_error
from peakmark.data.index import Index

NAMES = ("cat", "dog", "owl")


def index_of(split: str, classes_per_image: Sequence[Sequence[int]]) -> Index:
    """An index of images that show these classes."""
    counts = [len(classes) for classes in classes_per_image]
    classes = np.array([c for of_image in classes_per_image for c in of_image], np.int64)
    return Index(
        split=split,
        folder=Path(),
        files=tuple(f"{number}.png" for number in range(len(counts))),
        widths_px=np.full(len(counts), 64, np.int32),
        heights_px=np.full(len(counts), 64, np.int32),
        digests=np.zeros((len(counts), 16), np.uint8),
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        boxes_cxcywh_norm=np.full((len(classes), 4), 0.5, np.float32),
        classes=classes,
        unreadable=(),
        warnings=(),
        verify="full",
    )


def test_the_expected_error_counts_images_and_not_their_objects():
    spread = [[0]] * 100 + [[1]] * 100
    crowded = [[0] * 5 + [1] * 5] * 100
    assert expected_standard_error(index_of("val", spread), 2) == pytest.approx(0.25 / np.sqrt(200))
    assert expected_standard_error(index_of("val", crowded), 2) == pytest.approx(0.25 / np.sqrt(200))
    assert expected_standard_error(index_of("val", [[], []]), 2) is None


@pytest.mark.parametrize(("images", "severity"), [(10, "high"), (40, "medium"), (400, None)])
def test_a_small_validation_set(images: int, severity: str | None):
    found = check_size({"train": index_of("train", [[0] * 10]), "val": index_of("val", [[0]] * images)}, ("cat",))
    assert [each.severity for each in found] == ([severity] if severity else [])
    if severity:
        assert found[0].kind == "small validation set"
        assert f"{0.25 / np.sqrt(images):.3f}" in found[0].text


def test_classes_that_one_split_lacks():
    train, val = index_of("train", [[0, 1]] * 400), index_of("val", [[0]] * 391 + [[2, 0]] * 9)
    found = check_size({"train": train, "val": val}, NAMES)
    assert [(each.kind, each.severity, each.text[:9]) for each in found] == [
        ("class absent", "high", "train: 1 "),
        ("class absent", "high", "val: 1 cl"),
        ("few objects", "medium", "val: 1 cl"),
        ("small validation set", "medium", "val: with"),
    ]
    assert "(owl)" in found[0].text
    assert "(dog)" in found[1].text
    assert found[2].examples[0].text == "owl: 9 objects"


def test_a_class_that_nobody_uses_is_named_once():
    splits = {split: index_of(split, [[0, 1]] * 400) for split in ("train", "val")}
    (found,) = check_size(splits, NAMES)
    assert (found.kind, found.severity) == ("class unused", "low")
    assert "(owl)" in found.text
