"""A plan's pixels and boxes agree: what was drawn in an image is found in the box that its truth became."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from peakmark.data.augment.apply import apply_plan, truths_of_result
from peakmark.data.augment.plan import AugmentPlan, HsvChange, TilePlan, draw_plan
from peakmark.geometry.letterbox import BACKGROUND, Letterbox
from peakmark.nouns.images import ImageArray, Sample, Truths
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION

BASE_PX = 128
STILL = {"mosaic": 0, "hsv_h": 0, "hsv_s": 0, "hsv_v": 0, "translate": 0, "scale": 0, "fliplr": 0}
NO_COLOURS = {"hsv_h": 0, "hsv_s": 0, "hsv_v": 0}
SAME = HsvChange()
SIZES_PX = np.array([[128, 128], [128, 80], [96, 128], [128, 128]], dtype=np.int64)
COLOURS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]])
BOXES = np.array([[20, 30, 90, 70], [10, 8, 60, 72], [30, 40, 80, 100], [50, 50, 118, 110]], dtype=np.float32)


def picture(number: int) -> ImageArray:
    """A dark image, already of the base side, with one rectangle in a colour of its own."""
    width, height = SIZES_PX[number]
    image = np.full((height, width, 3), 20, dtype=np.uint8)
    left, top, right, bottom = BOXES[number].astype(int)
    image[top:bottom, left:right] = COLOURS[number]
    return image


def truth(number: int) -> Truths:
    return Truths(BOXES[number : number + 1], np.array([number]))


def augmented(settings: Settings, image: int, epoch: int = 0, side_px: int = BASE_PX) -> tuple[AugmentPlan, Sample]:
    plan = draw_plan(
        settings,
        SIZES_PX,
        epoch=epoch,
        image=image,
        base_px=BASE_PX,
        side_px=side_px,
        mosaic_open=True,
        version=VERSION,
    )
    return plan, apply_plan(plan, picture, truth)


def make(**changes: Any) -> Settings:
    return Settings.model_validate({"data": "x.yaml", "imgsz": BASE_PX} | changes)


def extent(image: ImageArray, colour: np.ndarray) -> np.ndarray | None:
    """The upright box around all pixels that are mostly of this colour."""
    rows, columns = np.nonzero(np.abs(image.astype(int) - colour).max(axis=2) < 120)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


# --- identity ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", range(4))
def test_without_augmentation_the_image_comes_out_exactly_in_the_middle_of_a_square(image: int):
    _, sample = augmented(make(**STILL), image)
    box = Letterbox(int(SIZES_PX[image, 0]), int(SIZES_PX[image, 1]), BASE_PX)
    expected = np.full((BASE_PX, BASE_PX, 3), BACKGROUND, dtype=np.uint8)
    left, top = (BASE_PX - box.inner_width_px) // 2, (BASE_PX - box.inner_height_px) // 2
    expected[top : top + box.inner_height_px, left : left + box.inner_width_px] = picture(image)
    assert np.array_equal(sample.image, expected)
    boxes = box.to_inner(BOXES[image : image + 1]) + np.array([left, top, left, top], np.float32)
    assert np.array_equal(sample.truths.boxes_xyxy_px, boxes)
    assert sample.truths.classes.tolist() == [image]


def test_a_flip_is_exact_too():
    _, plain = augmented(make(**STILL), 1)
    _, flipped = augmented(make(**(STILL | {"fliplr": 1.0})), 1)
    _, turned = augmented(make(**(STILL | {"flipud": 1.0})), 1)
    assert np.array_equal(flipped.image, plain.image[:, ::-1])
    assert np.array_equal(turned.image, plain.image[::-1])
    left, top, right, bottom = plain.truths.boxes_xyxy_px[0]
    assert flipped.truths.boxes_xyxy_px[0].tolist() == [BASE_PX - right, top, BASE_PX - left, bottom]
    assert turned.truths.boxes_xyxy_px[0].tolist() == [left, BASE_PX - bottom, right, BASE_PX - top]


def test_the_result_is_another_side_with_multi_scale():
    _, sample = augmented(make(**STILL), 0, side_px=64)
    assert sample.image.shape == (64, 64, 3)
    np.testing.assert_allclose(sample.truths.boxes_xyxy_px[0], BOXES[0] / 2)
    found = extent(sample.image, COLOURS[0])
    assert found is not None
    np.testing.assert_allclose(found, BOXES[0] / 2, atol=1)


# --- boxes follow pixels -------------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, float]] = {
    "upright": {"mosaic": 0, "flipud": 0.5},
    "upright mosaic": {"flipud": 0.5},
    "turned": {"mosaic": 0, "degrees": 180},
    "sheared": {"mosaic": 0, "shear": 30},
    "tilted": {"mosaic": 0, "perspective": 0.001},
    "all": {"mosaic": 0.5, "degrees": 45, "shear": 10, "perspective": 0.001, "flipud": 0.5, "translate": 0.3},
}


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), image=st.integers(0, 3))
def test_boxes_follow_pixels(kind: str, seed: int, image: int):
    plan, sample = augmented(make(seed=seed, **NO_COLOURS, **KINDS[kind]), image)
    upright = all(tile.to_result[0, 1] == 0 == tile.to_result[2, 0] for tile in plan.layers[0])
    # The same image may lie in several tiles; where it lies once, its rectangle can be told from all others.
    shown = [tile.image for tile in plan.layers[0]]
    for box, label in zip(sample.truths.boxes_xyxy_px, sample.truths.classes.tolist(), strict=True):
        if shown.count(label) > 1:
            continue
        found = extent(sample.image, COLOURS[label])
        if found is None and not upright:
            continue  # the corner of a turned rectangle's box reaches into the picture, the rectangle itself doesn't
        assert found is not None, "a box without pixels"
        assert (found[:2] > box[:2] - 2).all(), "pixels left of or above the box"
        assert (found[2:] < box[2:] + 2).all(), "pixels right of or below the box"
        # Of a turned rectangle that the edge cuts, the corner that made the box wide may be gone.
        if upright or (box.min() > 0 and box.max() < BASE_PX and label_is_whole(plan, label)):
            np.testing.assert_allclose(found, box, atol=2)


def label_is_whole(plan: AugmentPlan, label: int) -> bool:
    (tile,) = (tile for tile in plan.layers[0] if tile.image == label)
    left, top, right, bottom = tile.crop_xyxy_px
    box = BOXES[label]
    return bool((box[:2] >= (left, top)).all() and (box[2:] <= (right, bottom)).all())


@pytest.mark.parametrize("kind", KINDS)
def test_the_check_above_sees_enough_boxes(kind: str):
    samples = [augmented(make(seed=seed, **NO_COLOURS, **KINDS[kind]), seed % 4)[1] for seed in range(20)]
    assert sum(len(sample.truths) for sample in samples) > 15


# --- what is kept of the truths ------------------------------------------------------------------------------------


def shifted(x: float, y: float = 0.0, gain_x: float = 1.0, gain_y: float = 1.0) -> AugmentPlan:
    matrix = np.array([[gain_x, 0, x], [0, gain_y, y], [0, 0, 1.0]])
    return AugmentPlan(BASE_PX, ((TilePlan(0, (0, 0, 128, 128), matrix),),), 1.0, SAME)


@pytest.mark.parametrize(
    ("plan", "box", "kept"),
    [
        (shifted(0), [10, 10, 50, 50], [10, 10, 50, 50]),
        (shifted(-30), [10, 10, 50, 50], [0, 10, 20, 50]),
        (shifted(-45.9), [10, 10, 50, 50], [0, 10, 4.1, 50]),
        (shifted(-46.1), [10, 10, 50, 50], None),
        (shifted(-60), [10, 10, 50, 50], None),
        (shifted(200), [10, 10, 50, 50], None),
        (shifted(0, gain_x=0.1), [10, 10, 29, 50], None),
        (shifted(0, gain_x=0.11), [10, 10, 29, 50], [1.1, 10, 3.19, 50]),
        (shifted(0, gain_y=0.1), [10, 10, 50, 29], None),
        (shifted(100), [10, 10, 30, 50], [110, 10, 128, 50]),
    ],
)
def test_a_truth_is_kept_where_enough_is_left_of_it(plan: AugmentPlan, box: list[float], kept: list[float] | None):
    truths = Truths(np.array([box], dtype=np.float32), np.array([7]))
    found = apply_plan(plan, lambda _: np.zeros((128, 128, 3), np.uint8), lambda _: truths).truths
    assert found.boxes_xyxy_px.dtype == np.float32
    if kept is None:
        assert len(found) == 0
        assert found.boxes_xyxy_px.shape == (0, 4)
    else:
        np.testing.assert_allclose(found.boxes_xyxy_px, [kept], atol=1e-4)
        assert found.classes.tolist() == [7]


def test_a_thread_is_no_object():
    plan = AugmentPlan(320, ((TilePlan(0, (0, 0, 300, 300), np.eye(3)),),), 1.0, SAME)
    boxes = np.array([[0, 0, 299, 2.9], [0, 0, 299, 3.0]], dtype=np.float32)
    truths = Truths(boxes, np.array([0, 1]))
    found = apply_plan(plan, lambda _: np.zeros((300, 300, 3), np.uint8), lambda _: truths).truths
    assert found.classes.tolist() == [1]


def test_a_tiles_crop_cuts_its_truths():
    tile = TilePlan(0, (40, 0, 128, 128), np.eye(3))
    plan = AugmentPlan(BASE_PX, ((tile,),), 1.0, SAME)
    sample = apply_plan(plan, lambda _: picture(0), lambda _: truth(0))
    np.testing.assert_allclose(sample.truths.boxes_xyxy_px, [[40, 30, 90, 70]])
    assert (sample.image[:, :40] == BACKGROUND).all()


def test_images_without_truths_are_background():
    plan, _ = augmented(make(), 0)
    empty = Truths(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    sample = apply_plan(plan, picture, lambda _: empty)
    assert sample.truths.boxes_xyxy_px.shape == (0, 4)
    assert len(sample.truths.classes) == 0


# --- pixels --------------------------------------------------------------------------------------------------------


def solid(*levels: int) -> Callable[[int], ImageArray]:
    return lambda number: np.full((BASE_PX, BASE_PX, 3), levels[number], dtype=np.uint8)


NO_TRUTHS = Truths(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
SQUARES_PX = np.full((4, 2), BASE_PX, dtype=np.int64)


@pytest.mark.parametrize("seed", range(40))
def test_upright_tiles_meet_without_a_seam(seed: int):
    settings = make(seed=seed, **NO_COLOURS, flipud=0.5)
    plan = draw_plan(
        settings, SQUARES_PX, epoch=0, image=0, base_px=BASE_PX, side_px=96, mosaic_open=True, version=VERSION
    )
    image = apply_plan(plan, solid(10, 60, 160, 210), lambda _: NO_TRUTHS).image
    corners = []
    for tile in plan.layers[0]:
        left, top, right, bottom = tile.crop_xyxy_px
        corners += [tile.to_result @ [x, y, 1] for x, y in ((left, top), (right, bottom))]
    low, high = np.min(corners, axis=0)[:2].clip(0, 96), np.max(corners, axis=0)[:2].clip(0, 96)
    (x0, y0), (x1, y1) = np.ceil(low).astype(int), np.floor(high).astype(int)
    assert x1 - x0 > 20
    assert y1 - y0 > 20
    inside = image[y0:y1, x0:x1]
    assert not (inside == BACKGROUND).any()
    outside = np.ones((96, 96), dtype=bool)
    outside[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] = False
    assert (image[outside] == BACKGROUND).all()


def test_gains_of_one_leave_the_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (BASE_PX, BASE_PX, 3), dtype=np.uint8)
    plan = AugmentPlan(BASE_PX, ((TilePlan(0, (0, 0, 128, 128), np.eye(3)),),), 1.0, SAME)
    assert np.array_equal(apply_plan(plan, lambda _: noise, lambda _: NO_TRUTHS).image, noise)


@pytest.mark.parametrize(
    ("gains", "colour", "expected"),
    [
        (HsvChange(1, 1, 0.5), (200, 100, 50), (100, 50, 25)),
        (HsvChange(1, 0, 1), (200, 100, 50), (200, 200, 200)),
        (HsvChange(2, 1, 1), (200, 200, 0), (0, 200, 0)),  # hue 60 to 120 degrees
        (HsvChange(2, 1, 1), (200, 0, 0), (200, 0, 0)),  # red is 0
        (HsvChange(hue_shift=1 / 6), (200, 0, 0), (200, 200, 0)),
        (HsvChange(hue_shift=-1 / 6), (200, 0, 0), (200, 0, 200)),
        (HsvChange(hue_shift=0.999), (0, 200, 0), (0, 200, 0)),
        (HsvChange(1, 1, 2), (200, 100, 0), (255, 127, 0)),
    ],
)
def test_colours_shift_as_they_say(gains: HsvChange, colour: tuple[int, ...], expected: tuple[int, ...]):
    plan = AugmentPlan(32, ((TilePlan(0, (0, 0, 32, 32), np.eye(3)),),), 1.0, gains)
    image = np.full((32, 32, 3), colour, dtype=np.uint8)
    found = apply_plan(plan, lambda _: image, lambda _: NO_TRUTHS).image
    np.testing.assert_allclose(found[5, 5].astype(int), expected, atol=3)


def test_mixup_blends_by_its_share_and_keeps_both_truths():
    tiles = [TilePlan(number, (0, 0, 128, 128), np.eye(3)) for number in (0, 3)]
    plan = AugmentPlan(BASE_PX, ((tiles[0],), (tiles[1],)), 0.75, SAME)
    sample = apply_plan(plan, solid(100, 0, 0, 200), truth)
    assert (sample.image == 125).all()
    assert sample.truths.classes.tolist() == [0, 3]
    np.testing.assert_allclose(sample.truths.boxes_xyxy_px, BOXES[[0, 3]])


def cut_plan(cut: tuple[int, int, int, int]) -> AugmentPlan:
    tiles = [TilePlan(number, (0, 0, 128, 128), np.eye(3)) for number in (0, 3)]
    return AugmentPlan(128, ((tiles[0],), (tiles[1],)), 1.0, SAME, cut)


def test_cutmix_shows_the_second_layer_in_its_part_only():
    image = apply_plan(cut_plan((20, 30, 60, 90)), solid(100, 0, 0, 200), truth).image
    assert (image[30:90, 20:60] == 200).all()
    image[30:90, 20:60] = 100
    assert (image == 100).all()


@pytest.mark.parametrize(
    ("cut", "first", "second"),
    [
        # The box of the first is (40, 40, 80, 80), that of the second (10, 10, 50, 50).
        ((90, 90, 120, 120), (40, 40, 80, 80), None),
        ((30, 30, 70, 90), (70, 40, 80, 80), (30, 30, 50, 50)),  # its left side is hidden
        ((60, 0, 128, 128), (40, 40, 60, 80), None),
        ((0, 60, 128, 128), (40, 40, 80, 60), None),
        ((0, 0, 60, 60), (40, 40, 80, 80), (10, 10, 50, 50)),  # a corner: what is left reaches to all sides
        ((50, 0, 60, 128), (40, 40, 80, 80), None),  # out of its middle
        ((42, 42, 128, 128), None, None),  # less than a tenth is seen of either
        ((0, 0, 128, 128), None, (10, 10, 50, 50)),
        ((5, 5, 5, 90), (40, 40, 80, 80), None),  # a part without a pixel
    ],
)
def test_cutmix_keeps_of_the_truths_what_is_seen(
    cut: tuple[int, int, int, int],
    first: tuple[int, int, int, int] | None,
    second: tuple[int, int, int, int] | None,
):
    boxes = {0: [40, 40, 80, 80], 3: [10, 10, 50, 50]}
    found = truths_of_result(
        cut_plan(cut), lambda number: Truths(np.array([boxes[number]], np.float32), np.array([number]))
    )
    expected = {number: box for number, box in ((0, first), (3, second)) if box is not None}
    assert dict(zip(found.classes.tolist(), map(tuple, found.boxes_xyxy_px.tolist()), strict=True)) == expected


def test_the_source_is_not_written_to():
    sources = [picture(number) for number in range(4)]
    for source in sources:
        source.flags.writeable = False
    plan, _ = augmented(make(mixup=1.0), 0)
    apply_plan(plan, lambda number: sources[number], truth)
    assert all(np.array_equal(source, picture(number)) for number, source in enumerate(sources))
