"""How does a whole batch of plans become images on a device? In one pass over its pixels, without asking it back.

For every pixel of the result: which tile covers it, where in that tile's image it comes from, four look-ups, a blend of
them, then mixup or cutmix, and colours. Only look-ups and single sums, products and quotients, each rounded by itself:
so the bits are the same on any device, for any number of threads, and however a batch is cut into slices.
Shapes: B images, L layers of all of them, T tiles of a layer, S slots (tiles and background), H and W of the result,
P pixels of the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
from numpy.typing import NDArray

from peakmark.data.augment.device_plan import DrawnSample, TileTable, tile_table
from peakmark.data.device_images import BACKGROUND_PX, MOST_PASSING, DeviceImages

_MOST_TEMPORARY_BYTES = 512 * 2**20
_TEMPORARY_BYTES_A_PIXEL = 128
"""Of a layer, at the most: coordinates, slots and addresses, and four pixels in float32."""
_MOST_IMAGES_OF_A_SAMPLE = 8
_EDGE_PX = 1e-3
"""By so much tiles that are not upright reach into each other: what float32 loses must not open a seam."""


def apply_on_device(samples: Sequence[DrawnSample], images: DeviceImages) -> torch.Tensor:
    """Carries out drawn plans of one side: (B, 3, side, side) uint8 on the device, in channels-last layout.

    Never waits for the device. Memory besides the result: `_MOST_TEMPORARY_BYTES`, or what one image needs.
    """
    side_px = samples[0].side_px
    result_BHWC = torch.empty((len(samples), side_px, side_px, 3), dtype=torch.uint8, device=images.pixels_P3.device)
    for part in _slices(samples, images):
        result_BHWC[part] = _images_of(samples[part], images)
    return result_BHWC.permute(0, 3, 1, 2)


def _slices(samples: Sequence[DrawnSample], images: DeviceImages) -> Iterator[slice]:
    side_px, layers = samples[0].side_px, max(len(sample.layers) for sample in samples)
    together = max(1, _MOST_TEMPORARY_BYTES // (_TEMPORARY_BYTES_A_PIXEL * side_px**2 * layers))
    if not images.keeps_all:
        together = min(together, MOST_PASSING // _MOST_IMAGES_OF_A_SAMPLE)
    for first in range(0, len(samples), together):
        yield slice(first, min(first + together, len(samples)))


def _images_of(samples: Sequence[DrawnSample], images: DeviceImages) -> torch.Tensor:
    start_of = images.bring({number: image for sample in samples for number, image in sample.brought.items()})
    firsts = [sample.layers[0] for sample in samples]
    seconds = {at: sample.layers[1] for at, sample in enumerate(samples) if len(sample.layers) == 2}
    table = tile_table([*firsts, *seconds.values()], start_of, BACKGROUND_PX)
    layers_LHWC = _layers(table, images.pixels_P3, samples[0].side_px)
    bytes_BHWC = _mixed(layers_LHWC, samples, list(seconds)) if seconds else layers_LHWC
    return _coloured(bytes_BHWC, [sample.colours for sample in samples])


def _there(array: NDArray[np.generic], like: torch.Tensor) -> torch.Tensor:
    """Takes an array to the device of another tensor, without waiting."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else tensor


# --- from tiles to pixels -------------------------------------------------------------------------------------------


def _layers(table: TileTable, pixels_P3: torch.Tensor, side_px: int) -> torch.Tensor:
    """Draws each layer: (L, H, W, 3) uint8."""
    on_device = {field.name: _there(getattr(table, field.name), pixels_P3) for field in fields(table)}
    x_LHW, y_LHW, slot_LHW = _sources(
        on_device["to_crop_LT33"],
        on_device["reach_LT4"],
        on_device["upright_LT"],
        on_device["last_LT2"],
        side_px,
        tilted=bool((table.to_crop_LT33[..., 2, :2] != 0).any()),
    )
    start_LHW, row_LHW = (on_device[name].flatten()[slot_LHW] for name in ("start_LS", "row_LS"))
    column_LHW, line_LHW = x_LHW.floor(), y_LHW.floor()
    x_LHW, y_LHW = x_LHW.sub_(column_LHW)[..., None], y_LHW.sub_(line_LHW)[..., None]
    address_LHW = start_LHW.add_(line_LHW.long().mul_(row_LHW)).add_(column_LHW.long())
    # At the last column or row the second look-up goes astray, into the store nevertheless, and its weight is 0.
    upper = _between(pixels_P3[address_LHW], pixels_P3[address_LHW + 1], x_LHW)
    address_LHW.add_(row_LHW)
    lower = _between(pixels_P3[address_LHW], pixels_P3[address_LHW.add_(1)], x_LHW)
    return upper.add_(lower.sub_(upper).mul_(y_LHW)).round_().to(torch.uint8)


