"""Which objects does a label file name? Its lines, checked one by one, as boxes in fractions of the image.

A line is `class cx cy w h`, or `class x1 y1 x2 y2 x3 y3 ...`, a polygon of three or more points that becomes the box
around it. This file reads text; which files there are it must not know.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

COORDINATE_TOLERANCE = 1e-3
"""How far a coordinate may lie outside 0 to 1: what tools that write three decimals lose by rounding, half a pixel of
an image of 500. Farther out it is another unit (pixels, per cent) or another image."""

_SMALLEST_SIZE = 1e-7
"""Below this a side is no side: a hundredth of a pixel in the largest images, lost in single precision."""

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class ParsedLabels:
    """The objects of one label file and what is to be said about it."""

    classes: list[int] = field(default_factory=list)
    boxes_cxcywh_norm: list[Box] = field(default_factory=list)
    """As many as classes; each lies inside the image."""
    bad_lines: list[str] = field(default_factory=list)
    """A sentence for each line that can't be used: line number, value and remedy."""
    duplicates: int = 0
    """Lines left out because an equal one came before."""
    clipped: int = 0
    """Boxes that reached over the image's edge by more than rounding and were cut there."""


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


def parse_labels(text: str, class_count: int) -> ParsedLabels:
    """Reads the text of a label file; every bad line is collected, none is guessed at."""
    parsed = ParsedLabels()
    seen: set[tuple[int, Box]] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            label = _parse_class(words[0], class_count), _parse_box(words[1:])
            box, overhang = _clip(label[1])
        except BadLineError as problem:
            parsed.bad_lines.append(f"line {number}: {problem}")
            continue
        if label in seen:
            parsed.duplicates += 1
            continue
        seen.add(label)
        parsed.classes.append(label[0])
        parsed.boxes_cxcywh_norm.append(box)
        parsed.clipped += overhang > COORDINATE_TOLERANCE
    return parsed


def _parse_class(word: str, class_count: int) -> int:
    value = _parse_number(word)
    if value != int(value) or not 0 <= value < class_count:
        raise BadLineError(
            f"class {word} is out of range; the data.yaml names {class_count} classes, so 0 to {class_count - 1}: "
            "correct the line or add the class to names"
        )
    return int(value)


def _parse_box(words: list[str]) -> Box:
    """Reads the coordinates of a line as centre and size, and checks that they lie inside the image."""
    if len(words) != 4 and (len(words) < 6 or len(words) % 2):
        raise BadLineError(
            f"{len(words) + 1} columns; a box has 5 (class cx cy w h), a polygon 7, 9, 11 ... "
            "(class x1 y1 x2 y2 x3 y3 ...), with spaces between them"
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
