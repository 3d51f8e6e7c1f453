"""Times conversions between formats, and prints a line each.

usage: python benchmarks/convert.py [--objects 100000] [--images 13700] [--keep FOLDER]
A set of that many boxes (by default about as many an image as COCO has) in 640 x 480 px JPEGs, written as VOC, is
converted to COCO, YOLO, LabelMe and VOC. The images are a few pictures under many names, which no conversion minds.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import peakmark
from peakmark.machine.streams import stream

SIZE_PX = (640, 480)
CLASSES = 80
PICTURES = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=13_700)
    parser.add_argument("--keep", type=Path, help="a folder for the data sets, which stay")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    try:
        if not (folder / "voc").exists():
            write_voc(folder / "voc", options.images, options.objects)
        last = folder / "voc"
        for number, to in enumerate(("coco", "yolo", "labelme", "yolo", "voc")):
            last = timed(last, folder / f"{number}-{to}", to=to)
        timed(folder / "1-yolo", folder / "files-copied", to="coco", files="copy")
        print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


def timed(source: Path, target: Path, **settings: Any) -> Path:
    """Converts, and prints how long it took and what came of it."""
    started_at, computed_s = time.perf_counter(), time.process_time()
    done = peakmark.convert(source, target, **settings)
    took_s, computed_s = time.perf_counter() - started_at, time.process_time() - computed_s
    images, objects = (sum(counts) for counts in zip(*done.after.values(), strict=True))
    left_out = sum(done.dropped_by_kind().values())
    print(
        f"{done.source_format:>7} -> {done.target_format:<7} {images:,} images, {objects:,} objects,"
        f" {left_out:,} left out: {took_s:.1f} s, of a processor {computed_s:.1f} s",
        flush=True,
    )
    return target


def write_voc(folder: Path, images: int, objects: int) -> None:
    """Writes the set that is converted: boxes drawn at random, one in fifty images a val image."""
    for place in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / place).mkdir(parents=True)
    draws = stream(0, "benchmark", images)
    pictures = [
        cv2.imencode(".jpg", cv2.resize(draws.integers(0, 256, (48, 64, 3), np.uint8), SIZE_PX))[1].tobytes()
        for _ in range(PICTURES)
    ]
    image_of = np.sort(draws.integers(0, images, objects))
    first = np.searchsorted(image_of, np.arange(images + 1))
    left, top = draws.integers(0, 600, objects), draws.integers(0, 440, objects)
    right, bottom = left + draws.integers(5, 40, objects), top + draws.integers(5, 40, objects)
    classes = draws.integers(0, CLASSES, objects)
    for number in range(images):
        (folder / f"JPEGImages/{number:06d}.jpg").write_bytes(pictures[number % PICTURES])
        boxes = "".join(
            f"<object><name>class {classes[row]}</name><bndbox><xmin>{left[row]}</xmin><ymin>{top[row]}</ymin>"
            f"<xmax>{right[row]}</xmax><ymax>{bottom[row]}</ymax></bndbox></object>"
            for row in range(first[number], first[number + 1])
        )
        size = f"<size><width>{SIZE_PX[0]}</width><height>{SIZE_PX[1]}</height></size>"
        (folder / f"Annotations/{number:06d}.xml").write_text(f"<annotation>{size}{boxes}</annotation>")
    for split, numbers in (("val", range(0, images, 50)), ("train", [n for n in range(images) if n % 50])):
        (folder / f"ImageSets/Main/{split}.txt").write_text("".join(f"{number:06d}\n" for number in numbers))


if __name__ == "__main__":
    main()
