"""The letterbox: any image into a rectangle of whole strides, and boxes exactly back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakmark.geometry.letterbox import STRIDE_PX, Letterbox

LENGTHS_PX = st.integers(1, 20_000)
SIDES_PX = st.integers(1, 64).map(lambda multiple: 32 * multiple)
LETTERBOXES = st.builds(Letterbox, LENGTHS_PX, LENGTHS_PX, SIDES_PX)
FRACTIONS = st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5)


def boxes_inside(letterbox: Letterbox, fractions: list[tuple[float, ...]]) -> np.ndarray:
    """Boxes (N, 4) with corners in order, inside the original image."""
    corners = np.array(fractions, np.float64).reshape(-1, 2, 2)
    corners.sort(axis=1)
    return (corners * [letterbox.width_px, letterbox.height_px]).reshape(-1, 4).astype(np.float32)


def tolerance_px(letterbox: Letterbox) -> np.ndarray:
    """What float32 rounding may cost on each axis, in px of the original: the padded px are that much coarser."""
    size = np.array([letterbox.width_px, letterbox.height_px], np.float64)
    scale = np.array([letterbox.inner_width_px, letterbox.inner_height_px]) / size
    return np.tile(4 * np.finfo(np.float32).eps * (letterbox.side_px / scale + size), 2)


@given(LETTERBOXES)
def test_the_image_fits_and_touches_two_edges(letterbox):
    width, height, side = letterbox.inner_width_px, letterbox.inner_height_px, letterbox.side_px
    assert min(width, height) >= 1
    assert max(width, height) == side
    assert letterbox.left_px >= 0
    assert letterbox.top_px >= 0
    assert letterbox.left_px + width <= letterbox.padded_width_px
    assert letterbox.top_px + height <= letterbox.padded_height_px


@given(LETTERBOXES)
def test_the_rectangle_is_the_smallest_of_whole_strides(letterbox):
    outer = letterbox.padded_width_px, letterbox.padded_height_px
    assert all(length % STRIDE_PX == 0 for length in outer)
    assert max(outer) == letterbox.side_px
    assert outer[0] - letterbox.inner_width_px < STRIDE_PX
    assert outer[1] - letterbox.inner_height_px < STRIDE_PX


@given(LETTERBOXES)
def test_the_padding_is_even_to_a_pixel_and_the_odd_one_comes_last(letterbox):
    right = letterbox.padded_width_px - letterbox.left_px - letterbox.inner_width_px
    bottom = letterbox.padded_height_px - letterbox.top_px - letterbox.inner_height_px
    assert right - letterbox.left_px in (0, 1)
    assert bottom - letterbox.top_px in (0, 1)


@given(LETTERBOXES)
def test_the_aspect_ratio_is_kept_to_half_a_pixel(letterbox):
    gain = letterbox.side_px / max(letterbox.width_px, letterbox.height_px)
    assert letterbox.inner_width_px == 1 or abs(letterbox.inner_width_px - letterbox.width_px * gain) <= 0.5
    assert letterbox.inner_height_px == 1 or abs(letterbox.inner_height_px - letterbox.height_px * gain) <= 0.5


@given(LETTERBOXES, FRACTIONS)
def test_there_and_back_is_exact_within_float32(letterbox, fractions):
    boxes = boxes_inside(letterbox, fractions)
    back = letterbox.to_original(letterbox.to_padded(boxes))
    assert back.dtype == np.float32
    assert back.shape == boxes.shape
    assert (np.abs(back.astype(np.float64) - boxes) <= tolerance_px(letterbox)).all()


@given(LETTERBOXES, FRACTIONS)
def test_boxes_of_the_image_lie_on_its_pixels_when_it_is_padded(letterbox, fractions):
    moved = letterbox.to_padded(boxes_inside(letterbox, fractions))
    slack_px = letterbox.side_px * 1e-6
    start = np.array([letterbox.left_px, letterbox.top_px] * 2)
    size = np.array([letterbox.inner_width_px, letterbox.inner_height_px] * 2)
    assert moved.dtype == np.float32
    assert (moved >= start - slack_px).all()
    assert (moved <= start + size + slack_px).all()


@given(LETTERBOXES)
def test_the_whole_image_is_the_whole_inner_rectangle_and_back(letterbox):
    whole = np.array([[0, 0, letterbox.width_px, letterbox.height_px]], np.float32)
    left, top = letterbox.left_px, letterbox.top_px
    inner = [left, top, left + letterbox.inner_width_px, top + letterbox.inner_height_px]
    assert letterbox.to_padded(whole)[0] == pytest.approx(inner, rel=1e-6)
    assert (np.abs(letterbox.to_original(np.array([inner], np.float32)) - whole) <= tolerance_px(letterbox)).all()


@given(LETTERBOXES, st.lists(st.tuples(*[st.floats(-1e5, 1e5)] * 4), max_size=5))
def test_boxes_over_the_edge_are_clipped_to_the_original(letterbox, rows):
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    before = boxes.copy()
    original = letterbox.to_original(boxes)
    assert (original >= 0).all()
    assert (original[:, 0::2] <= letterbox.width_px).all()
    assert (original[:, 1::2] <= letterbox.height_px).all()
    assert (boxes == before).all()  # what was given is not changed


def test_each_axis_has_its_own_scale():
    """7 rows become 2, not 2.24: with one common gain the inner edge would come back as 6.25."""
    letterbox = Letterbox(width_px=100, height_px=7, side_px=32)
    assert (letterbox.inner_width_px, letterbox.inner_height_px) == (32, 2)
    assert letterbox.to_padded(np.array([[0, 0, 100, 7]], np.float32)).tolist() == [[0, 15, 32, 17]]
    assert letterbox.to_original(np.array([[0, 15, 32, 17]], np.float32))[0] == pytest.approx([0, 0, 100, 7])


def test_a_square_image_of_the_side_stays_as_it_is():
    letterbox = Letterbox(64, 64, 64)
    boxes = np.array([[1.25, 2.5, 30, 64]], np.float32)
    assert (letterbox.to_padded(boxes) == boxes).all()
    assert (letterbox.to_original(boxes) == boxes).all()
