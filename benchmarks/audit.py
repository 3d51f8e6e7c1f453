"""Times an audit, and counts how many planted duplicates it finds, and prints a line each.

usage: python benchmarks/audit.py [--images 2000] [--side 640] [--keep FOLDER]
Drawn pictures of texture and shapes, four in five to train on. Planted are 50 files that are there again and 50 near
copies (scaled, compressed, mirrored, turned upside down, brightened, all of it at once), one in two across the splits.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from peakmark import audit
from peakmark.data.audit.duplicates import find_duplicates
from peakmark.data.audit.pool import look_at
from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.data.shapes.shapes import sample_picture
from peakmark.geometry.boxes import cxcywh_from_xyxy

PLANTED = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--keep", type=Path, help="a folder for the data set, which stays")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    os.environ["PEAKMARK_CACHE"] = str(folder / "cache")
    try:
        if not (folder / "data.yaml").exists():
            write_set(folder, options.images, options.side)
        exact, near = plant(folder, options.images)
        measure(folder, exact, near)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


def write_set(folder: Path, images: int, side_px: int) -> None:
    """Writes the data set without duplicates."""
    for kind in ("images", "labels"):
        for split in ("train", "val"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(write_picture, [(folder, number, side_px) for number in range(images)], chunksize=50))
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [circle, square, triangle, star]\n")


def write_picture(wanted: tuple[Path, int, int]) -> None:
    folder, number, side_px = wanted
    picture = sample_picture("train", number)
    place = place_of(number)
    image = cv2.resize(cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR), (side_px, side_px * 3 // 4))
    (folder / f"images/{place}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    boxes = cxcywh_from_xyxy(picture.boxes_xyxy_px) / picture.image.shape[0]
    lines = (f"{c} {' '.join(f'{value:.6f}' for value in box)}" for c, box in zip(picture.classes, boxes, strict=True))
    (folder / f"labels/{place}.txt").write_text("\n".join(lines) + "\n")


def place_of(number: int) -> str:
    return f"{'val' if number % 5 == 4 else 'train'}/{number:06d}"


def plant(folder: Path, images: int) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Writes the duplicates and gives the names of each original and its copy."""
    exact: set[tuple[str, str]] = set()
    near: set[tuple[str, str]] = set()
    for number in range(2 * PLANTED):
        original = place_of(number * (images // (2 * PLANTED)))
        copy = f"{'val' if number % 4 < 2 else 'train'}/copy{number:03d}"
        data = (folder / f"images/{original}.jpg").read_bytes()
        if number % 2:
            data = changed(data, number // 2)
        (folder / f"images/{copy}.jpg").write_bytes(data)
        shutil.copy(folder / f"labels/{original}.txt", folder / f"labels/{copy}.txt")
        (near if number % 2 else exact).add((f"images/{original}.jpg", f"images/{copy}.jpg"))
    return exact, near


def changed(data: bytes, number: int) -> bytes:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    height, width = image.shape[:2]
    quality, way = 95, number % 6
    if way in (0, 5):
        image = cv2.resize(image, (width * 2 // 5, height * 2 // 5))
    if way in (1, 5):
        quality = 30
    if way in (2, 5):
        image = cv2.flip(image, 1)
    if way == 3:
        image = cv2.flip(image, 0)
    if way == 4:
        image = np.clip(image * 1.1 + 8.0, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def measure(folder: Path, exact: set[tuple[str, str]], near: set[tuple[str, str]]) -> None:
    started = time.perf_counter()
    done = audit(folder / "data.yaml", project=folder / "runs")
    first_s = time.perf_counter() - started
    images = sum(done.images.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{images:,} images audited in {first_s:.1f} s ({1e3 * first_s / images:.1f} ms an image), {peak:,.0f} MiB")
    spec = read_dataset(folder / "data.yaml")
    pool = look_at({split: build_index(spec, split) for split in spec.splits}, workers=os.cpu_count() or 1)
    started = time.perf_counter()
    found = find_duplicates(pool)
    print(f"of them the search for duplicates: {time.perf_counter() - started:.2f} s")
    for name, groups, planted in (("exact", found.exact, exact), ("near", found.near, near)):
        pairs = {frozenset((pool.file(one), pool.file(two))) for group in groups for one in group for two in group}
        given = {pair for pair in pairs if len(pair) == 2}
        wanted = {frozenset(pair) for pair in planted}
        print(
            f"{name}: {len(given & wanted)} of {len(wanted)} planted found, {len(given - wanted)} pairs that were not"
        )


if __name__ == "__main__":
    main()
