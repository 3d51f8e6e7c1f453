"""How is a set dealt into folds? Groups that belong together stay whole, and each fold has its share of every class.

Training and validation images are dealt out together; the test images are nobody's. It must not know what is trained.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from peakmark.data.audit.pool import Pool, look_at
from peakmark.data.audit.together import groups_in
from peakmark.data.formats.splitting import deal
from peakmark.data.source.data_yaml import DatasetSpec
from peakmark.data.source.indexed_split import ImageEntry, Index
from peakmark.errors import DataError
from peakmark.files.durable import write_bytes, write_text
from peakmark.nouns.images import IntArray


@dataclass(frozen=True, slots=True)
class Folds:
    """Which image is validated in which fold."""

    pool: Pool
    fold_N: IntArray
    """Of each image of the pool, 0-based."""
    groups: int
    """Of two images or more that were kept whole."""

    def entries(self, fold: int) -> list[ImageEntry]:
        """The images that are validated in a fold, with their truths."""
        images = np.flatnonzero(self.fold_N == fold)
        return [self.pool.index(image).entry(int(self.pool.row_N[image])) for image in images.tolist()]


def make_folds(indexes: Mapping[str, Index], classes: int, k: int, seed: int, workers: int) -> Folds:
    """Deals out the images of train and val. Deterministic. Raises DataError where a fold would have none."""
    pool = look_at({split: index for split, index in indexes.items() if split in ("train", "val")}, workers=workers)
    groups = groups_in(pool)
    counts_GK = np.zeros((len(groups), classes + 1))
    for row, group in enumerate(groups):
        counts_GK[row, -1] = len(group)
        for image in group:
            entry = pool.index(image).entry(int(pool.row_N[image]))
            counts_GK[row, :classes] += np.bincount(entry.classes, minlength=classes)[:classes]
    dealt_G = deal(counts_GK, np.full(k, 1 / k), seed)
    fold_N = np.zeros(len(pool), np.int64)
    for row, group in enumerate(groups):
        fold_N[list(group)] = dealt_G[row]
    missing = [fold + 1 for fold in range(k) if not (fold_N == fold).any()]
    if missing:
        raise DataError(
            f"k={k}: fold {missing[0]} would have no image, since {len(pool):,} images make {len(groups):,} groups"
            " (sequences, near duplicates), which are not torn apart: take fewer folds."
        )
    return Folds(pool, fold_N, sum(len(group) > 1 for group in groups))


def write_folds(folds: Folds, spec: DatasetSpec, folder: Path) -> list[Path]:
    """Writes a data.yaml for each fold, and gives their paths; the data stay where they are. Raises MachineError."""
    paths = [os.path.abspath(folds.pool.path(image)) for image in range(len(folds.pool))]
    files = []
    for fold in range(int(folds.fold_N.max()) + 1):
        place = folder / f"fold{fold + 1}"
        lists = {"train": folds.fold_N != fold, "val": folds.fold_N == fold}
        for split, chosen_N in lists.items():
            _write_list(place / f"{split}.txt", [paths[image] for image in np.flatnonzero(chosen_N)])
        content = {
            "path": str(spec.root),
            **{split: str((place / f"{split}.txt").absolute()) for split in lists},
            "names": dict(enumerate(spec.names)),
        }
        write_text(place / "data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        files.append(place / "data.yaml")
    return files


def _write_list(file: Path, paths: Sequence[str]) -> None:
    write_bytes(file, b"".join(os.fsencode(path) + b"\n" for path in paths))
