"""What did the model see, and what did it find? Sheets of sample images with their boxes.

It is given images and boxes; it must not know how either was made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from peakmark.drawing.boxes import contact_sheet, draw_boxes, fit_into
from peakmark.files.durable import write_bytes
from peakmark.nouns.batch import Batch
from peakmark.nouns.images import Detections, ImageArray, Truths

MOST_IMAGES = 16
_SHEET_PX = 1920
_LARGEST_CELL_PX = 960
_PAIRS = 8
_SHOWN_AT_LEAST = 15
_SHOWN_PER_OBJECT = 2
"""Boxes of an image that are drawn: beyond as many again as there are objects, they only hide it and each other."""
_JPEG_QUALITY = 90


def draw_train_batch(batch: Batch, names: Sequence[str], path: Path) -> None:
    """Draws up to 16 images of a batch as the model was given them, with boxes, classes and file names.

    Raises `MachineError` where it can't write.
    """
    shown = min(len(batch), MOST_IMAGES)
    cell_px = _cell_px(shown)
    image_index = batch.image_index.cpu().numpy()
    boxes, classes = batch.boxes_xyxy_px.cpu().numpy(), batch.classes.cpu().numpy()
    pictures = []
    for number in range(shown):
        image = batch.images_BCHW[number].permute(1, 2, 0).cpu().numpy()
        mine = image_index == number
        pictures.append(_with_truths(image, Truths(boxes[mine], classes[mine]), names, cell_px))
    titles = [Path(file).name for file in batch.files[:shown]]
    _write(contact_sheet(pictures, titles, columns=_columns(shown), cell_px=cell_px), path)


def draw_validation(
    images: Sequence[ImageArray],
    truths: Sequence[Truths],
    detections: Sequence[Detections],
    names: Sequence[str],
    titles: Sequence[str],
    folder: Path,
    *,
    confidence: float,
    number: int = 0,
) -> tuple[Path, ...]:
    """Draws val_batch<number>_labels.jpg, val_batch<number>_pred.jpg and, side by side, val_batch<number>.jpg.

    All boxes are in px of the images. Detections below `confidence` are left out: a validation keeps hundreds an image
    that nobody would act on. Of a model that is sure of nothing yet, hundreds lie above it as well: of them the best
    are drawn, and each image says how many of how many. Raises `MachineError` where it can't write.
    """
    shown = min(len(images), MOST_IMAGES)
    cell_px, columns = _cell_px(shown), _columns(shown)
    above = [_above(found, confidence) for found in detections[:shown]]
    kept = [_best(found, len(true)) for found, true in zip(above, truths, strict=False)]
    said = [_what_is_shown(*pair, confidence) for pair in zip(kept, above, strict=True)]
    found_in = [f"{title}: {words}" for title, words in zip(titles, said, strict=False)]
    left = [_with_truths(image, true, names, cell_px) for image, true in zip(images, truths, strict=True)][:shown]
    right = [_with_detections(image, found, names, cell_px) for image, found in zip(images[:shown], kept, strict=True)]
    files = tuple(folder / f"val_batch{number}{kind}.jpg" for kind in ("_labels", "_pred", ""))
    _write(contact_sheet(left, list(titles[:shown]), columns=columns, cell_px=cell_px), files[0])
    _write(contact_sheet(right, found_in, columns=columns, cell_px=cell_px), files[1])
    _write(_side_by_side(left[:_PAIRS], right[:_PAIRS], titles, said), files[2])
    return files


def _side_by_side(
    left: Sequence[ImageArray], right: Sequence[ImageArray], titles: Sequence[str], said: Sequence[str]
) -> ImageArray:
    pictures: list[ImageArray] = []
    headings: list[str] = []
    for truth, found, title, words in zip(left, right, titles, said, strict=False):
        pictures += [truth, found]
        headings += [f"labelled: {title}", f"found: {words}"]
    columns = 4 if len(left) > 1 else 2
    return contact_sheet(pictures, headings, columns=columns, cell_px=_SHEET_PX // columns)


def _with_truths(image: ImageArray, truths: Truths, names: Sequence[str], cell_px: int) -> ImageArray:
    # Scaled first, so that lines and letters are equally large in every cell.
    fitted = fit_into(image, cell_px)
    return draw_boxes(fitted, truths.boxes_xyxy_px * _gain(image, fitted), truths.classes, names)


def _with_detections(image: ImageArray, found: Detections, names: Sequence[str], cell_px: int) -> ImageArray:
    fitted = fit_into(image, cell_px)
    boxes = found.boxes_xyxy_px * _gain(image, fitted)
    return draw_boxes(fitted, boxes, found.classes, names, scores=found.scores)


def _gain(image: ImageArray, fitted: ImageArray) -> np.float32:
    return np.float32(max(fitted.shape[:2]) / max(image.shape[:2]))


def _above(found: Detections, confidence: float) -> Detections:
    keep = found.scores >= confidence
    return Detections(found.boxes_xyxy_px[keep], found.scores[keep], found.classes[keep])


def _best(found: Detections, objects: int) -> Detections:
    best = np.argsort(-found.scores, kind="stable")[: max(_SHOWN_AT_LEAST, _SHOWN_PER_OBJECT * objects)]
    return Detections(found.boxes_xyxy_px[best], found.scores[best], found.classes[best])


def _what_is_shown(kept: Detections, above: Detections, confidence: float) -> str:
    digits = 3 if confidence < 0.01 else 2
    if len(kept) == len(above):
        return f"confidence from {confidence:.{digits}f}"
    return f"best {len(kept)} of {len(above)} from confidence {confidence:.{digits}f}"


def _columns(images: int) -> int:
    return max(1, math.ceil(math.sqrt(images)))


def _cell_px(images: int) -> int:
    return min(_LARGEST_CELL_PX, _SHEET_PX // _columns(images))


def _write(sheet: ImageArray, path: Path) -> None:
    bgr = cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(path.suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    write_bytes(path, encoded.tobytes())
