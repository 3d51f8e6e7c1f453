"""Data sets of other formats, small and written by hand: what a test says of them is all that is in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from peakmark.data.formats.annotated_set import AnnotatedSet

SIZE_PX = (80, 60)
_HEAD = "<annotation><filename>{file}</filename>{size}"
_SIZE = "<size><width>{}</width><height>{}</height><depth>3</depth></size>"


def write_image(path: Path, size_px: tuple[int, int] = SIZE_PX, shade: int = 0) -> Path:
    """Writes a picture of one colour, told from others by its shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written, content = cv2.imencode(path.suffix, np.full((size_px[1], size_px[0], 3), shade, np.uint8))
    assert written
    path.write_bytes(content.tobytes())
    return path


def voc_object(name: str = "cat", box: Sequence[Any] = (10, 20, 30, 40), more: str = "") -> str:
    edges = "".join(
        f"<{edge}>{value}</{edge}>" for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{edges}</bndbox></object>"


def write_voc(
    folder: Path,
    objects: Mapping[str, Sequence[str]],
    *,
    splits: Mapping[str, Sequence[str]] | None = None,
    more: str = "",
    size_px: tuple[int, int] | None = SIZE_PX,
) -> Path:
    """Writes a VOC folder: the objects of each image by its name without ending."""
    (folder / "Annotations").mkdir(parents=True)
    for number, (stem, of_image) in enumerate(objects.items()):
        size = _SIZE.format(*size_px) if size_px else ""
        text = _HEAD.format(file=f"{stem}.png", size=size) + more + "".join(of_image) + "</annotation>"
        (folder / "Annotations" / f"{stem}.xml").write_text(text)
        write_image(folder / "JPEGImages" / f"{stem}.png", shade=number)
    for split, stems in (splits or {}).items():
        list_file = folder / "ImageSets" / "Main" / f"{split}.txt"
        list_file.parent.mkdir(parents=True, exist_ok=True)
        list_file.write_text("".join(f"{stem}\n" for stem in stems))
    return folder


def coco_content(**changes: Any) -> dict[str, Any]:
    """Two images of 80 x 60 px, two classes with a hole between their numbers, and one object."""
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 80, "height": 60},
            {"id": 2, "file_name": "b.png", "width": 80, "height": 60},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 4, "name": "dog"}],
        "annotations": [coco_object(1)],
    } | changes


def coco_object(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 1, "category_id": 1, "bbox": [10, 20, 20, 20], "iscrowd": 0} | changes


def write_coco(folder: Path, content: Any, split: str = "train") -> Path:
    """Writes a COCO folder with the images a.png and b.png, and gives the JSON file."""
    file = folder / "annotations" / f"instances_{split}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    for number, name in enumerate(("a.png", "b.png")):
        write_image(folder / "images" / split / name, shade=number)
    return file


def write_labelme(folder: Path, shapes: Any, name: str = "a", **changes: Any) -> Path:
    content = {"shapes": shapes, "imagePath": f"{name}.png", "imageData": None, "imageWidth": 80, "imageHeight": 60}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content | changes))
    return folder


def shape(
    label: Any = "cat", points: Any = ((10, 20), (30, 40)), kind: Any = "rectangle", **more: Any
) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


@pytest.fixture
def yolo_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes a YOLO data set of these label texts, by split and name, and gives its data.yaml."""

    def make(labels: Mapping[str, str], names: Sequence[str] = ("cat", "dog")) -> Path:
        root = tmp_path / "yolo"
        for number, (place, text) in enumerate(labels.items()):
            write_image(root / "images" / f"{place}.png", shade=number)
            label = root / "labels" / f"{place}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(text)
        splits = "".join(
            f"{split}: images/{split}\n" for split in dict.fromkeys(place.split("/")[0] for place in labels)
        )
        (root / "data.yaml").write_text(f"{splits}names: {json.dumps(list(names))}\n")
        return root / "data.yaml"

    return make


def balanced(annotated: AnnotatedSet) -> bool:
    """Whether every image and object that was met is in the set or in the account, once."""
    account = annotated.account
    taken = sum(len(image.objects) for image in annotated.images)
    objects = sum(account.objects.values()) == taken + sum(entry.objects for entry in account.dropped)
    images = sum(account.images.values()) == len(annotated.images) + sum(entry.images for entry in account.dropped)
    return objects and images
