"""What is going to happen to a training image? Everything random is drawn here, from a key, before a pixel is touched.

A plan is a pure function of settings, seed, epoch and image index; `apply` carries it out without a draw. So any image
of any epoch can be made again at any time, by any worker. Coordinates are continuous: pixel (0, 0) covers 0..1 x 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peakmark.geometry.letterbox import STRIDE_PX, Letterbox
from peakmark.machine.streams import stream
from peakmark.nouns.images import IntArray
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import Since

Matrix = NDArray[np.float64]
"""3 x 3, homogeneous: from px of one image to px of another."""

_MOST_TILT = 0.9
"""How far towards the horizon, 1, perspective may tilt a corner of the canvas."""
_LEAST_GAIN = 0.01


@dataclass(frozen=True, slots=True)
class TilePlan:
    """One source image inside the result."""

    image: int
    crop_xyxy_px: tuple[int, int, int, int]
    """The part of the resized source image that is used."""
    to_result: Matrix
    """From px of the whole resized source image to px of the result."""


@dataclass(frozen=True, slots=True)
class HsvChange:
    """What becomes of an image's colours: hue is multiplied, then shifted; saturation and value are multiplied."""

    hue_gain: float = 1.0
    """Other than 1 in runs from before version 3 of the rules of training alone: it leaves reds, near 0, as they are,
    and moves colours near the circle's end the most."""
    saturation_gain: float = 1.0
    value_gain: float = 1.0
    hue_shift: float = 0.0
    """Of the colour circle."""


@dataclass(frozen=True, slots=True)
class AugmentPlan:
    """All that happens to one training image."""

    side_px: int
    layers: tuple[tuple[TilePlan, ...], ...]
    """One layer of one or four tiles; a second one where mixup blends it in, or cutmix puts a part of it on top."""
    blend: float
    """Share of the first layer in the blend, 0 to 1; 1 without mixup."""
    hsv: HsvChange
    cut_xyxy_px: tuple[int, int, int, int] | None = None
    """The part of the result that shows the second layer instead of the first; None without cutmix."""


def draw_plan(
    settings: Settings,
    sizes_px: IntArray,
    *,
    epoch: int,
    image: int,
    base_px: int,
    side_px: int,
    mosaic_open: bool,
    version: int,
) -> AugmentPlan:
    """Draws the plan for one image of one epoch, by a version of the rules of training.

    `sizes_px` (N, 2): width and height of every image of the set. `base_px`: the side that source images are resized
    to fit. `side_px`: the side of the result, another one with multi-scale.
    """
    rng = stream(settings.seed, "augment", epoch, image)
    layers = [_draw_layer(settings, sizes_px, rng, image, base_px, side_px, mosaic_open)]
    blend, cut = 1.0, None
    # Every draw is made whether it is used or not, so that one probability moved leaves the other draws as they were.
    mixes, other, share = rng.random(), int(rng.integers(len(sizes_px))), float(rng.beta(32.0, 32.0))
    if mosaic_open and mixes < settings.mixup:
        # From a stream of its own: it would move the colours' draws along, which come after it.
        own = stream(settings.seed, "mixup", epoch, image)
        layers.append(_draw_layer(settings, sizes_px, own, other, base_px, side_px, mosaic_open))
        blend = share
    elif mosaic_open and settings.cutmix:
        own = stream(settings.seed, "cutmix", epoch, image)
        cuts, other, cut = own.random(), int(own.integers(len(sizes_px))), _draw_cut(own, side_px)
        if cuts < settings.cutmix:
            layers.append(_draw_layer(settings, sizes_px, own, other, base_px, side_px, mosaic_open))
        else:
            cut = None
    return AugmentPlan(side_px, tuple(layers), blend, _draw_colours(settings, rng, version), cut)


def _draw_colours(settings: Settings, rng: np.random.Generator, version: int) -> HsvChange:
    hue, saturation, value = (
        float(change) for change in rng.uniform(-1, 1, 3) * (settings.hsv_h, settings.hsv_s, settings.hsv_v)
    )
    if version < Since.HUE_IS_SHIFTED:
        return HsvChange(1 + hue, 1 + saturation, 1 + value)
    return HsvChange(saturation_gain=1 + saturation, value_gain=1 + value, hue_shift=hue)


def _draw_cut(rng: np.random.Generator, side_px: int) -> tuple[int, int, int, int]:
    """Draws a square in whole px, of a share of the image that is uniform, cut off at its edges (arXiv 1905.04899)."""
    length = math.sqrt(rng.random()) * side_px
    x, y = rng.random(2) * side_px
    x0, y0, x1, y1 = (
        round(min(max(at, 0.0), side_px)) for at in (x - length / 2, y - length / 2, x + length / 2, y + length / 2)
    )
    return x0, y0, x1, y1


