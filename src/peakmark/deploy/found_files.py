"""How are the detections of a validation written, as other programs read them? COCO results, or label files.

It must not know how anything was found or judged.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from peakmark.data.source.indexed_split import Index
from peakmark.deploy.boxes import Boxes, label_lines
from peakmark.files import durable
from peakmark.nouns.images import Detections

_DECIMALS = 5
"""Of a px or a confidence: finer than float32 holds for a picture of 1000 px."""


class CocoResults:
    """One list of detections, as COCO's `loadRes` reads it: image_id, category_id, bbox (x, y, width, height), score.

    image_id is the file's name without its ending, as a number where it is one (000000000139.jpg is 139): so it is in
    COCO's own sets. Where two images would share one, it is the whole path in the set. category_id is the number of the
    class in data.yaml.
    """

    def __init__(self, file: Path, index: Index) -> None:
        self._file = file
        self._names = _names(index)
        self._files = index.files
        self._rows: list[str] = []

    def add(self, number: int, found: Detections) -> None:
        """Takes what was found in an image of the set, in px of the original image."""
        name = self._names[number]
        boxes = found.boxes_xyxy_px.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        for box, score, class_number in zip(boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True):
            row = {
                "image_id": int(name) if name.isascii() and name.isdigit() else name,
                "file_name": self._files[number],
                "category_id": class_number,
                "bbox": [round(side, _DECIMALS) for side in box],
                "score": round(score, _DECIMALS),
            }
            self._rows.append(json.dumps(row, ensure_ascii=False))

    def finish(self) -> str:
        """Writes the file, and says what its numbers mean. Raises `MachineError`."""
        durable.write_text(self._file, "[" + ",".join("\n" + row for row in self._rows) + "\n]\n")
        return (
            f"{self._file.name}: {len(self._rows):,} detections as COCO results. image_id is the file's name without"
            " ending (a number where it is one), category_id the number of the class in data.yaml."
        )


class FoundLabels:
    """A label file for each image: `class cx cy w h`, in 0..1, and the confidence behind where that is wished."""

    def __init__(self, folder: Path, index: Index, *, with_confidence: bool) -> None:
        self._folder = folder
        self._index = index
        self._names = _names(index)
        self._with_confidence = with_confidence

    def add(self, number: int, found: Detections) -> None:
        """Writes the label file of an image; empty where nothing was found. Raises `MachineError`."""
        shape = int(self._index.heights_px[number]), int(self._index.widths_px[number])
        lines = label_lines(Boxes.from_detections(found, shape), self._with_confidence)
        durable.write_text(self._folder / f"{self._names[number]}.txt", lines)

    def finish(self) -> str:
        """Says where they are."""
        return f"{self._folder.name}/: the detections of {len(self._names):,} images as label files."


def _names(index: Index) -> list[str]:
    """A name for each image that no other one has, without its ending."""
    stems = [Path(file).stem for file in index.files]
    # Compared without case: on some disks A.txt and a.txt are one file.
    shared = Counter(stem.casefold() for stem in stems)
    return [
        stem if shared[stem.casefold()] == 1 else Path(file).as_posix().strip("/").replace("/", "_")
        for stem, file in zip(stems, index.files, strict=True)
    ]
