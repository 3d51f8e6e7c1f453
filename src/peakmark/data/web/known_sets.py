"""Which data sets of the field are known by name, and where would they come from?

Names and addresses are facts that their publishers state. A file of that name in the working directory goes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from peakmark.errors import DataError
from peakmark.files.durable import write_text
from peakmark.machine.cache_folder import cache_folder

_ASSETS = "https://github.com/ultralytics/assets/releases/download/v0.0.0"
_COCO = "http://images.cocodataset.org"

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis",
    "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier",
    "toothbrush",
)  # fmt: skip
"""In the order of COCO's numbers, as COCO calls them."""


@dataclass(frozen=True, slots=True)
class KnownSet:
    """A data set that people name without having it."""

    name: str
    address: str | None
    """Of an archive in YOLO's layout; None where it is not to be had so."""
    train: str = ""
    val: str = ""
    instead: str = ""
    """Where there is no address: what to do, in sentences."""


KNOWN_SETS = {
    each.name: each
    for each in (
        KnownSet("coco8.yaml", f"{_ASSETS}/coco8.zip", "images/train", "images/val"),
        KnownSet("coco128.yaml", f"{_ASSETS}/coco128.zip", "images/train2017", "images/train2017"),
        KnownSet(
            "coco.yaml",
            None,
            instead="COCO's publisher serves it without encryption, so that nothing is fetched from there by itself."
            f" Fetch {_COCO}/zips/train2017.zip (19 GB), {_COCO}/zips/val2017.zip (1 GB) and"
            f" {_COCO}/annotations/annotations_trainval2017.zip yourself, unpack all three into one folder coco, and"
            " write data=coco: COCO's own files are read as they are.",
        ),
    )
}


def known_yaml(known: KnownSet) -> Path:
    """Gives a data.yaml of a known data set. Raises DataError where it can't be fetched, with what to do."""
    if known.address is None:
        raise DataError(f"data={known.name}: there is no such file. {known.instead}")
    content = {
        "train": known.train, "val": known.val, "names": dict(enumerate(COCO_CLASSES)), "download": known.address
    }  # fmt: skip
    text = yaml.safe_dump(content, sort_keys=False)
    file = cache_folder() / "known" / known.name
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)
    return file
