"""What does a validation say?

Shape letters: C classes, R recall levels, K confidences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from peakmark.nouns.images import FloatArray, IntArray
from peakmark.nouns.losses import Losses

MAX_DETECTIONS = 100
"""Of an image and class that COCO looks at; the ones with lower scores don't exist for its precision and recall."""
PROTOCOL = f"COCO: 10 IoU thresholds 0.50 to 0.95, 101 recall levels, {MAX_DETECTIONS} detections per image and class"
"""How every metric is made; it stands wherever a number does."""


@dataclass(frozen=True, slots=True)
class Curves:
    """For pictures. Per class: NaN rows for classes without truths."""

    recall_levels: FloatArray
    """(101,) 0 to 1"""
    precision_CR: NDArray[np.float64]
    """(C, 101) interpolated precision at IoU 0.5"""
    confidences: FloatArray
    """(K,) 0 to 1"""
    precision_CK: NDArray[np.float64]
    recall_CK: NDArray[np.float64]
    f1_CK: NDArray[np.float64]
    best_confidence: float
    """The one confidence with the best mean F1 over the classes that have truths."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a validation of a set found, by `protocol`."""

    names: tuple[str, ...] = field(repr=False)
    metrics: Mapping[str, float]
    per_class: Mapping[str, tuple[float, ...]] = field(repr=False)
    curves: Curves = field(repr=False)
    confusion: IntArray = field(repr=False)
    """(C + 1, C + 1): row predicted class, column true class; last row: missed truths, last column: background."""
    images: int
    truths: int
    truths_per_class: tuple[int, ...] = field(repr=False)
    detections: int
    losses: Losses | None = None
    protocol: str = PROTOCOL
    coco: Mapping[str, float] = field(default_factory=dict, repr=False)
    """The twelve figures of COCO, with its cap of 100 detections of an image and class. They are those of `metrics`,
    except where an image has more objects of a class: `protocol` then says that the metrics are without the cap."""
