"""How do pictures of any shape go through a detector, a few at a time, and come back as results?

Takes the detector as a function, so it can't know whether that is torch or an exported model. Must not know where
pictures come from or what is saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import cv2
import numpy as np
import torch

from peakmark.data.apply import BACKGROUND
from peakmark.data.cache import resize_into
from peakmark.deploy.frames import Frame
from peakmark.deploy.results import Boxes, Results
from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns import Detections, ImageArray, IntArray

Detect = Callable[[torch.Tensor], list[Detections]]
"""(B, 3, side, side) uint8 RGB to what is in each picture in px of the square: thresholded and suppressed already."""


def predict(
    frames: Iterable[Frame],
    detect: Detect,
    *,
    names: Sequence[str],
    side_px: int,
    batch: int = 1,
    classes: Collection[int] | None = None,
) -> Iterator[Results]:
    """Gives the results of each frame, in order, boxes in px of the original picture and clipped to it.

    At most `batch` frames are in memory at a time, besides what the caller keeps. `classes` keeps these classes only.
    """
    remaining = iter(frames)
    names_by_class = dict(enumerate(names))
    kept_classes = None if classes is None else np.array(list(classes), dtype=np.int64)
    while results := _predict_batch(list(islice(remaining, batch)), detect, names_by_class, side_px, kept_classes):
        # Each result leaves the list before it is handed out, so that only the caller's hold keeps it alive.
        results.reverse()
        while results:
            yield results.pop()


def _predict_batch(
    frames: list[Frame],
    detect: Detect,
    names: Mapping[int, str],
    side_px: int,
    kept_classes: IntArray | None,
) -> list[Results]:
    if not frames:
        return []
    began_at = time.perf_counter()
    letterboxes = [Letterbox(frame.image.shape[1], frame.image.shape[0], side_px) for frame in frames]
    squares = [put_into_square(frame.image, letterbox) for frame, letterbox in zip(frames, letterboxes, strict=True)]
    images_BCHW = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
    prepared_at = time.perf_counter()
    found = detect(images_BCHW)
    detected_at = time.perf_counter()
    boxes = [
        _boxes_of_original(_keep_classes(detections, kept_classes), letterbox)
        for detections, letterbox in zip(found, letterboxes, strict=True)
    ]
    ended_at = time.perf_counter()
    ms_each = 1000 / len(frames)
    speed = {
        "preprocess": (prepared_at - began_at) * ms_each,
        "inference": (detected_at - prepared_at) * ms_each,
        "postprocess": (ended_at - detected_at) * ms_each,
    }
    return [
        Results(_to_bgr(frame.image), boxes_of_frame, names, frame.origin, speed)
        for frame, boxes_of_frame in zip(frames, boxes, strict=True)
    ]


def put_into_square(image: ImageArray, letterbox: Letterbox) -> ImageArray:
    """Gives the picture scaled into the middle of a grey square, as the detector saw pictures when it was validated."""
    square = np.full((letterbox.side_px, letterbox.side_px, 3), BACKGROUND, dtype=np.uint8)
    left, top = letterbox.left_px, letterbox.top_px
    inner = square[top : top + letterbox.inner_height_px, left : left + letterbox.inner_width_px]
    inner[:] = resize_into(image, letterbox)
    return square


def _keep_classes(detections: Detections, kept_classes: IntArray | None) -> Detections:
    if kept_classes is None:
        return detections
    kept = np.isin(detections.classes, kept_classes)
    return Detections(detections.boxes_xyxy_px[kept], detections.scores[kept], detections.classes[kept])


def _boxes_of_original(detections: Detections, letterbox: Letterbox) -> Boxes:
    boxes_xyxy_px = letterbox.to_original(detections.boxes_xyxy_px)
    original = Detections(boxes_xyxy_px, detections.scores, detections.classes)
    return Boxes.from_detections(original, (letterbox.height_px, letterbox.width_px))


def _to_bgr(image: ImageArray) -> ImageArray:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), dtype=np.uint8)
