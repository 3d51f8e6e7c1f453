"""What of a polygon decides which box is around it, however the image is turned? Its hull.

The box around a polygon, turned, is not the box around the turned polygon: under strong rotation three boxes in ten
were more than 2 px too large. Points inside the hull can never be outermost, so they are not kept. Where an edge cuts
an object off, what is left is that of the hull too: at a dent in the polygon the box may then be a little larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.nouns.images import FloatArray, IntArray

Points = NDArray[np.float64]
"""(P, 2) x and y, in order around a convex shape."""


@dataclass(frozen=True, slots=True)
class Outlines:
    """The hulls of M objects, as columns; one that was labelled by a box has no points."""

    points_norm: FloatArray
    """(P, 2) in fractions of the image, inside it"""
    offsets: IntArray
    """(M + 1,) where each object's points begin"""

    def __getitem__(self, objects: slice) -> tuple[FloatArray, ...]:
        return tuple(
            self.points_norm[start:end]
            for start, end in zip(
                self.offsets[objects].tolist(), self.offsets[objects.start + 1 : objects.stop + 1].tolist(), strict=True
            )
        )

    def select(self, objects: IntArray) -> Outlines:
        """Gives the outlines of these objects, in this order."""
        counts = np.diff(self.offsets)[objects]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        points = np.repeat(self.offsets[objects] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Outlines(self.points_norm[points], offsets)


def outlines_of(hulls: Sequence[FloatArray]) -> Outlines:
    """Gathers the hulls of objects, each (P, 2), into columns."""
    counts = [len(hull) for hull in hulls]
    points = np.concatenate([np.zeros((0, 2), np.float32), *hulls]).astype(np.float32)
    return Outlines(points, np.concatenate(([0], np.cumsum(counts, dtype=np.int64))))


def hull_of(polygon: Sequence[float]) -> FloatArray:
    """Gives the hull (P, 2) of a polygon x1 y1 x2 y2 ... in fractions of the image, from its leftmost point on.

    The hull of a hull is the same: what is remembered of a file and read from it again must have one fingerprint.
    """
    points = np.array(polygon, np.float32).reshape(-1, 2).clip(0, 1)
    hull = np.array(cv2.convexHull(points), np.float32).reshape(-1, 2)
    first = int(np.lexsort((hull[:, 1], hull[:, 0]))[0])
    return np.roll(hull, -first, axis=0)


def mapped(points: Points, to_result: NDArray[np.float64]) -> Points:
    """Takes points through a map (3, 3)."""
    homogeneous = points @ to_result[:, :2].T + to_result[:, 2]
    moved: Points = homogeneous[:, :2] / homogeneous[:, 2:]
    return moved


def cut_to(points: Points, rectangle_xyxy: Sequence[float]) -> Points:
    """Gives what of a convex shape lies in a rectangle (Sutherland and Hodgman, 1974): an edge at a time."""
    left, top, right, bottom = rectangle_xyxy
    for axis, limit, sign in ((0, left, 1.0), (1, top, 1.0), (0, right, -1.0), (1, bottom, -1.0)):
        inside = sign * (points[:, axis] - limit)
        if (inside < 0).any():
            points = np.array(list(_cut_at(points, inside)), np.float64).reshape(-1, 2)
    return points


def _cut_at(points: Points, inside: NDArray[np.float64]) -> Iterator[Points]:
    """The points on the good side of a line, and those where the shape crosses it; `inside` is the distance to it."""
    for at in range(len(points)):
        before = inside[at - 1]
        if (before < 0) != (inside[at] < 0):
            yield points[at - 1] + (points[at] - points[at - 1]) * (before / (before - inside[at]))
        if inside[at] >= 0:
            yield points[at]


def bounds(points: Points) -> NDArray[np.float64]:
    """The upright box (4,) around points; at 0 and without extent where there are none."""
    return np.concatenate((points.min(axis=0), points.max(axis=0))) if len(points) else np.zeros(4)
