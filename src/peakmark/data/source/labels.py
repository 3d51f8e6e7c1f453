"""Which objects does a label file name? Its lines, checked one by one, as boxes in fractions of the image.

A line is `class cx cy w h`, or `class x1 y1 x2 y2 x3 y3 ...`, a polygon of three or more points that becomes the box
around it; in a pose set also `class cx cy w h` and key points, which are passed over. Rows of other tasks that look
like one of these are refused by name. This file reads text; which files there are it must not know.
"""

from __future__ import annotations

import codecs
import math
import os
from dataclasses import dataclass, field

COORDINATE_TOLERANCE = 1e-2
"""How far a coordinate may lie outside 0 to 1, as in the field: tools draw a pixel over the edge, or round. The box is
cut at the edge. Farther out it is another unit (pixels, per cent) or another image."""

ROUNDING = 1e-3
"""Up to here a box over the edge is not counted as one: what tools that write three decimals lose."""

_LARGEST_CLASS = 2**31
_SMALLEST_SIZE = 1e-7
"""Below this a side is no side: a hundredth of a pixel in the largest images, lost in single precision."""

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class ParsedLabels:
    """The objects of one label file and what is to be said about it."""

    classes: list[int] = field(default_factory=list)
    boxes_cxcywh_norm: list[Box] = field(default_factory=list)
    """As many as classes; each lies inside the image."""
    polygons_norm: list[tuple[float, ...]] = field(default_factory=list)
    """As many as classes: x1 y1 x2 y2 ... of an object that is labelled by a polygon, nothing for a box."""
    bad_lines: list[str] = field(default_factory=list)
    """A sentence for each line that can't be used: line number, value and remedy."""
    duplicates: int = 0
    """Lines left out because an equal one came before."""
    clipped: int = 0
    """Boxes that reached over the image's edge by more than rounding and were cut there."""
    boxes: int = 0
    """Good lines that are boxes, the first of them in line `first_box`."""
    first_box: int = 0
    polygons: int = 0
    first_polygon: int = 0


class BadLineError(ValueError):
    """What is wrong with a line and what to do about it."""


def label_folder(image_folder: str) -> str:
    """Gives the folder of the label files that belong to the images in `image_folder`.

    The last `images` in the path becomes `labels`; where there is none, or no such folder, labels lie beside images.
    """
    parts = image_folder.split(os.sep)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        folder = os.sep.join([*parts[:last], "labels", *parts[last + 1 :]])
        if os.path.isdir(folder):
            return folder
    return image_folder


