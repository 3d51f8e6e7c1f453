"""How does a plan become a training image? Deterministically: no draw, no clock, no setting is read here.

Each tile is warped once, straight from its resized source into the part of the result that it covers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.data.augment.outlines import bounds, cut_to, mapped
from peakmark.data.augment.plan import AugmentPlan, HsvChange, Matrix, TilePlan
from peakmark.geometry.letterbox import BACKGROUND
from peakmark.nouns.images import ImageArray, Sample, Truths

_LEAST_SIDE_PX = 2.0
_LEAST_AREA_LEFT = 0.1
_MOST_ASPECT = 100.0
_HUES = 180
"""Levels around the colour circle, in 8 bits."""
_HALF_PIXEL = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
_HALF_PIXEL_BACK = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, slots=True)
class TileInResult:
    """Where a tile lies in the result; whoever moves its pixels goes by this."""

    reach_xyxy_px: tuple[int, int, int, int]
    """The rectangle of the result that it can reach; an upright tile fills it."""
    crop_to_reach: Matrix
    """From pixels of the crop to pixels of that rectangle, both counted from the middle of their first pixel."""
    upright: bool


def apply_plan(plan: AugmentPlan, load: Callable[[int], ImageArray], truths_of: Callable[[int], Truths]) -> Sample:
    """Carries a plan out. `load` gives an image resized to the base side, `truths_of` its truths in px of that size."""
    image = _draw_layer(plan.layers[0], plan.side_px, load)
    if len(plan.layers) == 2:
        blended = _draw_layer(plan.layers[1], plan.side_px, load)
        if plan.cut_xyxy_px is not None:
            x0, y0, x1, y1 = plan.cut_xyxy_px
            image[y0:y1, x0:x1] = blended[y0:y1, x0:x1]
        else:
            cv2.addWeighted(image, plan.blend, blended, 1 - plan.blend, 0.0, dst=image)
    _change_colours(image, plan.hsv)
    return Sample(image, truths_of_result(plan, truths_of))


def truths_of_result(plan: AugmentPlan, truths_of: Callable[[int], Truths]) -> Truths:
    """Takes the truths of all tiles into the result and drops those that crop or edge left too little of, in px."""
    tiles = [tile for layer in plan.layers for tile in layer]
    found = [truths_of(tile.image) for tile in tiles]
    counts = [len(truths) for truths in found]
    boxes = np.concatenate([truths.boxes_xyxy_px for truths in found], dtype=np.float64)
    classes = np.concatenate([truths.classes for truths in found])
    # All tiles' boxes at once: one by one, calls into NumPy took longer than what they did.
    to_result = np.repeat([tile.to_result for tile in tiles], counts, axis=0)
    crops = np.repeat([tile.crop_xyxy_px for tile in tiles], counts, axis=0)
    low, high = crops[:, :2], np.maximum(crops[:, :2], crops[:, 2:])
    cropped = boxes.reshape(-1, 2, 2).clip(low[:, None], high[:, None]).reshape(-1, 4)
    whole = _corners_in_result(boxes, to_result)
    clipped = _corners_in_result(cropped, to_result).clip(0, plan.side_px)
    _follow_outlines(tiles, found, whole, clipped, plan.side_px)
    hidden = np.zeros(len(boxes))
    if plan.cut_xyxy_px is not None:
        first = np.repeat([layer is plan.layers[0] for layer in plan.layers for _ in layer], counts)
        clipped, hidden = _cut_out(clipped, first, np.array(plan.cut_xyxy_px, dtype=np.float64))
    kept = _worth_keeping(whole, clipped, hidden)
    return Truths(clipped[kept].astype(np.float32), classes[kept])


def _draw_layer(tiles: tuple[TilePlan, ...], side_px: int, load: Callable[[int], ImageArray]) -> ImageArray:
    result = np.full((side_px, side_px, 3), BACKGROUND, dtype=np.uint8)
    for tile in tiles:
        _warp_tile(tile, load(tile.image), result)
    return result


def _warp_tile(tile: TilePlan, source: ImageArray, result: ImageArray) -> None:
    """Warps the tile's crop into the rectangle of the result that it can reach, in place."""
    place = tile_in_result(tile, result.shape[0])
    if place is None:
        return
    left, top, right, bottom = tile.crop_xyxy_px
    x0, y0, x1, y1 = place.reach_xyxy_px
    crop, matrix = source[top:bottom, left:right], place.crop_to_reach
    size = (x1 - x0, y1 - y0)
    border = cv2.BORDER_REPLICATE if place.upright else cv2.BORDER_TRANSPARENT
    part = result[y0:y1, x0:x1]
    if _is_affine(matrix):
        cv2.warpAffine(crop, matrix[:2], size, dst=part, flags=cv2.INTER_LINEAR, borderMode=border)
    else:
        cv2.warpPerspective(crop, matrix, size, dst=part, flags=cv2.INTER_LINEAR, borderMode=border)


def tile_in_result(tile: TilePlan, side_px: int) -> TileInResult | None:
    """Works out where a tile lies in a result of this side; None where no pixel of it does."""
    left, top, right, bottom = tile.crop_xyxy_px
    if right <= left or bottom <= top:
        return None
    corners = _corners_in_result(np.array([[left, top, right, bottom]], dtype=np.float64), tile.to_result[None])[0]
    upright = _is_upright(tile.to_result)
    # Upright tiles fill whole pixels up to their rounded edges, so that neighbours meet without a seam; turned ones
    # leave pixels that they cover in part to the background.
    reach = np.rint(corners) if upright else np.concatenate((np.floor(corners[:2]), np.ceil(corners[2:])))
    x0, y0, x1, y1 = (int(edge) for edge in reach.clip(0, side_px))
    if x1 <= x0 or y1 <= y0:
        return None
    crop_to_reach = _shifted(tile.to_result, left, top, -x0, -y0)
    # Pixels are moved from centre to centre; the plan counts from their corners.
    return TileInResult((x0, y0, x1, y1), _HALF_PIXEL_BACK @ crop_to_reach @ _HALF_PIXEL, upright)


