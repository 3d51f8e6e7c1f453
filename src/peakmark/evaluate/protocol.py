"""Which constants make a number a COCO number? Thresholds, recall levels, sizes and limits of pycocotools' `bbox` mode.

This file must not know how anything is matched or averaged with them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

# linspace, not arange: arange's steps add up to thresholds that lie a last bit above the ones COCO compares with.
IOU_THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
"""(T,) A match needs at least this much overlap."""
IOU_50: Final = 0
IOU_75: Final = 5

RECALL_LEVELS: Final = np.linspace(0.0, 1.0, 101)
"""(R,) Where the precision curve is read."""

AREA_NAMES: Final = ("all", "small", "medium", "large")
AREA_RANGES_PX2: Final = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]])
"""(A, 2) Smallest and largest area, both included, in px² of the original image: exactly 32² is small and medium."""
ALL_SIZES: Final = 0

MAX_DETECTIONS: Final = 100
"""Per image and class; the ones with lower scores don't exist for the protocol."""