def read_labels(content: bytes, class_count: int | None, keypoints: tuple[int, int] | None = None) -> ParsedLabels:
    """Reads the bytes of a label file; text that is not UTF-8 where it matters is one bad line, by its name."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        what = "UTF-16 text" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "no text, or UTF-16 text"
        return ParsedLabels(bad_lines=[f"line 1: this file is {what}; save it as UTF-8"])
    return parse_labels(content.decode("utf-8-sig", errors="replace"), class_count, keypoints)


def parse_labels(text: str, class_count: int | None, keypoints: tuple[int, int] | None = None) -> ParsedLabels:
    """Reads the text of a label file; every bad line is collected, none is guessed at.

    `class_count` None: every class number is taken. `keypoints`: of a pose set, how many, and numbers for each.
    """
    parsed = ParsedLabels()
    seen: set[tuple[int, Box]] = set()
    rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1) if not line.isspace()]
    # A triangle at the edge and a tracker's row look alike; among longer polygons it is a triangle.
    among_polygons = any(len(words) >= 9 and len(words) % 2 for _, words in rows) and not keypoints
    for number, words in rows:
        if not words:
            continue
        try:
            if keypoints:
                words = _box_of_pose(words, keypoints)
            elif (other := _other_task(words, among_polygons)) is not None:
                raise BadLineError(other)
            label = _parse_class(words[0], class_count), _parse_box(words[1:])
            box, overhang = _clip(label[1])
        except BadLineError as problem:
            parsed.bad_lines.append(f"line {number}: {problem}")
            continue
        if len(words) == 5:
            parsed.boxes, parsed.first_box = parsed.boxes + 1, parsed.first_box or number
        else:
            parsed.polygons, parsed.first_polygon = parsed.polygons + 1, parsed.first_polygon or number
        if label in seen:
            parsed.duplicates += 1
            continue
        seen.add(label)
        parsed.classes.append(label[0])
        parsed.boxes_cxcywh_norm.append(box)
        parsed.polygons_norm.append(tuple(map(float, words[1:])) if len(words) > 5 else ())
        parsed.clipped += overhang > ROUNDING
    return parsed


def _box_of_pose(words: list[str], keypoints: tuple[int, int]) -> list[str]:
    points, numbers = keypoints
    if len(words) not in (5, 5 + points * numbers):
        raise BadLineError(
            f"{len(words)} columns; with kpt_shape: [{points}, {numbers}] in the data.yaml a row has"
            f" {5 + points * numbers} (class cx cy w h and the key points), or 5: correct the line or kpt_shape"
        )
    return words[:5]


def _other_task(words: list[str], among_polygons: bool) -> str | None:
    """Says what a row is that begins like a box and goes on like none; None where it is a box or a polygon."""
    columns = len(words)
    if columns < 6:
        return None
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        return None
    is_whole = [value == int(value) if math.isfinite(value) else False for value in values]
    if columns == 6:
        what = "its track number" if is_whole[4] else "its confidence, as predict save_conf=True writes it"
        return f"6 columns: a box and {what}; a label has 5 (class cx cy w h): take the last one away"
    if not _is_box(values):
        return None
    if columns == 7 and not among_polygons and (is_whole[4] or is_whole[5]):
        return (
            "7 columns: a box, its confidence and its track number, as trackers write them; take the last two away"
            " (for a triangle, repeat its first point)"
        )
    visibilities = values[6::3]
    if columns >= 8 and (columns - 5) % 3 == 0 and all(value in (0, 1, 2) for value in visibilities):
        points = (columns - 5) // 3
        return f"{columns} columns: a box and {points} key points; say kpt_shape: [{points}, 3] in the data.yaml"
    return None


def _is_box(values: list[float]) -> bool:
    """Whether the first four numbers are a box inside the image: those of a polygon seldom are."""
    cx, cy, width, height = values[:4]
    least, most = -COORDINATE_TOLERANCE, 1 + COORDINATE_TOLERANCE
    inside = all(least <= at - side / 2 and at + side / 2 <= most for at, side in ((cx, width), (cy, height)))
    return inside and width > 0 and height > 0


def _parse_class(word: str, class_count: int | None) -> int:
    value = _parse_number(word)
    if class_count is None:
        if value != int(value) or not 0 <= value <= _LARGEST_CLASS:
            raise BadLineError(f"class {word} is no class number: write a whole number from 0 on")
        return int(value)
    if value != int(value) or not 0 <= value < class_count:
        raise BadLineError(
            f"class {word} is out of range; the data.yaml names {class_count} classes, so 0 to {class_count - 1}: "
            "correct the line or add the class to names"
        )
    return int(value)


def _parse_box(words: list[str]) -> Box:
    """Reads the coordinates of a line as centre and size, and checks that they lie inside the image."""
    if len(words) != 4 and (len(words) < 6 or len(words) % 2):
        surplus = "; the last one may be a confidence, as predict save_conf=True writes it" if len(words) > 6 else ""
        raise BadLineError(
            f"{len(words) + 1} columns; a box has 5 (class cx cy w h), a polygon 7, 9, 11 ... "
            f"(class x1 y1 x2 y2 x3 y3 ...), with spaces between them{surplus}"
        )
    values = [_parse_number(word) for word in words]
    if len(words) == 4 and min(values[2:]) < 0:
        raise BadLineError(f"the size {words[2]} x {words[3]} is negative: width and height must be greater than 0")
    for word, value in zip(words, values, strict=True):
        if not -COORDINATE_TOLERANCE <= value <= 1 + COORDINATE_TOLERANCE:
            raise BadLineError(
                f"the coordinate {word} is outside 0 to 1: give fractions of the image's width and height, not pixels"
            )
    if len(words) == 4:
        return values[0], values[1], values[2], values[3]
    xs, ys = values[0::2], values[1::2]
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def _parse_number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise BadLineError(f"{word!r} is not a number: write plain numbers with spaces between them") from None
    if not math.isfinite(value):
        raise BadLineError(f"{word} is not a finite number: correct or delete the line")
    return value


def _clip(box: Box) -> tuple[Box, float]:
    """Cuts a box at the image's edges; also gives by how much it reached over them.

    Detections are cut at the edges too before they are matched: an uncut truth could never be met exactly.
    """
    cx, cy, width, height = box
    left, top, right, bottom = cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2
    overhang = max(-left, -top, right - 1, bottom - 1, 0.0)
    if overhang > 0:
        left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0)
        box = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    if box[2] < _SMALLEST_SIZE or box[3] < _SMALLEST_SIZE:
        raise BadLineError(
            f"the box has no extent inside the image (width {box[2]:g}, height {box[3]:g}): "
            "width and height must be greater than 0"
        )
    return box, overhang
