"""A surveyed split of any labels, and pools of images that nobody has to write or decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from peakmark.data.audit.pool import Pool
from peakmark.data.dataset import DatasetSpec
from peakmark.data.index import SurveyedSplit, survey_split
from peakmark.data.source.indexed_split import Index


@pytest.fixture
def surveyed(make_dataset: Callable[..., DatasetSpec]) -> Callable[..., SurveyedSplit]:
    """Surveys the train split of a data set with these label texts."""

    def make(labels: Mapping[int, str] | None = None, count: int = 3) -> SurveyedSplit:
        return survey_split(make_dataset(count, labels), "train")

    return make


@pytest.fixture
def make_index() -> Callable[..., Index]:
    """Makes an index of images that show these classes, in boxes of `side` of the image."""

    def make(
        split: str,
        classes_per_image: Sequence[Sequence[int]],
        *,
        files: Sequence[str] | None = None,
        side: float = 0.2,
        size_px: tuple[int, int] = (64, 48),
    ) -> Index:
        counts = [len(classes) for classes in classes_per_image]
        classes = np.array([c for of_image in classes_per_image for c in of_image], np.int64)
        digests = np.arange(len(counts) * 16, dtype=np.int64).reshape(-1, 16) + len(split) * 7
        return Index(
            split=split,
            labelled=np.ones(len(counts), np.bool_),
            folder=Path("set"),
            files=tuple(files or (f"{split}/{number}.png" for number in range(len(counts)))),
            widths_px=np.full(len(counts), size_px[0], np.int32),
            heights_px=np.full(len(counts), size_px[1], np.int32),
            digests=digests.astype(np.uint8),
            offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            boxes_cxcywh_norm=np.tile(np.array([0.5, 0.5, side, side], np.float32), (len(classes), 1)),
            classes=classes,
            unreadable=(),
            warnings=(),
            verify="full",
        )

    return make


@pytest.fixture
def make_pool() -> Callable[..., Pool]:
    """Makes a pool of indexes whose images look like these (random blobs where nothing is said)."""

    def make(
        *indexes: Index,
        thumbnails: NDArray[np.uint8] | None = None,
        taken_at_s: Sequence[float] | None = None,
        seed: int = 0,
    ) -> Pool:
        count = sum(map(len, indexes))
        noise = np.random.default_rng(seed).uniform(0, 255, (count, 5, 5)).astype(np.float32)
        blobs = np.stack([cv2.resize(each, (32, 32), interpolation=cv2.INTER_CUBIC) for each in noise])
        return Pool(
            indexes=indexes,
            split_N=np.repeat(np.arange(len(indexes), dtype=np.int8), [len(index) for index in indexes]),
            row_N=np.concatenate([np.arange(len(index)) for index in indexes]),
            thumbnails=np.clip(blobs, 0, 255).astype(np.uint8) if thumbnails is None else thumbnails,
            taken_at_s_N=np.full(count, np.nan) if taken_at_s is None else np.array(taken_at_s, np.float64),
        )

    return make
