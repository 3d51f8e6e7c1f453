"""A plan is a pure function of settings, seed, epoch and image; one setting moved leaves other draws as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peakmark.data.augment.plan import AugmentPlan, HsvChange, draw_plan, draw_side, least_side
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION

SIZES_PX = np.array([[64, 64], [64, 48], [30, 64], [200, 100], [64, 64]], dtype=np.int64)


def make_settings(**changes: Any) -> Settings:
    return Settings.model_validate({"data": "x.yaml", "imgsz": 64} | changes)


def plan(
    settings: Settings, epoch: int = 0, image: int = 0, *, side_px: int = 64, mosaic_open: bool = True, **changes: Any
) -> AugmentPlan:
    given = {"mosaic_open": mosaic_open, "version": VERSION} | changes
    sizes = given.pop("sizes_px", SIZES_PX)
    return draw_plan(settings, sizes, epoch=epoch, image=image, base_px=64, side_px=side_px, **given)


def as_text(found: AugmentPlan) -> str:
    """Every number of a plan, to the last bit."""
    tiles = [[(t.image, t.crop_xyxy_px, t.to_result.tolist()) for t in layer] for layer in found.layers]
    return repr((found.side_px, tiles, found.blend, found.hsv))


def test_equal_keys_give_equal_plans_and_others_give_others():
    settings = make_settings(mixup=0.5, degrees=10, shear=5, perspective=0.0005)
    plans = {(epoch, image): as_text(plan(settings, epoch, image)) for epoch in range(4) for image in range(5)}
    assert len(set(plans.values())) == len(plans)
    for (epoch, image), expected in sorted(plans.items(), reverse=True):
        assert as_text(plan(settings, epoch, image)) == expected
    assert as_text(plan(make_settings(mixup=0.5, degrees=10, shear=5, perspective=0.0005, seed=1))) != plans[0, 0]


def test_another_images_size_moves_nothing_of_a_plan_that_does_not_use_it():
    settings = make_settings(mosaic=0.0)
    changed = SIZES_PX.copy()
    changed[3] = [10, 999]
    assert as_text(plan(settings, image=1)) == as_text(plan(settings, image=1, sizes_px=changed))


@pytest.mark.parametrize(
    "changes",
    [
        {"fliplr": 1.0},
        {"flipud": 1.0},
        {"degrees": 45.0},
        {"shear": 10.0},
        {"perspective": 0.0005},
        {"scale": 0.1},
        {"translate": 0.4},
    ],
)
def test_one_warp_setting_moves_the_warp_and_nothing_else(changes: dict[str, float]):
    moved = 0
    for image in range(5):
        before, after = plan(make_settings(), image=image), plan(make_settings(**changes), image=image)
        assert [t.image for t in before.layers[0]] == [t.image for t in after.layers[0]]
        assert [t.crop_xyxy_px for t in before.layers[0]] == [t.crop_xyxy_px for t in after.layers[0]]
        assert before.hsv == after.hsv
        moved += any(
            not np.array_equal(a.to_result, b.to_result) for a, b in zip(before.layers[0], after.layers[0], strict=True)
        )
    assert moved > 0


def test_colours_move_alone():
    before, after = plan(make_settings()), plan(make_settings(hsv_s=0.1))
    assert as_text(before).rpartition("HsvChange")[0] == as_text(after).rpartition("HsvChange")[0]
    assert replace(before.hsv, saturation_gain=after.hsv.saturation_gain) == after.hsv
    assert before.hsv.saturation_gain != after.hsv.saturation_gain


def test_hue_is_shifted_by_what_it_was_multiplied_by_before_version_3():
    drawn = plan(make_settings()).hsv
    before = plan(make_settings(), version=2).hsv
    assert before == HsvChange(1 + drawn.hue_shift, drawn.saturation_gain, drawn.value_gain)
    assert drawn.hue_gain == 1
    assert 0 < abs(drawn.hue_shift) <= make_settings().hsv_h


def test_mixup_adds_a_layer_and_leaves_the_first_alone():
    settings, mixed = make_settings(), make_settings(mixup=1.0)
    for image in range(5):
        before, after = plan(settings, image=image), plan(mixed, image=image)
        assert len(before.layers) == 1
        assert before.blend == 1
        assert len(after.layers) == 2
        assert 0.2 < after.blend < 0.8
        assert as_text(AugmentPlan(64, after.layers[:1], 1.0, after.hsv)) == as_text(before)


def test_cutmix_adds_a_layer_and_a_part_of_the_image_and_leaves_the_first_alone():
    settings, cut = make_settings(), make_settings(cutmix=1.0)
    for image in range(5):
        before, after = plan(settings, image=image), plan(cut, image=image)
        assert before.cut_xyxy_px is None
        assert len(after.layers) == 2
        assert after.blend == 1
        assert as_text(AugmentPlan(64, after.layers[:1], 1.0, after.hsv)) == as_text(before)
        assert as_text(plan(cut, image=image, mosaic_open=False)) == as_text(
            plan(settings, image=image, mosaic_open=False)
        )
    both = [plan(make_settings(cutmix=1.0, mixup=0.5), epoch) for epoch in range(40)]
    assert all((found.blend < 1) != (found.cut_xyxy_px is not None) for found in both)
    assert {found.blend < 1 for found in both} == {True, False}


def test_the_parts_cut_out_lie_in_the_image_and_are_of_any_size():
    settings = make_settings(cutmix=0.5)
    cuts = [plan(settings, epoch, image).cut_xyxy_px for epoch in range(200) for image in range(5)]
    there = np.array([cut for cut in cuts if cut is not None])
    assert len(there) / len(cuts) == pytest.approx(0.5, abs=0.05)
    assert ((there >= 0) & (there <= 64)).all()
    assert (there[:, :2] <= there[:, 2:]).all()
    sides = np.minimum(there[:, 2] - there[:, 0], there[:, 3] - there[:, 1])
    assert (sides.min(), sides.max()) == (pytest.approx(2, abs=2), pytest.approx(62, abs=4))


def test_a_chance_moved_changes_only_the_images_that_it_decides_otherwise():
    never, sometimes, always = (make_settings(mosaic=chance) for chance in (0.0, 0.5, 1.0))
    kinds = set()
    for epoch in range(20):
        alone, drawn, tiled = (plan(settings, epoch) for settings in (never, sometimes, always))
        assert as_text(drawn) in (as_text(alone), as_text(tiled))
        assert alone.hsv == drawn.hsv == tiled.hsv
        kinds.add(len(drawn.layers[0]))
    assert kinds == {1, 4}
    mixed = [(plan(make_settings(), epoch), plan(make_settings(mixup=0.5), epoch)) for epoch in range(20)]
    assert {len(after.layers) for _, after in mixed} == {1, 2}
    assert all(as_text(before) == as_text(after) for before, after in mixed if len(after.layers) == 1)


def test_mosaic_has_the_image_itself_first_and_closes():
    settings = make_settings(mixup=1.0)
    for image in range(5):
        tiles = plan(settings, image=image).layers[0]
        assert len(tiles) == 4
        assert tiles[0].image == image
        closed = plan(settings, image=image, mosaic_open=False)
        assert [len(layer) for layer in closed.layers] == [1]
        assert closed.layers[0][0].image == image


def test_probabilities_are_met():
    settings = make_settings(mosaic=0.3, mixup=0.2)
    plans = [plan(settings, epoch, image) for epoch in range(200) for image in range(5)]
    assert sum(len(p.layers[0]) == 4 for p in plans) / len(plans) == pytest.approx(0.3, abs=0.05)
    assert sum(len(p.layers) == 2 for p in plans) / len(plans) == pytest.approx(0.2, abs=0.05)


def test_draws_keep_their_ranges():
    settings = make_settings(mosaic=0.0, hsv_h=0.1, hsv_s=0.5, hsv_v=0.25, scale=0.4, translate=0.2, fliplr=0.0)
    gains, scales, places = [], [], []
    for epoch in range(300):
        found = plan(settings, epoch)
        gains.append((1 + found.hsv.hue_shift, found.hsv.saturation_gain, found.hsv.value_gain))
        matrix = found.layers[0][0].to_result
        scales.append(matrix[0, 0])
        places.append((matrix[:2, :2] @ [32, 32] + matrix[:2, 2]) / 64)
    assert np.abs(np.array(gains) - 1).max(axis=0) == pytest.approx([0.1, 0.5, 0.25], rel=0.03)
    assert (min(scales), max(scales)) == pytest.approx((0.6, 1.4), abs=0.02)
    assert np.abs(np.array(places) - 0.5).max() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_no_part_of_the_canvas_is_behind_the_horizon(mosaic: float):
    settings = make_settings(imgsz=1280, perspective=0.001, mosaic=mosaic)
    for epoch in range(100):
        found = draw_plan(
            settings, SIZES_PX, epoch=epoch, image=0, base_px=1280, side_px=1280, mosaic_open=True, version=VERSION
        )
        for tile in found.layers[0]:
            left, top, right, bottom = tile.crop_xyxy_px
            corners = np.array([[x, y, 1] for x in (left, right) for y in (top, bottom)])
            assert (corners @ tile.to_result[2]).min() > 0.09


def test_multi_scale_draws_multiples_of_32_in_its_range():
    settings = make_settings(imgsz=320, multi_scale=0.5)
    sides = {draw_side(settings, epoch=epoch, first_image=first) for epoch in range(40) for first in range(0, 160, 16)}
    assert sides == set(range(160, 481, 32))
    assert least_side(settings) == 160
    assert least_side(make_settings(imgsz=96)) == 96
    assert draw_side(settings, epoch=3, first_image=16) == draw_side(settings, epoch=3, first_image=16)
    assert min(draw_side(make_settings(imgsz=32, multi_scale=1.0), epoch=e, first_image=0) for e in range(50)) == 32
    assert {draw_side(make_settings(), epoch=epoch, first_image=0) for epoch in range(5)} == {64}
