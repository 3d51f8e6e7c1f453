"""The made sets of `accuracy.py`: pictures drawn from a seed, each of a kind that people's own sets are of.

tiny: objects of 4 to 16 px. dense: 300 objects a picture. imbalance: 100 of one class for one of another. few: 30
pictures to train on, of the sample set's shapes. All are 320 px wide and high; train, val and test are drawn apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.data.shapes.drawn_shapes import NAMES, SIDE_PX, draw_picture
from peakmark.geometry.boxes import cxcywh_from_xyxy

_SHIFT = 4
"""Bits of a pixel's fraction in OpenCV's coordinates: centres lie anywhere, not on whole pixels."""
_CORNERS = {"square": 4, "triangle": 3}
_TINY, _DENSE, _USUAL = (4.0, 16.0), (7.0, 20.0), (12.0, 60.0)

Row = tuple[int, float, float, float, float]
"""Class, centre x and y, width, height, in px."""
Draw = Callable[[np.random.Generator], tuple[NDArray[np.uint8], list[Row]]]


def write_made_set(kind: str, folder: Path) -> Path:
    """Writes a set in the YOLO layout, where it isn't there yet, and gives its data.yaml."""
    names, counts, of_train, of_others = KINDS[kind]
    data_yaml = folder / "data.yaml"
    if data_yaml.exists():
        return data_yaml
    for number, (split, count) in enumerate(zip(("train", "val", "test"), counts, strict=True)):
        for part in ("images", "labels"):
            (folder / part / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            rng = np.random.default_rng((sorted(KINDS).index(kind), number, index))
            image, rows = (of_train if split == "train" else of_others)(rng)
            cv2.imwrite(str(folder / f"images/{split}/{index:04d}.png"), image)
            lines = (f"{row[0]} " + " ".join(f"{value / SIDE_PX:.6f}" for value in row[1:]) for row in rows)
            (folder / f"labels/{split}/{index:04d}.txt").write_text("".join(f"{line}\n" for line in lines))
    listed = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    splits = "".join(f"{split}: images/{split}\n" for split in ("train", "val", "test"))
    # The last thing written: a set that was cut off is written anew.
    data_yaml.write_text(f"path: {folder.resolve()}\n{splits}names:\n{listed}")
    return data_yaml


def _objects(
    sizes_px: tuple[float, float], most: tuple[int, int], shares: Sequence[float] = (1 / 3, 1 / 3, 1 / 3)
) -> Draw:
    """Draws `most` objects (from, to) of these sizes, of the classes disc, square, triangle by their shares."""

    def draw(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[Row]]:
        image, rows = _ground(rng), list[Row]()
        taken = np.zeros((SIDE_PX, SIDE_PX), np.bool_)
        wanted = int(rng.integers(most[0], most[1] + 1))
        for _ in range(50 * wanted):
            if len(rows) == wanted:
                break
            size = float(np.exp(rng.uniform(*np.log(sizes_px))))
            x, y = rng.uniform(size / 2 + 1, SIDE_PX - size / 2 - 1, 2).tolist()
            label = int(rng.choice(len(shares), p=shares))
            corners = _outline(("disc", "square", "triangle")[label], x, y, size, rng)
            low, high = corners.min(axis=0), corners.max(axis=0)
            window = tuple(slice(int(a), int(b) + 2) for a, b in zip(low[::-1], high[::-1], strict=True))
            if taken[window].any():
                continue
            taken[window] = True
            under = image[window].reshape(-1, 3).mean(axis=0)
            colour = (under + rng.choice([-1, 1]) * rng.uniform(50, 90)).clip(0, 255) + rng.normal(0, 6, 3)
            cv2.fillPoly(image, [np.round(corners * 2**_SHIFT).astype(np.int32)], colour.tolist(), cv2.LINE_AA, _SHIFT)
            rows.append((label, *((low + high) / 2).tolist(), *(high - low).tolist()))
        noisy = image + rng.normal(0, 5, image.shape)
        return noisy.clip(0, 255).astype(np.uint8), rows

    return draw


def _ground(rng: np.random.Generator) -> NDArray[np.float32]:
    """A soft ground of many scales, so that no brightness by itself tells an object."""
    ground = np.full((SIDE_PX, SIDE_PX, 3), 128.0, np.float32)
    for cells, strength in ((3, 35), (10, 18), (40, 8)):
        grid = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        ground += cv2.resize(grid, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return ground


def _outline(shape: str, x: float, y: float, size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(corners, 2) of an object that is about `size` px wide and high."""
    corners = _CORNERS.get(shape, 24)
    angles = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
    outline = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    return np.asarray(np.array([x, y]) + outline * size / np.ptp(outline, axis=0).max(), np.float64)


def _shapes(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[Row]]:
    picture = draw_picture(rng)
    boxes = cxcywh_from_xyxy(picture.boxes_xyxy_px).tolist()
    rows: list[Row] = [(int(label), *box) for label, box in zip(picture.classes, boxes, strict=True)]
    return np.ascontiguousarray(picture.image[..., ::-1]), rows


_THREE = ("disc", "square", "triangle")
_tiny, _dense = _objects(_TINY, (1, 8)), _objects(_DENSE, (300, 300))
_rare, _less_rare = (_objects(_USUAL, (4, 8), (n / (n + 1), 1 / (n + 1))) for n in (100, 10))
KINDS: dict[str, tuple[Sequence[str], tuple[int, int, int], Draw, Draw]] = {
    "tiny": (_THREE, (200, 60, 60), _tiny, _tiny),
    "dense": (_THREE, (60, 20, 20), _dense, _dense),
    # Held out, the rare class is one in eleven: of one in a hundred there would be too few to measure anything by.
    "imbalance": (_THREE[:2], (300, 100, 100), _rare, _less_rare),
    "few": (NAMES, (30, 100, 100), _shapes, _shapes),
    "shapes": (NAMES, (200, 60, 60), _shapes, _shapes),
}
"""Names of the classes, pictures of train, val and test, and how one of train and one of the others is drawn."""
