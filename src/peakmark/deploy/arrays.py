"""How do pixels that a program hands over become an RGB image of bytes?

Habits that users bring along: NumPy arrays are as OpenCV reads them (blue first), PIL images say themselves what they
are. Must not know files or models.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from peakmark.errors import DataError
from peakmark.nouns.images import ImageArray

_ARRAY_REMEDY = "Give height x width x 3 in BGR, as cv2.imread returns it; or grey as height x width; or BGRA."


def array_to_rgb(array: np.ndarray[Any, Any], name: str) -> ImageArray:
    """Makes RGB, a copy, of BGR, BGRA (alpha is dropped) or grey pixels. `name` is for the message of a `DataError`."""
    if array.dtype != np.uint8:
        remedy = "Scale the values to 0..255 and call .astype(numpy.uint8)."
        raise DataError(f"{name}: pixels are {array.dtype}, but uint8 is needed. {remedy}")
    channels = 1 if array.ndim == 2 else array.shape[-1]
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise DataError(f"{name}: an array of shape {array.shape} is not an image. {_ARRAY_REMEDY}")
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(array), code), dtype=np.uint8)


def pil_to_rgb(image: Image.Image, name: str) -> ImageArray:
    """Turns a PIL image into RGB, upright by its EXIF orientation as the same file would be; alpha is dropped.

    `name` is for the message of a `DataError`.
    """
    try:
        upright = ImageOps.exif_transpose(image)
        # Pillow clips the 16 bits of these at 255 where it converts them, which makes nearly all of a picture white.
        if upright.mode.startswith("I"):
            return array_to_rgb((np.asarray(upright).clip(0, 0xFFFF) >> 8).astype(np.uint8), name)
        return np.array(upright.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: Pillow can't read this image: {error}. Check the file it was opened from.") from error
