"""How is a data set written as COCO? One JSON file a split, which names images, classes and boxes by numbers.

The numbers of classes may have holes (COCO's 80 classes have numbers up to 90); here they are counted without. A box is
its left and top edge, width and height, in pixels from 0.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from peakmark.data.formats.annotated_set import (
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
from peakmark.errors import DataError

_DECIMALS = 5
_LOOK_BYTES = 1 << 10
_FIRST_KEY = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"(images|annotations|categories|info|licenses|type)"\s*:')
_INSTANCES = re.compile(r"(?i)(?:instances?|annotations?|person|captions)?[_-]?(.*)")


@dataclass(frozen=True, slots=True)
class Part:
    """A JSON file and the split that its name, or its folder's, stands for."""

    file: Path
    split: str | None
    tag: str
    """What is behind instances_ in its name: the name of the folder of its images, in COCO's own layout."""


def recognises(source: Path) -> bool:
    """Whether a file, or a folder, looks like COCO."""
    if source.is_file():
        return source.suffix.lower() == ".json" and _looks_like_coco(source)
    return source.is_dir() and bool(parts_of(source))


def parts_of(source: Path) -> list[Part]:
    """Gives the JSON files of a source: itself, those in annotations/, in the folder, or in folders of splits."""
    if source.is_file():
        return [_part(source)]
    if not source.is_dir():
        return []
    for folder in (source / "annotations", source):
        files = [path for path in sorted(folder.glob("*.json")) if _looks_like_coco(path)]
        # Captions and key points of the same images lie beside the boxes in COCO's own folder.
        boxes = [path for path in files if path.name.lower().startswith("instances")]
        if files:
            return [_part(path) for path in boxes or files]
    folders = [path for path in sorted(source.iterdir()) if path.is_dir() and split_called(path.name)]
    return [_part(file) for path in folders for file in sorted(path.glob("*coco*.json"))]


def read(source: Path, wishes: Wishes) -> AnnotatedSet:
    """Reads the JSON files of a source. Raises DataError with every one that is not COCO."""
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder.")
    parts = parts_of(source)
    if not parts:
        raise DataError(f"{source}: there is no COCO file in it, neither in annotations/ nor in folders of splits.")
    twice = _splits_named_twice(parts)
    if twice:
        raise DataError(f"{source}: {' and '.join(twice)} stand for the same split; give one of them as source.")
    account, problems = Account(), list[str]()
    contents = [(part, content) for part in parts if (content := _content(part.file, problems)) is not None]
    names, ids = _classes(contents, wishes.names, problems)
    if problems:
        raise DataError("\n".join(problems))
    gathering = Gathering(account, names, keep_difficult=wishes.keep_difficult, keep_crowds=wishes.keep_crowds)
    images: list[AnnotatedImage] = []
    of = sum(len(content["images"]) for _, content in contents)
    for part, content in contents:
        if part.split is None:
            account.note(
                f"{part.file.name} names no split, so all its images are in train; split=0.8,0.1,0.1 makes one."
            )
        images += _Reader(source, part, content, wishes, account, gathering).images(len(images), of)
    if sorted(ids.values()) != list(range(1, len(ids) + 1)):
        account.note("The classes' numbers in the COCO file have holes; they are counted without, in the same order.")
    return AnnotatedSet(names, images, account, ids)


