"""How is a box written down, and how does one form become another?

xyxy: left, top, right, bottom. cxcywh: centre, width, height. For NumPy arrays; on tensors only corners are used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def xyxy_from_cxcywh(boxes_cxcywh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Takes boxes (..., 4) from centre form to corner form, in the same unit."""
    half = boxes_cxcywh[..., 2:] * np.float32(0.5)
    centre = boxes_cxcywh[..., :2]
    return np.concatenate((centre - half, centre + half), axis=-1, dtype=np.float32)


def cxcywh_from_xyxy(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Takes boxes (..., 4) from corner form to centre form, in the same unit."""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return np.concatenate(((low + high) * np.float32(0.5), high - low), axis=-1, dtype=np.float32)
