"""What must be known of a plan to move its pixels on another device? Numbers for every tile, from the one geometry.

Made by the loader's workers, in NumPy alone. It must not know where pixels lie nor what moves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peakmark.data.augment.apply import colour_table, tile_in_result, truths_of_result
from peakmark.data.augment.plan import AugmentPlan, Matrix, TilePlan
from peakmark.nouns.images import ImageArray, IntArray, Truths

_NOWHERE_PX = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class TileNumbers:
    """A tile, as its pixels are looked up."""

    image: int
    to_crop: Matrix
    """From pixels of the result to pixels of the crop, both counted from the middle of their first pixel."""
    reach_xyxy_px: tuple[int, int, int, int]
    """The rectangle of the result that it can reach."""
    upright: bool
    """Whether it fills that rectangle; if not, only where a pixel's middle lies in the crop."""
    width_px: int
    height_px: int
    """Of the crop."""
    first_px: int
    """The number of the crop's first pixel in its image, row by row."""
    row_px: int
    """The width of its image."""


@dataclass(frozen=True, slots=True)
class DrawnSample:
    """A training image before a pixel of it was moved, with its truths."""

    side_px: int
    layers: tuple[tuple[TileNumbers, ...], ...]
    """One or two; a layer may have no tile left."""
    blend: float
    """Share of the first layer."""
    colours: NDArray[np.uint8] | None
    """(256, 3) tables of hue, saturation and value; None where colours stay."""
    truths: Truths
    brought: dict[int, ImageArray]
    """Pixels of those of its images that the device doesn't hold yet."""
    cut_xyxy_px: tuple[int, int, int, int] | None = None
    """The part that shows the second layer; None where layers are blended."""


def drawn_sample(
    plan: AugmentPlan,
    truths_of: Callable[[int], Truths],
    width_of: Callable[[int], int],
    to_bring: Callable[[int], ImageArray | None],
) -> DrawnSample:
    """Prepares a plan for the device.

    `width_of` gives the width of an image resized to the base side, in px; `to_bring` its pixels, or None where the
    device holds them.
    """
    layers = tuple(
        tuple(
            numbers
            for tile in layer
            if (numbers := _tile_numbers(tile, plan.side_px, width_of(tile.image))) is not None
        )
        for layer in plan.layers
    )
    shown = dict.fromkeys(tile.image for layer in layers for tile in layer)
    brought = {image: pixels for image in shown if (pixels := to_bring(image)) is not None}
    truths = truths_of_result(plan, truths_of)
    return DrawnSample(plan.side_px, layers, plan.blend, colour_table(plan.hsv), truths, brought, plan.cut_xyxy_px)


def _tile_numbers(tile: TilePlan, side_px: int, row_px: int) -> TileNumbers | None:
    place = tile_in_result(tile, side_px)
    if place is None or np.linalg.det(place.crop_to_reach) == 0:
        return None
    x0, y0, _, _ = place.reach_xyxy_px
    to_reach = np.array([[1.0, 0.0, -x0], [0.0, 1.0, -y0], [0.0, 0.0, 1.0]])
    left, top, right, bottom = tile.crop_xyxy_px
    return TileNumbers(
        image=tile.image,
        to_crop=np.linalg.inv(place.crop_to_reach) @ to_reach,
        reach_xyxy_px=place.reach_xyxy_px,
        upright=place.upright,
        width_px=right - left,
        height_px=bottom - top,
        first_px=top * row_px + left,
        row_px=row_px,
    )


@dataclass(frozen=True, slots=True)
class TileTable:
    """The tiles of several layers, L, each with T places for tiles; a place that isn't used reaches nothing."""

    to_crop_LT33: NDArray[np.float64]
    reach_LT4: IntArray
    upright_LT: NDArray[np.bool_]
    last_LT2: NDArray[np.float32]
    """Across and down, the last pixel of the crop."""
    start_LS: IntArray
    """Where the crop's first pixel lies in the store, per *slot*: slot 0 is the background, slot t + 1 tile t."""
    row_LS: IntArray
    """From a pixel to the one below it; 0 for the background, which is one pixel wide and high."""


def tile_table(layers: Sequence[tuple[TileNumbers, ...]], start_of: Callable[[int], int], background: int) -> TileTable:
    """Puts layers into one table.

    `start_of` gives where an image's first pixel lies in the store, `background` where one of the background does.
    """
    places = max(1, *(len(layer) for layer in layers))
    shape = (len(layers), places)
    table = TileTable(
        to_crop_LT33=np.broadcast_to(np.eye(3), (*shape, 3, 3)).copy(),
        reach_LT4=np.broadcast_to(np.array(_NOWHERE_PX), (*shape, 4)).copy(),
        upright_LT=np.ones(shape, dtype=np.bool_),
        last_LT2=np.zeros((*shape, 2), dtype=np.float32),
        start_LS=np.full((len(layers), places + 1), background, dtype=np.int64),
        row_LS=np.zeros((len(layers), places + 1), dtype=np.int64),
    )
    for at, layer in enumerate(layers):
        for place, tile in enumerate(layer):
            table.to_crop_LT33[at, place] = tile.to_crop
            table.reach_LT4[at, place] = tile.reach_xyxy_px
            table.upright_LT[at, place] = tile.upright
            table.last_LT2[at, place] = tile.width_px - 1, tile.height_px - 1
            table.start_LS[at, place + 1] = start_of(tile.image) + tile.first_px
            table.row_LS[at, place + 1] = tile.row_px
    return table