class _Reader:
    """Reads one JSON file whose four parts are of the right kind; what is in them may be anything."""

    def __init__(
        self,
        source: Path,
        part: Part,
        content: Mapping[str, Any],
        wishes: Wishes,
        account: Account,
        gathering: Gathering,
    ) -> None:
        self._file, self._split = part.file, part.split or "train"
        self._content, self._wishes = content, wishes
        self._account, self._gathering = account, gathering
        self._finder = SourceImages(account, wishes.max_image_pixels)
        root = source if source.is_dir() else _root_of(part.file)
        given = [wishes.images / part.tag, wishes.images / self._split, wishes.images] if wishes.images else []
        within = [root / folder / name for name in (part.tag, self._split) for folder in ("", "images") if name]
        self._folders = list(dict.fromkeys([*given, *within, root / "images", root, part.file.parent]))
        self._names = {
            category["id"]: str(category["name"]).strip()
            for category in content["categories"]
            if isinstance(category, dict) and _is_id(category.get("id"))
        }

    def images(self, done: int, of: int) -> Iterator[AnnotatedImage]:
        rows = self._annotations()
        entries = self._content["images"]
        ids = [entry.get("id") if isinstance(entry, dict) else None for entry in entries]
        ambiguous = _ambiguous(entries)
        seen_ids: set[Any] = set()
        seen_names: set[str] = set()
        for number, entry in enumerate(entries):
            where = f"{self._file}, images[{number}]"
            identity = ids[number]
            of_image = rows.pop(identity, []) if _is_id(identity) else []
            if _is_id(identity) and identity in seen_ids and identity not in ambiguous:
                self._account.change("image listed twice", where, f"id {shown(identity)} is there already")
                self._account.objects[self._split] += len(of_image)
            elif (image := self._image(entry, where, of_image, ambiguous, seen_names)) is not None:
                for row_number, row in of_image:
                    self._take(image, row, f"{self._file}, annotations[{row_number}]")
                yield image
            if _is_id(identity):
                seen_ids.add(identity)
            if number % 256 == 0 or number == len(entries) - 1:
                self._wishes.progress(done + number + 1, of)
        for identity, left in rows.items():
            for row_number, _ in left:
                where = f"{self._file}, annotations[{row_number}]"
                self._account.objects[self._split] += 1
                self._account.drop("object of no image", where, f"no image has the id {shown(identity)}")

    def _image(
        self, entry: Any, where: str, of_image: Sequence[Any], ambiguous: set[Any], seen_names: set[str]
    ) -> AnnotatedImage | None:
        count = len(of_image)
        leave_out = self._finder.leave_out
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            return leave_out("unreadable annotation", self._split, where, "an image needs an id", count)
        if entry["id"] in ambiguous:
            text = f"several images have the id {shown(entry['id'])}: whose objects are whose can't be told"
            return leave_out("ambiguous id", self._split, where, text, count)
        name = safe_name(entry.get("file_name"))
        if name is None:
            text = f"file_name is {shown(entry.get('file_name'))}, which leads out of the folder or nowhere"
            return leave_out("bad file name", self._split, where, text, count)
        if name in seen_names:
            text = f"{shown(name)} is there already under another id"
            return leave_out("image listed twice", self._split, where, text, count)
        seen_names.add(name)
        path = self._finder.find([name], self._folders)
        size = as_number(entry.get("width")), as_number(entry.get("height"))
        stated = size if size[0] > 0 and size[1] > 0 else None
        return self._finder.open(path, name, self._split, stated, where, count)

    def _annotations(self) -> dict[Any, list[tuple[int, Any]]]:
        """Gives the rows of each image by its id; what can't be told whose it is goes into the account."""
        rows: dict[Any, list[tuple[int, Any]]] = {}
        seen: dict[Any, Any] = {}
        for number, row in enumerate(self._content["annotations"]):
            where = f"{self._file}, annotations[{number}]"
            if not isinstance(row, dict) or not _is_id(row.get("image_id")):
                self._account.objects[self._split] += 1
                self._account.drop("unreadable annotation", where, "an object needs an image_id")
                continue
            identity = row.get("id")
            if _is_id(identity) and identity in seen:
                if seen[identity] == row:
                    self._account.objects[self._split] += 1
                    self._account.drop("repeated object", where, f"id {shown(identity)} is there already, the same")
                    continue
                self._account.change("id used twice", where, f"other objects have the id {shown(identity)} too")
            elif _is_id(identity):
                seen[identity] = row
            rows.setdefault(row["image_id"], []).append((number, row))
        return rows

    def _take(self, image: AnnotatedImage, row: Mapping[str, Any], where: str) -> None:
        category = row.get("category_id")
        name = self._names.get(category) if _is_id(category) else None
        outline = row.get("segmentation")
        box = _edges(row.get("bbox"))
        if box is None and row.get("bbox") in (None, []):
            box = _around(outline)
            if box is not None:
                self._account.lost["outlines of objects without a box: the box around is taken"] += 1
        elif isinstance(outline, list | dict) and outline:
            self._account.lost["outlines"] += 1
        self._account.lost["key points"] += bool(row.get("keypoints"))
        if name is None:
            self._account.objects[image.split] += 1
            self._account.drop("unknown class", where, f"category_id {shown(category)} is none of the categories")
            return
        self._gathering.take(
            image,
            name,
            box if box is not None else [row.get("bbox")],
            where,
            crowd=row.get("iscrowd") in (1, True),
            difficult=row.get("difficult") in (1, True),
        )