def _shifted(matrix: Matrix, from_x: float, from_y: float, to_x: float, to_y: float) -> Matrix:
    before = np.array([[1.0, 0.0, from_x], [0.0, 1.0, from_y], [0.0, 0.0, 1.0]])
    after = np.array([[1.0, 0.0, to_x], [0.0, 1.0, to_y], [0.0, 0.0, 1.0]])
    shifted: Matrix = after @ matrix @ before
    return shifted


def _is_upright(matrix: Matrix) -> bool:
    return _is_affine(matrix) and matrix[0, 1] == 0 and matrix[1, 0] == 0


def _is_affine(matrix: Matrix) -> bool:
    return bool(matrix[2, 0] == 0 and matrix[2, 1] == 0)


def _corners_in_result(boxes_xyxy_px: NDArray[np.float64], to_result: NDArray[np.float64]) -> NDArray[np.float64]:
    """The upright boxes (N, 4) around the boxes' four corners, each after its own map (N, 3, 3)."""
    corners = boxes_xyxy_px[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    mapped = corners @ to_result[:, :, :2].swapaxes(1, 2) + to_result[:, None, :, 2]
    points = mapped[..., :2] / mapped[..., 2:]
    return np.concatenate((points.min(axis=1), points.max(axis=1)), axis=1)


def _follow_outlines(
    tiles: Sequence[TilePlan],
    found: Sequence[Truths],
    whole: NDArray[np.float64],
    clipped: NDArray[np.float64],
    side_px: int,
) -> None:
    """Puts the boxes of polygons in turned tiles around the turned polygons, in place; upright ones are right."""
    row = 0
    for tile, truths in zip(tiles, found, strict=True):
        turned = () if _is_upright(tile.to_result) else truths.outlines_px or ()
        for number, outline in enumerate(turned):
            if len(outline):
                points = outline.astype(np.float64)
                seen = mapped(cut_to(points, tile.crop_xyxy_px), tile.to_result)
                whole[row + number] = bounds(mapped(points, tile.to_result))
                clipped[row + number] = bounds(cut_to(seen, (0, 0, side_px, side_px)))
        row += len(truths)


def _cut_out(
    boxes: NDArray[np.float64], first: NDArray[np.bool_], cut: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gives what is seen of boxes (N, 4) where a cut shows another layer, and how many px of each it hides.

    Boxes of the `first` layer end where the cut takes off a whole side of them; those of the other end at its edges.
    """
    low, high = cut[:2], cut[2:]
    inside = boxes.reshape(-1, 2, 2).clip(low, high).reshape(-1, 4)
    sides = (inside[:, 2:] - inside[:, :2]).clip(0)
    rest = boxes.copy()
    for axis in range(2):
        across = (
            (boxes[:, 1 - axis] >= low[1 - axis]) & (boxes[:, 3 - axis] <= high[1 - axis]) & (sides > 0).all(axis=1)
        )
        start, end = boxes[:, axis], boxes[:, axis + 2]
        rest[:, axis] = np.where(across & (start >= low[axis]), np.minimum(high[axis], end), start)
        rest[:, axis + 2] = np.where(across & (end <= high[axis]), np.maximum(low[axis], rest[:, axis]), end)
    seen = np.where(first[:, None], rest, inside)
    size, left = ((each[:, 2:] - each[:, :2]).clip(0).prod(axis=1) for each in (seen, boxes))
    return seen, np.where(first, size - (left - sides.prod(axis=1)), 0.0)


def _worth_keeping(
    whole: NDArray[np.float64], clipped: NDArray[np.float64], hidden: NDArray[np.float64]
) -> NDArray[np.bool_]:
    width, height = (clipped[:, 2:] - clipped[:, :2]).T
    area_before = (whole[:, 2:] - whole[:, :2]).prod(axis=1)
    share = (width * height - hidden) / np.maximum(area_before, 1e-9)
    aspect = np.maximum(width, height) / np.maximum(np.minimum(width, height), 1e-9)
    large = (width > _LEAST_SIDE_PX) & (height > _LEAST_SIDE_PX)
    kept: NDArray[np.bool_] = large & (share > _LEAST_AREA_LEFT) & (aspect < _MOST_ASPECT)
    return kept


def _change_colours(image: ImageArray, change: HsvChange) -> None:
    """Changes hue, saturation and value, in place."""
    table = colour_table(change)
    if table is None:
        return
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    cv2.LUT(hsv, table[None], dst=hsv)
    cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=image)


def colour_table(change: HsvChange) -> NDArray[np.uint8] | None:
    """Gives (256, 3): what becomes of each level of hue (0 to 179), saturation and value; None where nothing does."""
    if change == HsvChange():
        return None
    levels = np.arange(256, dtype=np.float64)
    table = np.empty((256, 3), dtype=np.uint8)
    table[:, 0] = (levels * change.hue_gain + round(change.hue_shift * _HUES)) % _HUES
    table[:, 1] = (levels * change.saturation_gain).clip(0, 255)
    table[:, 2] = (levels * change.value_gain).clip(0, 255)
    return table
