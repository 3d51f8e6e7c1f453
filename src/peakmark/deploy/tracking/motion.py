"""Where will a box be in the next frame? A Kalman filter with constant velocity, for many boxes at once.

Centre, width and height are each followed by a filter of its own: position and velocity, moved by an unknown
acceleration that is white noise, measured with an error in proportion to the object's size (Bar-Shalom, Li and
Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, chapters 5 and 6.2). It must not know what
is matched with what. Shapes: T tracks, 4 coordinates: centre x, centre y, width, height in px; time is in frames.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

_MEASURED = 1 / 20
"""Standard deviation of a measurement, as a share of the object's size."""
_ACCELERATION = 1 / 40
"""Of the unknown acceleration, in sizes a frame and frame."""
_FIRST_VELOCITY = 1 / 5
"""Of the velocity of an object that was seen once, in sizes a frame."""
_LEAST_PX = 1.0


@dataclass(frozen=True, slots=True)
class Motion:
    """What is known of the motion of T boxes. Each step gives a new one."""

    position: Floats
    """(T, 4)"""
    velocity: Floats
    """(T, 4) px a frame"""
    position_variance: Floats
    covariance: Floats
    velocity_variance: Floats

    @classmethod
    def of(cls, boxes_xyxy_px: Floats) -> Motion:
        """What one look at boxes (T, 4) says."""
        measured = _cxcywh(boxes_xyxy_px)
        size = _sizes(measured)
        zero = np.zeros_like(measured)
        spread = np.broadcast_to(size, measured.shape)
        return cls(measured, zero, (_MEASURED * spread) ** 2, zero, (_FIRST_VELOCITY * spread) ** 2)

    def __len__(self) -> int:
        return len(self.position)

    @property
    def boxes_xyxy_px(self) -> Floats:
        """(T, 4) where they are taken to be"""
        half = np.maximum(self.position[:, 2:], _LEAST_PX) / 2
        return np.concatenate((self.position[:, :2] - half, self.position[:, :2] + half), axis=1)

    def of_rows(self, chosen: object) -> Motion:
        """Those of some tracks."""
        return Motion(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def and_(self, other: Motion) -> Motion:
        """Those of both."""
        names = (field.name for field in fields(self))
        return Motion(*(np.concatenate((getattr(self, name), getattr(other, name))) for name in names))

    def after_a_frame(self) -> Motion:
        """A frame later, unseen."""
        noise = (_ACCELERATION * _sizes(self.position)) ** 2
        return Motion(
            self.position + self.velocity,
            self.velocity,
            self.position_variance + 2 * self.covariance + self.velocity_variance + noise / 4,
            self.covariance + self.velocity_variance + noise / 2,
            self.velocity_variance + noise,
        )

    def of_one_size(self, chosen: NDArray[np.bool_]) -> Motion:
        """The same with some tracks neither growing nor shrinking: what is lost would vanish or fill the picture."""
        velocity = self.velocity.copy()
        velocity[chosen, 2:] = 0
        return replace(self, velocity=velocity)

    def seen(self, boxes_xyxy_px: Floats) -> Motion:
        """What is known after a look at all of them, at boxes (T, 4)."""
        measured = _cxcywh(boxes_xyxy_px)
        error = (_MEASURED * _sizes(measured)) ** 2
        total = self.position_variance + error
        gain, velocity_gain = self.position_variance / total, self.covariance / total
        surprise = measured - self.position
        return Motion(
            self.position + gain * surprise,
            self.velocity + velocity_gain * surprise,
            (1 - gain) * self.position_variance,
            (1 - gain) * self.covariance,
            self.velocity_variance - velocity_gain * self.covariance,
        )


def _cxcywh(boxes_xyxy_px: Floats) -> Floats:
    # In float64: over thousands of frames the variances are differences of near numbers.
    low, high = boxes_xyxy_px[:, :2].astype(np.float64), boxes_xyxy_px[:, 2:].astype(np.float64)
    return np.concatenate(((low + high) / 2, high - low), axis=1)


def _sizes(cxcywh_px: Floats) -> Floats:
    """(T, 1) the side of a square of a box's area."""
    return np.asarray(np.sqrt(np.maximum(cxcywh_px[:, 2:], _LEAST_PX).prod(axis=1, keepdims=True)))