def write(annotated: AnnotatedSet, target: Target) -> None:
    """Writes annotations/instances_SPLIT.json, and the images into images/SPLIT."""
    ids = category_ids(annotated)
    categories = [{"id": ids[name], "name": name, "supercategory": ""} for name in annotated.names]
    done = 0
    for split in annotated.splits:
        images: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        placed = [(image, target.names.nested(image)) for image in annotated.images if image.split == split]
        numbers = _image_ids([name for _, name in placed])
        for (image, name), number in zip(placed, numbers, strict=True):
            size = {"width": image.width_px, "height": image.height_px}
            images.append({"id": number, "file_name": name, **size})
            done += 1
            target.progress(done, len(annotated.images))
            target.place(f"images/{split}/{name}", image.path, image.embedded)
            for each in image.objects:
                left, top, right, bottom = each.box_xyxy_px
                box = [_px(value) for value in (left, top, right - left, bottom - top)]
                row = {"id": len(rows) + 1, "image_id": number, "category_id": ids[each.name], "bbox": box}
                row |= {"area": _px(box[2] * box[3]), "segmentation": [], "iscrowd": int(each.crowd)}
                # Not of COCO: readers pass it over, and ours takes it back.
                rows.append(row | {"difficult": 1} if each.difficult else row)
        content = {"info": {}, "licenses": [], "images": images, "annotations": rows, "categories": categories}
        target.folder.write(f"annotations/instances_{split}.json", json.dumps(content, ensure_ascii=False).encode())


def category_ids(annotated: AnnotatedSet) -> dict[str, int]:
    """Gives the numbers of the classes: those that they came with, or from 1 on, as COCO's own."""
    if set(annotated.names) <= annotated.category_ids.keys():
        return {name: annotated.category_ids[name] for name in annotated.names}
    return {name: number for number, name in enumerate(annotated.names, start=1)}


def _image_ids(names: Sequence[str]) -> list[int]:
    """COCO's own images are called by their numbers; where all are, these are kept."""
    stems = [PurePosixPath(name).stem for name in names]
    if all(stem.isascii() and stem.isdecimal() and len(stem) <= 18 for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(names) + 1))


def _px(value: float) -> float | int:
    rounded = round(value, _DECIMALS)
    return int(rounded) if rounded == int(rounded) else rounded


def _content(file: Path, problems: list[str]) -> dict[str, Any] | None:
    """Reads a file whose parts are lists; a sentence in `problems` where they are not."""
    try:
        content = read_json(file)
        if not isinstance(content, dict):
            raise BadFileError("it is no COCO file: it must be an object with images, annotations and categories")
        lacking = [key for key in ("images", "annotations", "categories") if not isinstance(content.get(key), list)]
        if lacking:
            raise BadFileError(f"it is no COCO file: it has no list {' and no list '.join(lacking)}")
    except BadFileError as error:
        problems.append(f"{file}: {error}.")
        return None
    return content


