"""Is a validation set of another world told from one that was drawn at random?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from peakmark.data.audit.findings import Finding
from peakmark.data.audit.pool import Pool
from peakmark.data.audit.shift import check_shift
from peakmark.data.source.indexed_split import Index

NAMES = ("cat", "dog")
MakePool = Callable[..., Pool]
MakeIndex = Callable[..., Index]
TRAIN, VAL = 120, 40


def only(pool: Pool) -> Finding:
    (found,) = check_shift(pool, NAMES)
    return found


def by_lot(count: int, share: float = 0.5, seed: int = 0) -> list[list[int]]:
    return [[int(draw < share)] for draw in np.random.default_rng(seed).random(count)]


@pytest.mark.parametrize("seed", range(20))
def test_splits_drawn_by_lot_do_not_differ(make_pool: MakePool, make_index: MakeIndex, seed: int):
    train, val = (
        make_index(split, by_lot(count, seed=seed + count), files=[f"{split}_{n}.png" for n in range(count)])
        for split, count in (("train", TRAIN), ("val", 12))
    )
    assert check_shift(make_pool(train, val, seed=seed), NAMES) == []


def test_another_light(make_pool: MakePool, make_index: MakeIndex):
    pool = make_pool(make_index("train", by_lot(TRAIN)), make_index("val", by_lot(VAL)))
    darker = pool.thumbnails.copy()
    darker[TRAIN:] //= 2
    found = only(replace(pool, thumbnails=darker))
    assert (found.kind, found.severity) == ("brightness differs", "high")
    assert [image.split for image in found.examples[0].images] == ["train", "val"]


def test_other_classes(make_pool: MakePool, make_index: MakeIndex):
    pool = make_pool(make_index("train", by_lot(TRAIN, 0.2)), make_index("val", by_lot(VAL, 0.9)))
    found = only(pool)
    assert (found.kind, found.severity) == ("classes differ", "high")
    assert "of train" in found.examples[0].text


def test_a_few_images_with_many_objects_are_no_proof(make_pool: MakePool, make_index: MakeIndex):
    """Two images full of dogs change the shares of objects; among so few images that is chance."""
    train = make_index("train", [[0]] * 20 + [[1] * 50])
    val = make_index("val", [[0]] * 5)
    assert check_shift(make_pool(train, val), NAMES) == []


def test_other_box_sizes(make_pool: MakePool, make_index: MakeIndex):
    pool = make_pool(make_index("train", by_lot(TRAIN), side=0.1), make_index("val", by_lot(VAL), side=0.4))
    found = only(pool)
    assert found.kind == "box sizes differ"
    assert "median 10 against 40 % of the image's side" in found.text


def test_other_image_sizes_and_shapes(make_pool: MakePool, make_index: MakeIndex):
    train = make_index("train", by_lot(TRAIN))
    kinds = [
        {found.kind for found in check_shift(make_pool(train, make_index("val", by_lot(VAL), size_px=size)), NAMES)}
        for size in ((128, 96), (48, 64))
    ]
    assert kinds == [{"image sizes differ"}, {"image shapes differ"}]


def test_another_camera(make_pool: MakePool, make_index: MakeIndex):
    train, val = (
        make_index(split, by_lot(count), files=[f"{camera}_{number}.png" for number in range(count)])
        for split, count, camera in (("train", TRAIN, "north"), ("val", VAL, "south"))
    )
    found = only(make_pool(train, val))
    assert (found.kind, found.severity) == ("sources differ", "medium")
    assert "north" in found.text


def test_without_a_validation_set_there_is_nothing_to_compare(make_pool: MakePool, make_index: MakeIndex):
    assert check_shift(make_pool(make_index("train", by_lot(TRAIN))), NAMES) == []