def _between(one: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    # Not torch.lerp: it may join product and sum, and whether it does depends on the device and on the layout.
    one = one.float()
    return other.float().sub_(one).mul_(share).add_(one)


def _sources(
    to_crop_LT33: torch.Tensor,
    reach_LT4: torch.Tensor,
    upright_LT: torch.Tensor,
    last_LT2: torch.Tensor,
    side_px: int,
    *,
    tilted: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each pixel of each layer: where in the crop of its tile it comes from, across and down, and which slot in
    all layers' slots that tile has. A later tile covers an earlier one."""
    layers, tiles = upright_LT.shape
    at = torch.arange(side_px, device=reach_LT4.device)
    # What the column and what the row give, in float64 while it is little; only their sum is made for every pixel.
    across_LT3W = (to_crop_LT33[..., 0, None] * at + to_crop_LT33[..., 2, None]).float()
    down_LT3H = (to_crop_LT33[..., 1, None] * at).float()
    x0, y0, x1, y1 = reach_LT4[..., None].unbind(dim=2)
    in_columns_LTW, in_rows_LTH = (at >= x0) & (at < x1), (at >= y0) & (at < y1)

    first_slot = torch.arange(layers, device=at.device)[:, None, None] * (tiles + 1)
    slot_LHW = first_slot.expand(layers, side_px, side_px)
    x_LHW = y_LHW = to_crop_LT33.new_zeros((1, 1, 1), dtype=torch.float32)
    for tile in range(tiles):
        x, y, *tilt = (
            across_LT3W[:, tile, axis, None, :] + down_LT3H[:, tile, axis, :, None] for axis in range(2 + tilted)
        )
        if tilted:
            x, y = x.div_(tilt[0]), y.div_(tilt[0])
        last_x, last_y = last_LT2[:, tile, :, None, None].unbind(dim=1)
        inside = (x > -0.5 - _EDGE_PX) & (x < last_x + (0.5 + _EDGE_PX))
        inside &= (y > -0.5 - _EDGE_PX) & (y < last_y + (0.5 + _EDGE_PX))
        inside |= upright_LT[:, tile, None, None]
        inside &= in_columns_LTW[:, tile, None, :] & in_rows_LTH[:, tile, :, None]
        x_LHW = torch.where(inside, torch.minimum(x, last_x).clamp_(min=0), x_LHW)
        y_LHW = torch.where(inside, torch.minimum(y, last_y).clamp_(min=0), y_LHW)
        slot_LHW = torch.where(inside, first_slot + (tile + 1), slot_LHW)
    return x_LHW, y_LHW, slot_LHW


def _mixed(layers_LHWC: torch.Tensor, samples: Sequence[DrawnSample], mixed: Sequence[int]) -> torch.Tensor:
    """Blends second layers, which lie behind all first ones, into the samples that have one, or shows parts of them."""
    count = len(samples)
    second = np.arange(count)
    second[list(mixed)] = np.arange(count, len(layers_LHWC))
    # A sample without a second layer is blended with itself, of which it takes nothing.
    shares = np.array([sample.blend for sample in samples])[:, None, None, None]
    first_part, second_part = (_there(each.astype(np.float32), layers_LHWC) for each in (shares, 1 - shares))
    if any(sample.cut_xyxy_px for sample in samples):
        cuts = _there(np.array([sample.cut_xyxy_px or (0, 0, 0, 0) for sample in samples]), layers_LHWC)
        x0, y0, x1, y1 = cuts[:, :, None, None].unbind(dim=1)
        at = torch.arange(samples[0].side_px, device=layers_LHWC.device)
        inside = (at >= x0) & (at < x1) & (at[:, None] >= y0) & (at[:, None] < y1)
        first_part = torch.where(inside[..., None], 0.0, first_part)
        second_part = torch.where(inside[..., None], 1.0, second_part)
    blended = layers_LHWC[:count].float().mul_(first_part)
    blended.add_(layers_LHWC[_there(second, layers_LHWC)].float().mul_(second_part))
    return blended.round_().to(torch.uint8)


# --- colours --------------------------------------------------------------------------------------------------------

_HSV_UNIT = 4096.0
_SIXTH_OF_HUE = 30
"""A hue of 8 bits goes from 0 to 179."""


def _coloured(images_BHWC: torch.Tensor, tables: Sequence[NDArray[np.uint8] | None]) -> torch.Tensor:
    """Changes hue, saturation and value by each image's tables; images without any keep their bytes."""
    if all(table is None for table in tables):
        return images_BHWC
    unused = np.zeros((256, 3), dtype=np.uint8)
    table_B = np.stack([unused if table is None else table for table in tables])
    by_channel = _there(np.ascontiguousarray(table_B.transpose(2, 0, 1)), images_BHWC).flatten(1)
    first_B11 = torch.arange(len(tables), device=images_BHWC.device)[:, None, None] * 256
    hue, saturation, value = (
        levels[channel.long().add_(first_B11)] for levels, channel in zip(by_channel, _hsv(images_BHWC), strict=True)
    )
    coloured = _rgb(hue, saturation, value)
    if any(table is None for table in tables):
        stays = _there(np.array([table is None for table in tables]), images_BHWC)
        return torch.where(stays[:, None, None, None], images_BHWC, coloured)
    return coloured


def _hsv(images_BHWC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hue 0 to 179, saturation and value 0 to 255, rounded as OpenCV rounds them.

    It computes in whole numbers of 1/4096; they are below 2^24, so that float32 holds each of them exactly.
    """
    red, green, blue = images_BHWC.float().unbind(dim=-1)
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    saturation = _divided(spread, 255, value)
    difference = torch.where(value == green, blue - red + 2 * spread, red - green + 4 * spread)
    hue = _divided(torch.where(value == red, green - blue, difference), _SIXTH_OF_HUE, spread)
    return torch.where(hue < 0, hue + 6 * _SIXTH_OF_HUE, hue), saturation, value


def _divided(one: torch.Tensor, unit: int, other: torch.Tensor) -> torch.Tensor:
    """Gives `unit * one / other`; where `other` is 0, `one` is too."""
    inverse = other.clamp(min=1).reciprocal_().mul_(unit * _HSV_UNIT).round_()
    return inverse.mul_(one).add_(_HSV_UNIT / 2).mul_(1 / _HSV_UNIT).floor_()


def _rgb(hue: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Back from bytes to bytes, cut off and not rounded, as OpenCV does it."""
    sixths = hue.float().mul_(1 / _SIXTH_OF_HUE)
    sector = sixths.floor()
    within = sixths.sub_(sector)
    part, most = saturation.float().mul_(1 / 255), value.float().mul_(1 / 255)
    least = (1 - part).mul_(most)
    falling = (1 - part * within).mul_(most)
    rising = (1 - part * (1 - within)).mul_(most)
    sector = sector.to(torch.uint8)
    # In each sixth of the circle one channel is at its most, one at its least, and one on its way.
    red = _by_sector(sector, (most, falling, least, least, rising, most))
    green = _by_sector(sector, (rising, most, most, falling, least, least))
    blue = _by_sector(sector, (least, least, rising, most, most, falling))
    return torch.stack((red, green, blue), dim=-1).mul_(255).to(torch.uint8)


def _by_sector(sector: torch.Tensor, values: Sequence[torch.Tensor]) -> torch.Tensor:
    result = values[-1]
    for number in range(len(values) - 1):
        result = torch.where(sector == number, values[number], result)
    return result
