"""How is a data set written by LabelMe? A JSON file beside each image, with shapes that have a label.

Rectangles are boxes; the box around a polygon is taken, and one box around all polygons of a group, which are one
object there. Circles, lines and points are no boxes.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from peakmark.data.formats.annotated_set import (
    SPLITS,
    Account,
    AnnotatedImage,
    AnnotatedSet,
    Gathering,
    as_number,
    shown,
    split_called,
)
from peakmark.data.formats.plain_files import BadFileError, read_json
from peakmark.data.formats.source_images import SourceImages, safe_name
from peakmark.data.formats.wishes import Target, Wishes
from peakmark.data.source.paths import with_slashes
from peakmark.errors import DataError

_DECIMALS = 5
_AROUND = {"polygon": 3, "rectangle": 2}
"""Shapes of which the box around is the object's, and how many points they need."""
_LOOK_BYTES = 1 << 14
_A_KEY = re.compile(rb'"(shapes|imagePath|imageData)"\s*:')
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is one object: a shape, or the polygons of a group."""

    label: Any
    points: list[Any]
    where: str


def recognises(source: Path) -> bool:
    """Whether a folder has a LabelMe file in it, or in folders of splits."""
    return source.is_dir() and any(
        _looks_like_labelme(next(iter(sorted(folder.glob("*.json"))), None))
        for folder in (source, *(path for path in source.iterdir() if path.is_dir()))
    )


def read(source: Path, wishes: Wishes) -> AnnotatedSet:
    """Reads all JSON files in a folder and the folders in it. Raises DataError where there are none."""
    if not source.is_dir():
        raise DataError(f"{source}: LabelMe's files lie in a folder; give that folder.")
    account = Account()
    folders = [path for path in sorted(source.iterdir()) if path.is_dir() and split_called(path.name)]
    folders.sort(key=lambda path: SPLITS.index(split_called(path.name) or "train"))
    files = [(file, folder) for folder in folders or [source] for file in sorted(folder.rglob("*.json"))]
    if not files:
        raise DataError(f"{source}: there is no JSON file in it.")
    if not folders:
        account.note("No split is named, so all images are in train; split=0.8,0.1,0.1 makes one.")
    gathering = Gathering(account, wishes.names, keep_difficult=wishes.keep_difficult, keep_crowds=wishes.keep_crowds)
    reader = _Reader(source, wishes, account, gathering)
    images = []
    for number, (file, folder) in enumerate(files, start=1):
        split = (split_called(folder.name) if folders else None) or "train"
        if (image := reader.image_of(file, folder, split)) is not None:
            images.append(image)
        wishes.progress(number, len(files))
    found = sorted({annotation.name for image in images for annotation in image.objects})
    if wishes.names is None and found:
        words = shown(", ".join(found))
        account.note(f"LabelMe numbers no classes; they are taken in the order of their names: {words}.")
    return AnnotatedSet(wishes.names or tuple(found), images, account)


class _Reader:
    def __init__(self, source: Path, wishes: Wishes, account: Account, gathering: Gathering) -> None:
        self._source, self._wishes, self._account, self._gathering = source, wishes, account, gathering
        self._images = SourceImages(account, wishes.max_image_pixels)

    def image_of(self, file: Path, folder: Path, split: str) -> AnnotatedImage | None:
        where = str(file)
        try:
            content = read_json(file)
            if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
                raise BadFileError("it is no LabelMe file: it has no list shapes")
        except BadFileError as error:
            return self._images.leave_out("unreadable annotation", split, where, str(error), 0)
        shapes = self._shapes(content["shapes"], file, split)
        path = self._file(content.get("imagePath"), file, split)
        size = as_number(content.get("imageWidth")), as_number(content.get("imageHeight"))
        stated = size if size[0] > 0 and size[1] > 0 else None
        inside = file.relative_to(folder).parent
        if path is None and isinstance(content.get("imageData"), str):
            image = self._embedded(content["imageData"], file, inside, split, stated, len(shapes))
        else:
            name = (inside / (path.name if path else f"{file.stem}.jpg")).as_posix()
            image = self._images.open(path, name, split, stated, where, len(shapes))
        if image is None:
            return None
        for shape in shapes:
            self._gathering.take(image, shape.label, _around(shape.points), shape.where)
        return image

    def _file(self, written: Any, file: Path, split: str) -> Path | None:
        """Finds the image by the path in the annotation, where it stays inside the source, or else by its name."""
        given = [self._wishes.images / split, self._wishes.images] if self._wishes.images else []
        if not isinstance(written, str) or "\0" in written:
            return None
        beside = os.path.normpath(file.parent / with_slashes(written))
        roots = [os.path.join(os.path.abspath(root), "") for root in (self._source, *given)]
        if os.path.abspath(beside).startswith(tuple(roots)) and os.path.isfile(beside):
            return Path(beside)
        name = safe_name(PurePosixPath(with_slashes(written)).name)
        return self._images.find([name], [*given, file.parent]) if name else None

    def _embedded(
        self, data: str, file: Path, inside: Path, split: str, stated: tuple[float, float] | None, objects: int
    ) -> AnnotatedImage | None:
        """Takes the image out of the annotation, where it lies as text."""
        where = f"{file}, imageData"
        try:
            content = _decoded(data)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as header:
                # As the index sees it: upright, after its EXIF orientation.
                turned = header.getexif().get(0x0112) in (5, 6, 7, 8)
                size, kind = header.size[:: -1 if turned else 1], str(header.format).lower()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return self._images.leave_out("unreadable image", split, where, f"it is no image ({error})", objects)
        if size[0] * size[1] > self._wishes.max_image_pixels:
            text = f"it has {size[0] * size[1]:,} px, more than {self._wishes.max_image_pixels:,}"
            return self._images.leave_out("unreadable image", split, where, text, objects)
        name = (inside / f"{file.stem}.{'jpg' if kind == 'jpeg' else kind}").as_posix()
        image = self._images.sized(None, name, split, (size[0], size[1]), stated, where, objects)
        if image is not None:
            image.embedded = _LazyImage(file)
            self._account.lost["images that lie inside annotations: written as files"] += 1
        return image

    def _shapes(self, shapes: Sequence[Any], file: Path, split: str) -> list[_Shape]:
        found: list[_Shape] = []
        groups: dict[tuple[Any, Any], _Shape] = {}
        for number, shape in enumerate(shapes):
            where = f"{file}, shapes[{number}]"
            kind = shape.get("shape_type", "polygon") if isinstance(shape, dict) else None
            points = shape.get("points") if isinstance(shape, dict) else None
            needed = _AROUND.get(kind) if isinstance(kind, str) else None
            if needed is None or not isinstance(points, list) or len(points) < needed:
                self._account.objects[split] += 1
                known = isinstance(kind, str) and needed is None
                text = f"its shape_type {shown(kind)} has no box" if known else "it has no points that make a box"
                self._account.drop("shape without a box" if known else "box that is no box", where, text)
                continue
            self._account.lost["outlines"] += kind == "polygon"
            group = (shape.get("group_id"), shape.get("label"))
            if kind == "polygon" and isinstance(group[0], int) and isinstance(group[1], str):
                if group in groups:
                    groups[group].points.extend(points)
                    self._account.lost["polygons joined to one object by their group_id"] += 1
                    continue
                groups[group] = _Shape(group[1], list(points), where)
                found.append(groups[group])
            else:
                found.append(_Shape(shape.get("label"), points, where))
        return found


@dataclass(frozen=True, slots=True)
class _LazyImage:
    """Reads the image again when it is written: those of a whole set don't fit into the memory."""

    file: Path

    def __call__(self) -> bytes:
        try:
            return _decoded(read_json(self.file)["imageData"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.file}: it was changed while it was converted; begin again.") from error


def write(annotated: AnnotatedSet, target: Target) -> None:
    """Writes SPLIT/name.json beside SPLIT/name.jpg."""
    for number, image in enumerate(annotated.images, start=1):
        name = PurePosixPath(target.names.nested(image))
        target.progress(number, len(annotated.images))
        target.place(f"{image.split}/{name}", image.path, image.embedded)
        content: dict[str, Any] = {
            "version": "5.0.1",
            "flags": {},
            "shapes": [
                {
                    "label": each.name,
                    "points": [[_px(value) for value in each.box_xyxy_px[corner : corner + 2]] for corner in (0, 2)],
                    "group_id": None,
                    "shape_type": "rectangle",
                    "flags": {},
                }
                for each in image.objects
            ],
            "imagePath": name.name,
            "imageData": None,
            "imageHeight": image.height_px,
            "imageWidth": image.width_px,
        }
        text = json.dumps(content, ensure_ascii=False, indent=1)
        target.folder.write(f"{image.split}/{name.with_suffix('.json')}", text.encode())


def _px(value: float) -> float:
    return round(value, _DECIMALS)


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _around(points: Iterable[Any]) -> list[float]:
    """Gives the box around points; of NaN where one of them is no point."""
    pairs = [
        (as_number(point[0]), as_number(point[1])) if isinstance(point, list) and len(point) == 2 else (math.nan,) * 2
        for point in points
    ]
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    if not all(map(math.isfinite, [*xs, *ys])):
        return [math.nan] * 4
    return [min(xs), min(ys), max(xs), max(ys)]


def _looks_like_labelme(file: Path | None) -> bool:
    if file is None:
        return False
    try:
        with open(file, "rb") as stream:
            head = stream.read(_LOOK_BYTES)
    except OSError:
        return False
    return bool(_A_KEY.search(head))