def _draw_layer(
    settings: Settings,
    sizes_px: IntArray,
    rng: np.random.Generator,
    image: int,
    base_px: int,
    side_px: int,
    mosaic_open: bool,
) -> tuple[TilePlan, ...]:
    tiled = rng.random() < settings.mosaic and mosaic_open
    others = rng.integers(len(sizes_px), size=3)
    centre = rng.uniform(0.5, 1.5, 2) * base_px
    to_result = _draw_warp(settings, rng, base_px, side_px, canvas_px=2 * base_px if tiled else base_px)
    if tiled:
        images = (image, *(int(other) for other in others))
        return tuple(
            _mosaic_tile(sizes_px[source], source, corner, centre, base_px, to_result)
            for corner, source in enumerate(images)
        )
    width, height = (int(length) for length in sizes_px[image])
    box = Letterbox(width, height, base_px)
    crop = (0, 0, box.inner_width_px, box.inner_height_px)
    left, top = (base_px - box.inner_width_px) // 2, (base_px - box.inner_height_px) // 2
    return (TilePlan(image, crop, to_result @ _shift(left, top)),)


def _mosaic_tile(
    size_px: IntArray,
    image: int,
    corner: int,
    centre: NDArray[np.float64],
    base_px: int,
    to_result: Matrix,
) -> TilePlan:
    """Places a tile with one of its corners at the mosaic's centre; what reaches over the canvas is cut off.

    Corners: 0 the tile left above the centre, 1 right above, 2 left below, 3 right below (arXiv 2004.10934).
    """
    box = Letterbox(int(size_px[0]), int(size_px[1]), base_px)
    width, height = box.inner_width_px, box.inner_height_px
    left = round(centre[0]) - (width if corner % 2 == 0 else 0)
    top = round(centre[1]) - (height if corner < 2 else 0)
    crop = (max(0, -left), max(0, -top), min(width, 2 * base_px - left), min(height, 2 * base_px - top))
    return TilePlan(image, crop, to_result @ _shift(left, top))


def _draw_warp(settings: Settings, rng: np.random.Generator, base_px: int, side_px: int, *, canvas_px: int) -> Matrix:
    """Draws the map from the canvas to the result: centre, perspective, rotate and scale, shear, place, flip."""
    tilt = rng.uniform(-settings.perspective, settings.perspective, 2)
    angle = math.radians(rng.uniform(-settings.degrees, settings.degrees))
    # At scale=1 an image could shrink to nothing, and its map would have no inverse.
    gain = max(_LEAST_GAIN, rng.uniform(1 - settings.scale, 1 + settings.scale)) * side_px / base_px
    shear_x, shear_y = np.tan(np.radians(rng.uniform(-settings.shear, settings.shear, 2)))
    place = rng.uniform(0.5 - settings.translate, 0.5 + settings.translate, 2) * side_px
    flip_x, flip_y = rng.random() < settings.fliplr, rng.random() < settings.flipud

    # A corner of the canvas that tilts as far as the horizon has no place in the image, and one beyond it comes out
    # mirrored: boxes would lie where no pixel of theirs is.
    reach = float(np.abs(tilt).sum()) * canvas_px / 2
    perspective = np.eye(3)
    perspective[2, :2] = tilt * (_MOST_TILT / max(reach, _MOST_TILT))
    cosine, sine = gain * math.cos(angle), gain * math.sin(angle)
    rotate = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    shear = np.array([[1.0, shear_x, 0.0], [shear_y, 1.0, 0.0], [0.0, 0.0, 1.0]])
    warp = _shift(place[0], place[1]) @ shear @ rotate @ perspective @ _shift(-canvas_px / 2, -canvas_px / 2)
    # A flip is one more factor, so it costs no pass over the pixels.
    result: Matrix = _flip(side_px, across=flip_x, down=flip_y) @ warp
    return result


def _flip(side_px: int, *, across: bool, down: bool) -> Matrix:
    x, y = (-1.0 if across else 1.0), (-1.0 if down else 1.0)
    return np.array([[x, 0.0, side_px * across], [0.0, y, side_px * down], [0.0, 0.0, 1.0]])


def _shift(x_px: float, y_px: float) -> Matrix:
    return np.array([[1.0, 0.0, x_px], [0.0, 1.0, y_px], [0.0, 0.0, 1.0]])


def draw_side(settings: Settings, *, epoch: int, first_image: int) -> int:
    """Draws the side of the images of one microbatch with multi-scale, a multiple of 32 px; else imgsz itself."""
    if settings.multi_scale == 0:
        return settings.imgsz
    share = stream(settings.seed, "multi-scale", epoch, first_image).uniform(-1, 1)
    return _scaled_side(settings, share)


def least_side(settings: Settings) -> int:
    """Gives the smallest side that `draw_side` can draw."""
    return _scaled_side(settings, -1.0)


def greatest_side(settings: Settings) -> int:
    """Gives the largest side that `draw_side` can draw: what a training must have the memory for."""
    return _scaled_side(settings, 1.0)


def _scaled_side(settings: Settings, share: float) -> int:
    return max(STRIDE_PX, round(settings.imgsz * (1 + share * settings.multi_scale) / STRIDE_PX) * STRIDE_PX)
