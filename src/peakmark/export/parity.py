"""Does a written file compute what the model computes? Held against it on real images, number by number and in mAP.

It must not know any format: two runtimes come in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.resampling import ResampledMetrics, draw_resamples
from peakmark.evaluate.uncertainty import RESAMPLES, RESAMPLING_SEED, Estimate, estimate
from peakmark.evaluate.validator import Validated
from peakmark.export.format import Runtime
from peakmark.nouns.images import Detections, FloatArray

MOST_BOX_PX = 0.01
MOST_SCORE = 1e-4
"""How far a float32 file may be off. Runtimes add in other orders: some 2e-4 px and 1e-7 are usual."""
MOST_DROP_IN_FLOAT32 = 0.001
"""Of mAP50-95, where nothing but the order of additions differs."""
_SMALLEST_SIDE_PX = 64
_MOST_UNMATCHED = 0.001
"""Of all detections: two boxes whose overlap is the threshold to the last digit may be decided either way."""


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """How far two runtimes are apart on the same images."""

    box_px: float
    """Of any coordinate of any box"""
    score: float
    shapes: tuple[tuple[int, int, int], ...]
    """(B, H, W) of what went in"""
    unmatched: int = 0
    """Detections of one that the other hasn't, where suppression is inside"""
    detections: int = 0
    """Of both together, where suppression is inside"""

    @property
    def is_small(self) -> bool:
        """Whether it is no more than what another order of additions makes."""
        # Written so that NaN is not small.
        small = self.box_px <= MOST_BOX_PX and self.score <= MOST_SCORE
        return small and self.unmatched <= _MOST_UNMATCHED * self.detections


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Both validated on the same images, prepared in the same way."""

    model: float
    """mAP50-95 of the network by torch in float32"""
    exported: float
    difference: Estimate | None
    """exported - model, from pairs of images; None for a single image"""
    images: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Parity:
    """What was found out about a written file."""

    outputs: OutputDifference
    accuracy: Accuracy | None
    """None where no data with its classes were at hand"""
    max_drop: float | None
    """Of mAP50-95, that is let pass; None where outputs are judged (float32)"""

    @property
    def holds(self) -> bool:
        """Whether the file may go out."""
        if self.max_drop is None:
            return self.outputs.is_small and not self._loses(MOST_DROP_IN_FLOAT32)
        return self.accuracy is not None and not self._loses(self.max_drop)

    def _loses(self, most: float) -> bool:
        """NaN, where nothing could be found on either side, is no loss; on one side it is."""
        if self.accuracy is None or (math.isnan(self.accuracy.model) and math.isnan(self.accuracy.exported)):
            return False
        return not self.accuracy.model - self.accuracy.exported <= most


def compare_outputs(one: Runtime, other: Runtime, batches: Sequence[FloatArray]) -> OutputDifference:
    """Holds boxes and scores of all anchors of both against each other."""
    box_px, score = 0.0, 0.0
    for images in batches:
        first, second = one(images, 0.0, True), other(images, 0.0, True)
        if first.shape != second.shape:
            return OutputDifference(math.inf, math.inf, _shapes(batches))
        apart = np.abs(first.astype(np.float64) - second)
        # max() of Python would pass over a NaN.
        box_px, score = (
            float(np.max([before, now])) for before, now in ((box_px, apart[:, :4].max()), (score, apart[:, 4:].max()))
        )
    return OutputDifference(box_px, score, _shapes(batches))


def compare_detections(
    pairs: Sequence[tuple[Detections, Detections]], shapes: tuple[tuple[int, int, int], ...]
) -> OutputDifference:
    """Holds the detections of both in each image against each other, where a file gives no others."""
    box_px, score, unmatched, count = 0.0, 0.0, 0, 0
    for one, other in pairs:
        boxes, scores, missing = _matched(one, other)
        box_px, score = max(box_px, boxes), max(score, scores)
        unmatched += missing
        count += len(one) + len(other)
    return OutputDifference(box_px, score, shapes, unmatched, count)


def _matched(one: Detections, other: Detections) -> tuple[float, float, int]:
    """Gives the largest differences of what is in both, and how many are in one only."""
    free = np.ones(len(other), dtype=bool)
    box_px, score, missing = 0.0, 0.0, 0
    for box, confidence, number in zip(one.boxes_xyxy_px, one.scores, one.classes, strict=True):
        apart_px = np.abs(other.boxes_xyxy_px - box).max(axis=1, initial=0.0)
        apart = np.abs(other.scores - confidence)
        fits = free & (other.classes == number) & (apart_px <= MOST_BOX_PX) & (apart <= MOST_SCORE)
        if not fits.any():
            missing += 1
            continue
        nearest = int(np.flatnonzero(fits)[np.argmin(apart_px[fits])])
        free[nearest] = False
        box_px, score = max(box_px, float(apart_px[nearest])), max(score, float(apart[nearest]))
    return box_px, score, missing + int(free.sum())


def _shapes(batches: Sequence[FloatArray]) -> tuple[tuple[int, int, int], ...]:
    return tuple(dict.fromkeys((len(images), images.shape[2], images.shape[3]) for images in batches))


def input_variants(batches: Sequence[FloatArray], batch: int | None, stride_px: int) -> Iterator[FloatArray]:
    """Gives real images in as many numbers and sizes as a file takes: the given ones, and where that is free others."""
    for images in batches:
        if batch is not None:
            for start in range(0, len(images) - batch + 1, batch):
                yield images[start : start + batch]
            continue
        yield images
        yield images[:1]
        height, width = (max(_SMALLEST_SIDE_PX, side // 2 // stride_px * stride_px) for side in images.shape[2:])
        yield np.ascontiguousarray(images[:3, :, :height, : images.shape[3]])
        yield np.ascontiguousarray(images[:2, :, : images.shape[2], :width])


def compare_accuracy(model: Validated, exported: Validated) -> Accuracy:
    """Says how far the mAP of an exported file is from the model's, and within which bounds."""
    values = [each.evaluation.metrics["map50_95"] for each in (model, exported)]
    return Accuracy(
        model=values[0],
        exported=values[1],
        difference=_difference(values, (model.evidence, exported.evidence)),
        images=model.evaluation.images,
        protocol=exported.evaluation.protocol,
    )


def _difference(values: Sequence[float], evidences: Sequence[Evidence]) -> Estimate | None:
    images = evidences[0].images
    if images < 2 or any(math.isnan(value) for value in values):
        return None
    # The same resamples for both: what is hard in an image is hard for both, and drops out.
    weights_BI = draw_resamples(images, RESAMPLES, RESAMPLING_SEED)
    of_model, of_exported = (ResampledMetrics(evidence, weights_BI)["map50_95"] for evidence in evidences)
    return estimate(values[1] - values[0], of_exported - of_model, images)
