"""Are copies found whatever was done to them, and nothing else, without comparing all with all?"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from peakmark.data.audit import likeness
from peakmark.data.audit.likeness import alike_pairs

Grey = NDArray[np.uint8]


def scene(number: int, height_px: int = 96, width_px: int = 128) -> Grey:
    """Blobs of all sizes; each number gives another one."""
    rng = np.random.default_rng(number)
    image = np.full((height_px, width_px), float(rng.integers(60, 200)), np.float32)
    for _ in range(14):
        centre = (int(rng.integers(width_px)), int(rng.integers(height_px)))
        cv2.circle(image, centre, int(rng.integers(4, 30)), float(rng.integers(0, 256)), cv2.FILLED)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def small(images: list[Grey]) -> Grey:
    return np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) for image in images]).astype(np.uint8)


def compressed(image: Grey, quality: int) -> Grey:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0), np.uint8)


def scaled(image: Grey, width_px: int, height_px: int) -> Grey:
    return np.asarray(cv2.resize(image, (width_px, height_px)), np.uint8)


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "half the size": lambda image: scaled(image, 64, 48),
    "squeezed": lambda image: scaled(image, 50, 90),
    "compressed": lambda image: compressed(image, 30),
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned round": lambda image: image[::-1, ::-1],
    "brighter": lambda image: np.clip(image * 1.1 + 10.0, 0, 255).astype(np.uint8),
    "all at once": lambda image: compressed(scaled(image[:, ::-1], 80, 60), 50),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found_and_nothing_else(change: str):
    originals = [scene(number) for number in range(60)]
    copies = [CHANGES[change](image) for image in originals[:20]]
    pairs = alike_pairs(small(originals + copies))
    found = set(zip(pairs.first_P.tolist(), pairs.second_P.tolist(), strict=True))
    assert found == {(number, 60 + number) for number in range(20)}


def test_equal_shades_with_other_details_are_other_pictures():
    shades = small([scene(1)])[0] / 2.0 + 60
    down, across = np.indices((32, 32))
    pictures = [shades + 40 * (-1) ** stripes for stripes in (down, across, down + across)]
    assert len(alike_pairs(np.stack(pictures).astype(np.uint8)).first_P) == 0


def test_a_thousand_equal_pictures_hang_together_without_a_million_comparisons(monkeypatch):
    compared = []
    differences = likeness._differences

    def count(pictures: Grey, first: NDArray[np.int64], *others: NDArray[np.int64]) -> NDArray[np.float32]:
        compared.append(len(first))
        return differences(pictures, first, *others)

    monkeypatch.setattr(likeness, "_differences", count)
    pairs = alike_pairs(small([scene(1)] * 1000 + [scene(2)]))
    assert sum(compared) < 1000 * 8 * 24 * 2
    reached = {0}
    for _ in range(200):
        touching = np.isin(pairs.first_P, list(reached)) | np.isin(pairs.second_P, list(reached))
        reached |= set(pairs.first_P[touching].tolist()) | set(pairs.second_P[touching].tolist())
    assert reached == set(range(1000))


def test_pictures_of_one_colour_are_alike():
    dark, light = np.full((96, 128), 5, np.uint8), np.full((96, 128), 250, np.uint8)
    assert len(alike_pairs(small([dark, light, scene(1)])).first_P) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_there_may_be_nothing_to_compare(count: int):
    assert len(alike_pairs(np.zeros((count, 32, 32), np.uint8)).first_P) == 0
