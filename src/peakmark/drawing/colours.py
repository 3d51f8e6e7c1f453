"""Which colour does a class have? The same in every picture and every run, and told apart by colour-blind eyes.

Knows numbers only; it must not know class names, images or files.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_FIRST_RGB = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (86, 180, 233),
    (240, 228, 66),
)
"""The chromatic colours of Okabe and Ito, "Color Universal Design" (2008), strongest on white paper first."""

_COLOURS = 128
"""After so many classes the colours begin again; nobody tells more apart."""

_LIGHTNESS_RANGE = (0.45, 0.87)
"""OKLab lightness. Darker ones vanish in shadows and beside the black text, lighter ones on white paper."""


def class_colour(index: int) -> tuple[int, int, int]:
    """Gives the colour of class `index` as (red, green, blue), 0 to 255; deterministic, repeats after 128 classes."""
    return _palette()[index % _COLOURS]


def text_colour_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Gives black or white, whichever has the higher contrast on `colour` (WCAG 2 relative luminance)."""
    luminance = float(_linear(np.array(colour)) @ np.array([0.2126, 0.7152, 0.0722]))
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


@cache
def _palette() -> tuple[tuple[int, int, int], ...]:
    """Starts from the seven known good colours and always adds the candidate farthest from all that are taken.

    Far is meant for ordinary and for red-green-blind eyes: the smaller of the two distances counts. The latter's is
    taken twice, since their colours lie in a plane; without it they would cost everybody else half of the room.
    """
    levels = np.linspace(0, 255, 18).round().astype(np.int64)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness = _oklab(_linear(grid))[:, 0]
    candidates = np.concatenate(
        [np.array(_FIRST_RGB), grid[(lightness > _LIGHTNESS_RANGE[0]) & (lightness < _LIGHTNESS_RANGE[1])]]
    )
    linear = _linear(candidates)
    seen_as = (_oklab(linear), 2 * _oklab(_as_seen_red_green_blind(linear)))

    taken = list(range(len(_FIRST_RGB)))
    distance = np.full(len(candidates), np.inf)
    for position in range(_COLOURS):
        if position == len(taken):
            taken.append(int(np.argmax(distance)))
        for colours in seen_as:
            distance = np.minimum(distance, np.linalg.norm(colours - colours[taken[position]], axis=1))
    return tuple((int(red), int(green), int(blue)) for red, green, blue in candidates[taken])


def _linear(rgb: NDArray[np.int64]) -> NDArray[np.float64]:
    """sRGB bytes (..., 3) to linear light, 0 to 1 (IEC 61966-2-1)."""
    value = rgb / 255.0
    linear: NDArray[np.float64] = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return linear


def _oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light (N, 3) to OKLab, where equal distances look equally far (Ottosson 2020)."""
    to_cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    lab: NDArray[np.float64] = np.cbrt(linear @ to_cones.T) @ to_lab.T
    return lab


def _as_seen_red_green_blind(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light (N, 3) as eyes without green cones see it (Machado et al. 2009, deuteranopia)."""
    to_seen = np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    )
    seen: NDArray[np.float64] = np.clip(linear @ to_seen.T, 0.0, 1.0)
    return seen
