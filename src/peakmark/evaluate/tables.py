"""How do the truths and detections of a whole set lie in memory? One row per object, the image as a column.

Boxes are x, y, width, height in float64, as COCO files hold them: corners would give overlaps that differ from
pycocotools in the last bit, and an overlap of exactly 0.5 would then fall on the other side of a threshold.
This file must not know what the rows are compared for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peakmark.nouns.images import Detections, FloatArray, IntArray, Truths

DoubleArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TruthTable:
    """The labelled objects of a set, in px of the original images."""

    image_G: IntArray
    """0-based number of the image in the set"""
    classes_G: IntArray
    boxes_xywh_px: DoubleArray
    """(G, 4)"""
    crowd_G: BoolArray
    """A region of many objects: detections in it count neither for nor against, and it is never missed."""
    areas_px2_G: DoubleArray
    """Decides whether the object is small, medium or large; COCO has the area of the mask here."""


@dataclass(frozen=True, slots=True)
class DetectionTable:
    """What a model found in a set, in px of the original images; within an image in any order."""

    image_D: IntArray
    classes_D: IntArray
    boxes_xywh_px: DoubleArray
    """(D, 4)"""
    scores_D: FloatArray


def truth_table(truths: Sequence[Truths]) -> TruthTable:
    """Puts the truths of all images into one table: no crowds, and the area of an object is that of its box."""
    boxes = _as_xywh([each.boxes_xyxy_px for each in truths])
    return TruthTable(
        image_G=_image_of_row([len(each) for each in truths]),
        classes_G=_joined([each.classes for each in truths]),
        boxes_xywh_px=boxes,
        crowd_G=np.zeros(len(boxes), dtype=np.bool_),
        areas_px2_G=boxes[:, 2] * boxes[:, 3],
    )


def detection_table(detections: Sequence[Detections]) -> DetectionTable:
    """Puts the detections of all images, already in px of the original images, into one table."""
    return DetectionTable(
        image_D=_image_of_row([len(each) for each in detections]),
        classes_D=_joined([each.classes for each in detections]),
        boxes_xywh_px=_as_xywh([each.boxes_xyxy_px for each in detections]),
        scores_D=np.concatenate([np.zeros(0, dtype=np.float32), *(each.scores for each in detections)]),
    )


def _image_of_row(rows_per_image: Sequence[int]) -> IntArray:
    return np.repeat(np.arange(len(rows_per_image), dtype=np.int64), np.asarray(rows_per_image, dtype=np.int64))


def _joined(arrays: Sequence[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *arrays])


def _as_xywh(boxes_xyxy_px: Sequence[FloatArray]) -> DoubleArray:
    # Widened before subtracting: in float32 a width loses bits that the same box written to a COCO file keeps.
    boxes = np.concatenate([np.zeros((0, 4)), *boxes_xyxy_px], dtype=np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
