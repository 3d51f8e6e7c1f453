"""A plan that torch carries out on a device shows what OpenCV shows: how near is that, away from turned edges?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.unit.data.augment.both_ways import (
    KINDS,
    NO_COLOURS,
    SAME,
    SIZES_PX,
    Both,
    make,
    plan_of,
)

from peakmark.data.augment.apply import apply_plan
from peakmark.data.augment.plan import AugmentPlan, TilePlan
from peakmark.data.source.indexed_split import Index
from peakmark.nouns.images import ImageArray, Truths

CLOSE_LEVELS = 2
"""Of a smooth image, away from turned edges."""
CLOSE_MEAN = 0.02
"""Of noise, away from turned edges. As OpenCV 5 warps; OpenCV 4 cuts coordinates to 1/32 of a pixel."""


def edges(plan: AugmentPlan, load: Callable[[int], ImageArray]) -> NDArray[np.bool_]:
    """Pixels of the result within one of an edge that is not upright: of a tile, or between two of them.

    Looked for on a canvas that is one pixel larger all around: an edge just outside is near the pixels inside, too.
    """
    by_one = np.array([[1.0, 0, 1], [0, 1, 1], [0, 0, 1]])
    found = np.zeros((plan.side_px, plan.side_px), dtype=np.bool_)
    for layer in plan.layers:
        if all(tile.to_result[0, 1] == 0 == tile.to_result[2, 0] for tile in layer):
            continue
        painted = tuple(
            dataclasses.replace(tile, image=number, to_result=by_one @ tile.to_result)
            for number, tile in enumerate(layer)
        )

        def solid(number: int, layer: tuple[TilePlan, ...] = layer) -> ImageArray:
            return np.full_like(load(layer[number].image), 30 * (number + 4))

        flat = AugmentPlan(plan.side_px + 2, (painted,), 1.0, SAME)
        shown = apply_plan(flat, solid, lambda _: Truths(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))).image
        square = np.ones((3, 3), np.uint8)
        found |= (cv2.dilate(shown, square) != cv2.erode(shown, square)).any(axis=2)[1:-1, 1:-1]
    return found


def difference(both: Both, plan: AugmentPlan, found: ImageArray) -> NDArray[np.int64]:
    """Levels between both ways (pixels, 3), away from turned edges."""
    levels = np.abs(found.astype(np.int64) - both.by_opencv(plan).image)
    return np.asarray(levels[~edges(plan, both.cache.load)])


ANY_PLANS = {
    "seed": st.integers(0, 10**6),
    "images": st.lists(st.integers(0, len(SIZES_PX) - 1), min_size=1, max_size=4),
    "side_px": st.sampled_from((32, 64, 96)),
}


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(deadline=None, max_examples=25)
@given(**ANY_PLANS)
def test_smooth_images_come_out_as_with_opencv(
    smooth_index: Index, kind: str, seed: int, images: list[int], side_px: int
):
    both = Both(smooth_index)
    plans = [plan_of(make(seed=seed, **NO_COLOURS, **KINDS[kind]), image, side_px) for image in images]
    for plan, found in zip(plans, both.by_torch(plans), strict=True):
        assert difference(both, plan, found).max(initial=0) <= CLOSE_LEVELS


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(deadline=None, max_examples=25)
@given(**ANY_PLANS)
def test_noise_comes_out_as_with_opencv(noise_index: Index, kind: str, seed: int, images: list[int], side_px: int):
    both = Both(noise_index)
    plans = [plan_of(make(seed=seed, **NO_COLOURS, **KINDS[kind]), image, side_px) for image in images]
    levels = [difference(both, plan, found) for plan, found in zip(plans, both.by_torch(plans), strict=True)]
    assert np.concatenate([np.zeros((1, 3)), *levels]).mean() < CLOSE_MEAN


@pytest.mark.parametrize("kind", KINDS)
def test_most_pixels_are_away_from_edges(smooth_index: Index, kind: str):
    both = Both(smooth_index)
    plans = [plan_of(make(seed=seed, **NO_COLOURS, **KINDS[kind]), seed % 3) for seed in range(20)]
    assert np.mean([edges(plan, both.cache.load).mean() for plan in plans]) < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_pixel_off_would_be_seen(smooth_index: Index, noise_index: Index, kind: str):
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    smooth_set, noise_set = Both(smooth_index), Both(noise_index)
    most, mean = [], []
    for seed in range(10):
        plan = plan_of(make(seed=seed, **NO_COLOURS, **KINDS[kind]), 0)
        layers = tuple(
            tuple(dataclasses.replace(tile, to_result=half @ tile.to_result) for tile in layer) for layer in plan.layers
        )
        off = dataclasses.replace(plan, layers=layers)
        most.append(difference(smooth_set, plan, smooth_set.by_torch([off])[0]).max())
        mean.append(difference(noise_set, plan, noise_set.by_torch([off])[0]).mean())
    assert np.median(most) > CLOSE_LEVELS
    assert np.median(mean) > 100 * CLOSE_MEAN


@hypothesis_settings(deadline=None, max_examples=40)
@given(**ANY_PLANS)
def test_truths_are_the_same_numbers(smooth_index: Index, seed: int, images: list[int], side_px: int):
    both = Both(smooth_index)
    for image in images:
        plan = plan_of(make(seed=seed, **KINDS["all"]), image, side_px)
        expected, found = both.by_opencv(plan).truths, both.drawn(plan).truths
        assert np.array_equal(found.boxes_xyxy_px, expected.boxes_xyxy_px)
        assert np.array_equal(found.classes, expected.classes)
