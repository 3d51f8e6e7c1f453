"""How are boxes, class names and many images put into one picture? As pure functions: arrays in, a new array out.

Everything is RGB. This file must not know where images come from or where pictures go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.drawing.colours import class_colour, text_colour_on
from peakmark.shown import as_shown

__all__ = ["class_colour", "contact_sheet", "draw_boxes"]

Image = NDArray[np.uint8]
"""height x width x 3, RGB"""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER = (255, 255, 255)
_INK = (40, 40, 40)
_GAP_PX = 4


def draw_boxes(
    image: Image,
    boxes_xyxy_px: NDArray[np.floating[Any]],
    classes: NDArray[np.integer[Any]],
    names: Sequence[str],
    *,
    scores: NDArray[np.floating[Any]] | None = None,
    ids: NDArray[np.integer[Any]] | None = None,
    line_width_px: int | None = None,
) -> Image:
    """Gives a copy of `image` with the boxes (N, 4) of `classes` (N,) and their names, and scores where there are any.

    `ids` (N,), where there are any, stand before the names. Boxes are clipped to the image; those that lie outside of
    it or have a value that isn't finite are left out. High scores lie on top. Lines and letters follow the image's size
    unless `line_width_px` sets them.
    """
    picture = np.ascontiguousarray(image).copy()
    width = line_width_px if line_width_px is not None else max(1, round(max(picture.shape[:2]) / 320))
    visible = _visible(picture, boxes_xyxy_px)
    order = np.arange(len(classes)) if scores is None else np.argsort(scores, kind="stable")
    drawn = [int(i) for i in order if visible[i]]
    for i in drawn:
        _draw_frame(picture, boxes_xyxy_px[i], class_colour(int(classes[i])), width)
    # Names come after all frames: a frame drawn through a name makes both unreadable.
    for i in drawn:
        name = names[classes[i]] if 0 <= classes[i] < len(names) else str(classes[i])
        text = name if scores is None else f"{name} {scores[i]:.2f}"
        text = text if ids is None else f"{ids[i]} {text}"
        if text:
            _draw_name(picture, boxes_xyxy_px[i], text, class_colour(int(classes[i])), width)
    return picture


def contact_sheet(images: Sequence[Image], titles: Sequence[str], *, columns: int, cell_px: int) -> Image:
    """Puts images of any shape into cells of `cell_px` width, row by row, each with its title above it.

    Images are scaled so that the longer side fills the cell, and centred; a row is as high as its highest image. Titles
    that are too long are cut. Without images the sheet is one empty cell.
    """
    columns = max(1, min(columns, len(images)))
    fitted = [fit_into(image, cell_px) for image in images]
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    heights_px = [max(fitted[i].shape[0] for i in row) for row in rows] or [cell_px]
    title_px = min(24, max(16, cell_px // 20))
    pitch_px = cell_px + _GAP_PX
    total_px = sum(title_px + height_px + _GAP_PX for height_px in heights_px)
    sheet = np.full((total_px + _GAP_PX, columns * pitch_px + _GAP_PX, 3), _PAPER, dtype=np.uint8)
    top = _GAP_PX
    for row, row_height_px in zip(rows, heights_px, strict=False):
        for place, i in enumerate(row):
            left = _GAP_PX + place * pitch_px
            text = _shortened(titles[i], cell_px - 4, title_px - 4)
            _draw_text(sheet, text, left + 2, top + 2, title_px - 4, _INK)
            height, width = fitted[i].shape[:2]
            y, x = top + title_px + (row_height_px - height) // 2, left + (cell_px - width) // 2
            sheet[y : y + height, x : x + width] = fitted[i]
        top += title_px + row_height_px + _GAP_PX
    return sheet


def fit_into(image: Image, side_px: int) -> Image:
    """Scales an image, up or down and keeping its aspect ratio, so that its longer side is `side_px`."""
    height, width = image.shape[:2]
    gain = side_px / max(height, width)
    size = (max(1, round(width * gain)), max(1, round(height * gain)))
    method = cv2.INTER_AREA if gain < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)


def _visible(picture: Image, boxes_xyxy_px: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    height, width = picture.shape[:2]
    left, top, right, bottom = boxes_xyxy_px.T
    # A comparison with NaN is false, but infinities would pass for a frame around everything.
    visible: NDArray[np.bool_] = (left < width) & (top < height) & (right > 0) & (bottom > 0)
    visible &= np.isfinite(boxes_xyxy_px).all(axis=1)
    return visible


def _draw_frame(picture: Image, box: NDArray[np.floating[Any]], colour: tuple[int, int, int], width_px: int) -> None:
    left, top, right, bottom = _clipped(picture, box)
    cv2.rectangle(picture, (left, top), (right, bottom), colour, width_px)


def _draw_name(
    picture: Image, box: NDArray[np.floating[Any]], text: str, colour: tuple[int, int, int], line_width_px: int
) -> None:
    height, width = picture.shape[:2]
    letters_px = min(max(11, 6 * line_width_px), max(6, height // 4))
    margin = max(1, letters_px // 6)
    text = _shortened(text, width - 2 * margin, letters_px)
    label_width, label_height = _text_width(text, letters_px) + 2 * margin, letters_px + 2 * margin
    left, top, _, _ = _clipped(picture, box)
    # Above the frame where there is room, else inside it; never over the image's edge, where it couldn't be read.
    y = top - label_height if top >= label_height else top
    y = max(0, min(y, height - label_height))
    x = max(0, min(left - line_width_px // 2, width - label_width))
    cv2.rectangle(picture, (x, y), (x + label_width - 1, y + label_height - 1), colour, cv2.FILLED)
    _draw_text(picture, text, x + margin, y + margin, letters_px, text_colour_on(colour))


def _clipped(picture: Image, box: NDArray[np.floating[Any]]) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    limits = np.array([width - 1, height - 1, width - 1, height - 1])
    left, top, right, bottom = np.clip(np.round(box), 0, limits).astype(int).tolist()
    return left, top, right, bottom


def _draw_text(picture: Image, text: str, x: int, y: int, height_px: int, colour: tuple[int, int, int]) -> None:
    """Writes `text` with its upper left corner at (x, y); `height_px` includes what hangs below the line."""
    scale = _font_scale(height_px)
    _, hanging = cv2.getTextSize("Ag", _FONT, scale, 1)
    cv2.putText(picture, as_shown(text), (x, y + height_px - hanging), _FONT, scale, colour, 1, cv2.LINE_AA)


def _shortened(text: str, width_px: int, height_px: int) -> str:
    """Cuts the end off a text that is wider than `width_px`, and says so with dots."""
    if _text_width(text, height_px) <= width_px:
        return text
    for length in range(len(text) - 1, 0, -1):
        if _text_width(text[:length] + "...", height_px) <= width_px:
            return text[:length] + "..."
    return ""


def _text_width(text: str, height_px: int) -> int:
    # A lone surrogate ends the process in OpenCV, and a line break has no width there.
    (width, _), _ = cv2.getTextSize(as_shown(text), _FONT, _font_scale(height_px), 1)
    return int(width)


def _font_scale(height_px: int) -> float:
    (_, standing), hanging = cv2.getTextSize("Ag", _FONT, 1.0, 1)
    return height_px / (standing + hanging)
