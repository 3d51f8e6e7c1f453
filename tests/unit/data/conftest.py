"""A small data set on disk, and a cache folder that is not the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data.dataset import DatasetSpec, read_dataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PEAKMARK_CACHE", str(folder))
    return folder


@pytest.fixture
def write_image() -> Callable[..., None]:
    """Writes an image of random pixels; each `number` gives another one."""

    def write(file: Path, number: int = 0, width_px: int = 40, height_px: int = 20) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(number).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
        file.write_bytes(cv2.imencode(file.suffix, image)[1].tobytes())

    return write


@pytest.fixture
def make_dataset(tmp_path: Path, write_image: Callable[..., None]) -> Callable[..., DatasetSpec]:
    """Makes a data set of `count` PNGs of 40 x 20 px with the given label texts, and reads its data.yaml."""

    def make(count: int = 3, labels: Mapping[int, str] | None = None, root: Path = tmp_path) -> DatasetSpec:
        for number in range(count):
            write_image(root / f"images/train/{number:02d}.png", number)
            file = root / f"labels/train/{number:02d}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text((labels or {}).get(number, f"{number % 2} 0.5 0.5 0.25 0.5\n"))
        (root / "data.yaml").write_text("train: images/train\nval: images/train\nnames: [cat, dog]\n")
        return read_dataset(root / "data.yaml")

    return make
