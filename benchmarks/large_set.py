"""How long does a start take on a set of a million images, and what does an epoch cost beside its images?

Run: python benchmarks/large_set.py [--images 1000000] [FOLDER]. Makes a set of links to one tiny image and one label
file (two links an image, on a disk that has hard links), indexes it once, and measures a second start, when nothing has
changed, stage by stage: what a training does before its first batch, and again at each epoch's start.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from peakmark.data.audit.quick import quick_notes
from peakmark.data.cache import ImageCache
from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.data.loader import Microbatch, TrainLoader
from peakmark.data.order import epoch_order
from peakmark.record.data_listing import render
from peakmark.run.open_data import open_cache
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION

T = TypeVar("T")
_FOLDERS = 100
"""Files are spread over so many: a folder of a million is slow on any disk."""


def make_set(root: Path, images: int) -> Path:
    picture = cv2.imencode(".png", np.full((32, 32, 3), 90, np.uint8))[1].tobytes()
    for folder in range(_FOLDERS):
        # A source for each folder: a file can't have a million names.
        places = [root / kind / "train" / f"{folder:03d}" for kind in ("images", "labels")]
        for place in places:
            place.mkdir(parents=True)
        image, label = root / f"{folder}.png", root / f"{folder}.txt"
        image.write_bytes(picture)
        label.write_text("0 0.5 0.5 0.4 0.4\n1 0.3 0.3 0.2 0.2\n")
        for number in range(folder, images, _FOLDERS):
            os.link(image, places[0] / f"{number:07d}.png")
            os.link(label, places[1] / f"{number:07d}.txt")
    data_yaml = root / "data.yaml"
    data_yaml.write_text("train: images/train\nval: images/train\nnames: [a, b]\n")
    return data_yaml


def timed(what: str, ask: Callable[[], T]) -> T:
    started_s = time.perf_counter()
    answer = ask()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<52}{time.perf_counter() - started_s:9.2f} s   peak {peak_mib:7.0f} MiB", flush=True)
    return answer


def measure(root: Path, images: int, *, first: bool) -> None:
    spec, workers, cache = read_dataset(root / "data.yaml"), os.cpu_count() or 1, root / "cache"
    index = timed("index", lambda: build_index(spec, "train", workers=workers, cache_folder=cache))
    timed("quick part of the audit", lambda: quick_notes(index, None, ("a", "b")))
    if first:
        return
    assert len(index) == images
    settings = Settings(data=str(root / "data.yaml"), imgsz=32)
    timed("listing of the data for the run's folder", lambda: render({"train": index.file_digests()}))
    image_cache: ImageCache = timed("image cache opened (cache=auto)", lambda: open_cache(index, 32, "auto"))
    loader = timed("loader", lambda: TrainLoader(index, image_cache, settings, 0, VERSION))
    parts = [Microbatch(first, 16) for first in range(0, images - 15, 16)]
    batches = loader.batches(0, parts, mosaic_open=True)
    timed("first batch of an epoch, order included", lambda: next(iter(batches)))
    timed("order of an epoch alone", lambda: epoch_order(0, 1, images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wishes.folder) as folder:
        root = Path(folder)
        os.environ["PEAKMARK_CACHE"] = str(root / "cache")
        timed(f"{wishes.images:,} images linked", lambda: make_set(root, wishes.images))
        print("first start")
        measure(root, wishes.images, first=True)
        print("second start: nothing changed")
        measure(root, wishes.images, first=False)


if __name__ == "__main__":
    main()
