"""Folds: every image in one, what belongs together whole, every class everywhere, the same each time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data.dataset import read_dataset
from peakmark.data.folds import Folds, make_folds, write_folds
from peakmark.data.index import build_index
from peakmark.errors import DataError

K = 3


def dealt(data_yaml: Path, k: int = K, seed: int = 0) -> Folds:
    spec = read_dataset(data_yaml)
    indexes = {split: build_index(spec, split) for split in ("train", "val")}
    return make_folds(indexes, len(spec.names), k, seed, workers=1)


@pytest.fixture(scope="module")
def with_copies(tmp_path_factory, write_set) -> Path:
    """Twelve training and six validation images, and a copy of the first training image among each."""
    data_yaml: Path = write_set(tmp_path_factory.mktemp("copies"), train=12, val=6)
    root = data_yaml.parent
    for split in ("train", "val"):
        (root / f"images/{split}/copy.png").write_bytes((root / "images/train/00.png").read_bytes())
        (root / f"labels/{split}/copy.txt").write_bytes((root / "labels/train/00.txt").read_bytes())
    return data_yaml


def test_each_image_is_in_one_fold_copies_in_the_same_and_classes_are_even(with_copies):
    folds = dealt(with_copies)
    names = [path.name for path in map(folds.pool.path, range(len(folds.pool)))]
    assert len(names) == 20
    copies = [number for number, name in enumerate(names) if name == "copy.png" or names.index("00.png") == number]
    assert len(set(folds.fold_N[copies].tolist())) == 1
    assert folds.groups >= 1
    sizes = np.bincount(folds.fold_N, minlength=K)
    assert sizes.min() >= 4
    for fold in range(K):
        classes = np.concatenate([entry.classes for entry in folds.entries(fold)])
        assert set(classes.tolist()) == {0, 1}
    assert (dealt(with_copies).fold_N == folds.fold_N).all()
    assert not (dealt(with_copies, seed=1).fold_N == folds.fold_N).all()


def test_what_is_written_reads_back(with_copies, tmp_path):
    folds = dealt(with_copies)
    files = write_folds(folds, read_dataset(with_copies), tmp_path)
    assert len(files) == K
    held_out = []
    for fold, file in enumerate(files):
        spec = read_dataset(file)
        train, val = (build_index(spec, split) for split in ("train", "val"))
        assert len(train) + len(val) == len(folds.pool)
        assert len(val.classes) == sum(len(entry.classes) for entry in folds.entries(fold))
        held_out += [val.path(number) for number in range(len(val))]
    assert len(set(held_out)) == len(folds.pool)


def test_too_many_folds_for_what_belongs_together_are_refused(tmp_path, write_set):
    data_yaml = write_set(tmp_path, train=2, val=1)
    for path in (tmp_path / "images/train").iterdir():
        cv2.imwrite(str(path), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(DataError, match="k=3: fold"):
        dealt(data_yaml)
