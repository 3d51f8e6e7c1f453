"""Does a repaired split keep together what belongs together, and the sizes of the splits?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from peakmark.data.audit.duplicates import Duplicates
from peakmark.data.audit.pool import Pool
from peakmark.data.audit.repair import repair_split, write_split
from peakmark.data.audit.sequences import Torn
from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index

MakePool = Callable[..., Pool]
MakeIndex = Callable[..., Index]
NOTHING = Duplicates((), ())
WHOLE = Torn((), ())


def pool_of(make_pool: MakePool, make_index: MakeIndex, train: int, val: int) -> Pool:
    return make_pool(make_index("train", [[0]] * train), make_index("val", [[0]] * val))


def test_where_nothing_is_torn_nothing_changes(make_pool: MakePool, make_index: MakeIndex):
    pool = pool_of(make_pool, make_index, 3, 2)
    repair = repair_split(pool, Duplicates((), ((0, 1),)), WHOLE)
    assert repair.splits == {"train": (0, 1, 2), "val": (3, 4)}
    assert (repair.moved, repair.left_out) == (0, 0)


def test_films_are_dealt_out_so_that_the_splits_keep_their_sizes(make_pool: MakePool, make_index: MakeIndex):
    """Five films of ten frames, every fifth frame to validate on: one film has to become the validation set."""
    pool = pool_of(make_pool, make_index, 40, 10)
    films = tuple((*range(8 * film, 8 * film + 8), 40 + 2 * film, 41 + 2 * film) for film in range(5))
    repair = repair_split(pool, NOTHING, Torn((), films))
    assert {split: len(images) for split, images in repair.splits.items()} == {"train": 40, "val": 10}
    assert sum(set(film) <= set(repair.splits["val"]) for film in films) == 1
    assert repair.moved == 8 + 8


def test_groups_of_several_kinds_hang_together(make_pool: MakePool, make_index: MakeIndex):
    pool = pool_of(make_pool, make_index, 4, 4)
    repair = repair_split(pool, Duplicates((), ((0, 5),)), Torn((), ((5, 6),)))
    assert any({0, 5, 6} <= set(images) for images in repair.splits.values())


def test_of_equal_files_one_is_kept_unless_their_labels_differ(make_pool: MakePool, make_index: MakeIndex):
    pool = make_pool(make_index("train", [[0], [1], [0]]), make_index("val", [[0], [0]]))
    repair = repair_split(pool, Duplicates(((0, 1, 3),), ()), WHOLE)
    assert repair.left_out == 1
    assert sorted(image for images in repair.splits.values() for image in images) == [0, 1, 2, 4]
    assert {0, 1} <= set(repair.splits["train"])


def test_the_written_lists_are_read_as_the_same_images(make_dataset: Callable[..., DatasetSpec], tmp_path: Path):
    spec = make_dataset(6)
    index = build_index(spec, "train")
    pool = Pool((index,), np.zeros(6, np.int8), np.arange(6), np.zeros((6, 32, 32), np.uint8), np.full(6, np.nan))
    repair = replace(repair_split(pool, NOTHING, WHOLE), splits={"train": (0, 2, 5), "val": (1, 3)})
    (tmp_path / "train.txt").write_text("a trap: a list of this name beside the data")
    written = read_dataset(write_split(repair, pool, spec, tmp_path / "out"))
    assert written.names == spec.names
    found = {split: build_index(written, split) for split in ("train", "val")}
    assert found["train"].files == tuple(index.files[n] for n in (0, 2, 5))
    assert found["val"].classes.tolist() == [1, 1]
    assert (tmp_path / "out/train.txt").read_text().splitlines()[0] == "images/train/00.png"
