"""How do pictures of any shape go through a detector, a few at a time, and come back as results?

Takes the detector as a function, so it can't know whether that is torch or an exported model. Must not know where
pictures come from or what is saved.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from peakmark.data.cache import padded, resize_into
from peakmark.data.loader import VALIDATION_CHUNK
from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Frame
from peakmark.deploy.results import Results
from peakmark.errors import PeakmarkError
from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns.images import Detect, Detections, ImageArray, IntArray

_MOST_BATCHES_HELD = 4
_MOST_BYTES_BEYOND_A_BATCH = 192_000_000
"""Of the frames that wait for others of their shape, where there are more than one batch of them."""
_MOST_BYTES_HELD = 512 * 2**20
"""The same, however few they are: eight pictures of 12,000 px would be 3.5 GB."""


def predict(
    frames: Iterable[Frame],
    detect: Detect,
    *,
    names: Sequence[str],
    side_px: int,
    square: bool = False,
    batch: int = 1,
    classes: Collection[int] | None = None,
) -> Iterator[Results]:
    """Gives the results of each frame, in order, boxes in px of the original picture and clipped to it.

    `batch` frames of one letterboxed shape are looked at together. Frames of one shape are in memory a batch at a
    time; where shapes change, some batches' worth wait for others of theirs, besides what the caller keeps. Large
    pictures don't wait: above 512 MiB a batch goes that isn't full. `square`: as of a letterbox. `classes` keeps these
    classes only. An error of `frames` is raised once all frames before it have their results.
    """
    names_by_class = dict(enumerate(names))
    kept_classes = None if classes is None else np.array(list(classes), dtype=np.int64)
    waiting = _Waiting(batch)
    done: dict[int, Results] = {}
    following = 0
    for number, frame in enumerate(_with_its_end(frames)):
        groups = waiting.add(_prepared(number, frame, side_px, square)) if isinstance(frame, Frame) else waiting.rest()
        failure = frame if isinstance(frame, PeakmarkError) else None
        del frame  # only the caller's hold keeps a picture alive
        for group in groups:
            done.update(_results(group, detect, names_by_class, kept_classes))
            del group
            # Before the next group is asked for: what is handed out is no reason to send a batch that isn't full.
            while following in done:
                waiting.handed_out(following)
                yield done.pop(following)
                following += 1
        if failure is not None:
            raise failure


def _with_its_end(frames: Iterable[Frame]) -> Iterator[Frame | PeakmarkError | None]:
    """Gives the frames, and at last why there are no more: None where that was all."""
    try:
        yield from frames
    except PeakmarkError as error:
        yield error
    else:
        yield None


def batch_of(frames: Iterator[Frame]) -> tuple[int, Iterator[Frame]]:
    """Gives how many frames are best looked at together, where the user doesn't say, and all frames again.

    Several images go as validation's do: half the time an image of going one by one, and equal to the last bit to what
    a validation finds in them. A video's frames don't wait for each other.
    """
    first = next(frames, None)
    if first is None:
        return 1, frames
    several = first.origin.kind == "image" and first.origin.count != 1
    return VALIDATION_CHUNK if several else 1, itertools.chain((first,), frames)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A frame as the detector is to see it."""

    number: int
    frame: Frame
    letterbox: Letterbox
    image: ImageArray
    ms: float
    """What it took to make this of the frame."""


class _Waiting:
    """Frames that wait until there are enough of their shape: a batch that is not full costs as much as a full one."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._groups: dict[tuple[int, ...], list[_Prepared]] = {}
        self._held_bytes: dict[int, int] = {}
        """Of each frame that was taken and not handed out: those that wait, and those done that wait for one before."""

    def add(self, prepared: _Prepared) -> Iterator[list[_Prepared]]:
        """Gives what is to be looked at now: a full batch, and that of the oldest frame as long as too much waits."""
        shape = prepared.image.shape
        self._held_bytes[prepared.number] = prepared.frame.image.nbytes
        self._groups.setdefault(shape, []).append(prepared)
        del prepared  # it would live until the next frame is added
        if len(self._groups[shape]) == self._batch:
            yield self._groups.pop(shape)
        while self._groups and self._is_too_much():
            # They stand in the order in which their first frames came.
            yield self._groups.pop(next(iter(self._groups)))

    def handed_out(self, number: int) -> None:
        del self._held_bytes[number]

    def rest(self) -> Iterator[list[_Prepared]]:
        while self._groups:
            yield self._groups.pop(next(iter(self._groups)))

    def _is_too_much(self) -> bool:
        held = len(self._held_bytes)
        held_bytes = sum(self._held_bytes.values())
        if held_bytes > _MOST_BYTES_HELD or held >= _MOST_BATCHES_HELD * self._batch:
            return True
        return held >= self._batch and held_bytes > _MOST_BYTES_BEYOND_A_BATCH


def _prepared(number: int, frame: Frame, side_px: int, square: bool) -> _Prepared:
    began_at = time.perf_counter()
    letterbox = Letterbox(frame.image.shape[1], frame.image.shape[0], side_px, square)
    image = padded(resize_into(frame.image, letterbox), letterbox)
    return _Prepared(number, frame, letterbox, image, 1000 * (time.perf_counter() - began_at))


def _results(
    group: list[_Prepared], detect: Detect, names: Mapping[int, str], kept_classes: IntArray | None
) -> dict[int, Results]:
    """Empties `group`: each picture in RGB goes as its copy in BGR comes, or all would be in memory twice."""
    began_at = time.perf_counter()
    images_BCHW = torch.from_numpy(np.stack([each.image for each in group])).permute(0, 3, 1, 2)
    found = detect(images_BCHW)
    detected_at = time.perf_counter()
    boxes = [
        _boxes_of_original(keep_classes(detections, kept_classes), each.letterbox)
        for detections, each in zip(found, group, strict=True)
    ]
    ended_at = time.perf_counter()
    inference, postprocess = (1000 * s / len(group) for s in (detected_at - began_at, ended_at - detected_at))
    results = {}
    while group:
        each = group.pop()
        speed_ms = {"preprocess": each.ms, "inference": inference, "postprocess": postprocess}
        origin = each.frame.origin
        results[each.number] = Results(to_bgr(each.frame.image), boxes.pop(), names, origin, speed_ms)
    return results


def keep_classes(detections: Detections, kept_classes: IntArray | None) -> Detections:
    """The detections of these classes; None: all."""
    if kept_classes is None:
        return detections
    kept = np.isin(detections.classes, kept_classes)
    return Detections(detections.boxes_xyxy_px[kept], detections.scores[kept], detections.classes[kept])


def _boxes_of_original(detections: Detections, letterbox: Letterbox) -> Boxes:
    boxes_xyxy_px = letterbox.to_original(detections.boxes_xyxy_px)
    original = Detections(boxes_xyxy_px, detections.scores, detections.classes)
    return Boxes.from_detections(original, (letterbox.height_px, letterbox.width_px))


def to_bgr(image: ImageArray) -> ImageArray:
    """A copy as OpenCV users expect it."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), dtype=np.uint8)