def _classes(
    contents: Sequence[tuple[Part, Mapping[str, Any]]], wanted: Sequence[str] | None, problems: list[str]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Gives the classes in the order of their numbers, and these numbers where they are whole."""
    ids: dict[str, Any] = {}
    for part, content in contents:
        here: dict[str, Any] = {}
        for number, category in enumerate(content["categories"]):
            where = f"{part.file}, categories[{number}]"
            named = category.get("name") if isinstance(category, dict) else None
            if not isinstance(named, str) or not named.strip() or not _is_id(category.get("id")):
                problems.append(f"{where}: a class needs an id and a name.")
                continue
            name = named.strip()
            if name in here or category["id"] in here.values():
                problems.append(f"{where}: the name {shown(name)} or its id is there twice; give each class its own.")
            elif ids.get(name, category["id"]) != category["id"]:
                problems.append(f"{where}: {shown(name)} has another id in another split; make them equal.")
            here[name] = category["id"]
        ids |= here
    if not ids and not problems:
        problems.append(f"{contents[0][0].file}: it has no categories, so no object has a class.")
    ordered = sorted(ids, key=lambda name: (isinstance(ids[name], str), ids[name] if _is_int(ids[name]) else 0))
    whole = {name: number for name, number in ids.items() if _is_int(number)}
    return tuple(wanted or ordered), whole if len(whole) == len(ids) else {}


def _ambiguous(entries: Sequence[Any]) -> set[Any]:
    """Gives the ids that images of different files share."""
    files: dict[Any, Any] = {}
    found = set()
    for entry in entries:
        if isinstance(entry, dict) and _is_id(entry.get("id")):
            name = files.setdefault(entry["id"], entry.get("file_name"))
            if name != entry.get("file_name"):
                found.add(entry["id"])
    return found


def _edges(box: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(box, list) or len(box) != 4:
        return None
    left, top, width, height = map(as_number, box)
    # A sum of two decimals has digits behind its last, which no file had.
    return left, top, _sum(left, width), _sum(top, height)


def _sum(start: float, length: float) -> float:
    return round(start + length, 2 * _DECIMALS) if math.isfinite(start + length) else math.nan


def _around(outline: Any) -> tuple[float, float, float, float] | None:
    """Gives the box around polygons; None for anything else, such as masks in run lengths."""
    if not isinstance(outline, list) or not outline or not all(isinstance(polygon, list) for polygon in outline):
        return None
    polygons = [[as_number(value) for value in polygon] for polygon in outline]
    xs = [value for polygon in polygons for value in polygon[0::2]]
    ys = [value for polygon in polygons for value in polygon[1::2]]
    if len(xs) != len(ys) or len(xs) < 3 or not all(map(math.isfinite, [*xs, *ys])):
        return None
    return min(xs), min(ys), max(xs), max(ys)


def _is_id(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, str) and bool(value))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _part(file: Path) -> Part:
    found = _INSTANCES.fullmatch(file.stem.strip("_").removesuffix(".coco"))
    tag = found[1] if found else ""
    split = split_called(tag) or split_called(file.parent.name)
    return Part(file, split, tag)


def _root_of(file: Path) -> Path:
    return file.parent.parent if file.parent.name.lower() == "annotations" else file.parent


def _splits_named_twice(parts: Sequence[Part]) -> list[str]:
    splits = [part.split for part in parts]
    return [part.file.name for part in parts if splits.count(part.split) > 1]


def _looks_like_coco(file: Path) -> bool:
    """Whether a file begins with a key of COCO's, without reading all of it."""
    try:
        with open(file, "rb") as stream:
            head = stream.read(_LOOK_BYTES)
    except OSError:
        return False
    return _FIRST_KEY.match(head) is not None
