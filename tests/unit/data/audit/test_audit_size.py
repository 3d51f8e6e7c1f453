"""Is it said when there is too little to learn from or to measure with?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from peakmark.data.audit.size import check_size, expected_standard_error
from peakmark.data.source.indexed_split import Index

MakeIndex = Callable[..., Index]
NAMES = ("cat", "dog", "owl")


def test_the_expected_error_counts_images_and_not_their_objects(make_index: MakeIndex):
    spread = [[0]] * 100 + [[1]] * 100
    crowded = [[0] * 5 + [1] * 5] * 100
    assert expected_standard_error(make_index("val", spread), 2) == pytest.approx(0.25 / np.sqrt(200))
    assert expected_standard_error(make_index("val", crowded), 2) == pytest.approx(0.25 / np.sqrt(200))
    assert expected_standard_error(make_index("val", [[], []]), 2) is None


@pytest.mark.parametrize(("images", "severity"), [(10, "high"), (40, "medium"), (400, None)])
def test_a_small_validation_set(make_index: MakeIndex, images: int, severity: str | None):
    found = check_size({"train": make_index("train", [[0] * 10]), "val": make_index("val", [[0]] * images)}, ("cat",))
    assert [each.severity for each in found] == ([severity] if severity else [])
    if severity:
        assert found[0].kind == "small validation set"
        assert f"{0.25 / np.sqrt(images):.3f}" in found[0].text


def test_classes_that_one_split_lacks(make_index: MakeIndex):
    train, val = make_index("train", [[0, 1]] * 400), make_index("val", [[0]] * 391 + [[2, 0]] * 9)
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


def test_a_class_that_nobody_uses_is_named_once(make_index: MakeIndex):
    splits = {split: make_index(split, [[0, 1]] * 400) for split in ("train", "val")}
    (found,) = check_size(splits, NAMES)
    assert (found.kind, found.severity) == ("class unused", "low")
    assert "(owl)" in found.text


def test_a_split_without_labels_is_one_finding(make_index: MakeIndex):
    splits = {"train": make_index("train", [[0, 1, 2]] * 400), "val": make_index("val", [[]] * 3)}
    (found,) = check_size(splits, NAMES)
    assert (found.kind, found.severity, found.text[:4]) == ("no objects", "high", "val:")
