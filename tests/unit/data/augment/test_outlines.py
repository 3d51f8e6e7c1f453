"""A turned polygon's box is the one around the turned polygon, as if it had been drawn and its pixels turned."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakmark.data.augment.apply import apply_plan, truths_of_result
from peakmark.data.augment.outlines import Outlines, bounds, cut_to, hull_of, outlines_of
from peakmark.data.augment.plan import AugmentPlan, HsvChange, TilePlan, draw_plan
from peakmark.data.dataset import DatasetSpec
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index
from peakmark.nouns.images import ImageArray, Truths
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION

SIDE_PX = 200
MakeDataset = Callable[..., DatasetSpec]
LABEL = "1 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5\n0 0.5 0.5 0.4 0.2\n"
"""A square on its corner, and a box."""


def truths_of(polygons: Sequence[Any]) -> Truths:
    hulls = [hull_of((np.array(polygon, np.float32) / SIDE_PX).ravel().tolist()) * SIDE_PX for polygon in polygons]
    boxes = np.array([bounds(hull.astype(np.float64)) for hull in hulls], np.float32)
    return Truths(boxes, np.arange(len(hulls)), [hull.astype(np.float32) for hull in hulls])


def drawn(polygon: Any) -> ImageArray:
    image = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    cv2.fillPoly(image, [np.rint(np.array(polygon) * 16 - 8).astype(np.int32)], (255, 255, 255), shift=4)
    return image


def box_of_pixels(image: ImageArray) -> list[float]:
    rows, columns = np.nonzero(image.min(axis=2) > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


TURNED: Any = {"hsv_h": 0, "hsv_s": 0, "hsv_v": 0, "mosaic": 0.5, "translate": 0.1, "scale": 0.3}


NOTHING = Truths(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), [])


def seen_and_said(plan: AugmentPlan, number: int, polygon: Any, truths: Truths) -> tuple[list[float], Any] | None:
    """The box around what is seen of the polygon, in image `number` alone, and the one that comes with the image."""

    def load(image: int) -> ImageArray:
        return drawn(polygon) if image == number else np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)

    found = apply_plan(plan, load, lambda image: truths if image == number else NOTHING)
    if not len(found.truths) or not (found.image.min(axis=2) > 127).any():
        return None
    return box_of_pixels(found.image), found.truths.boxes_xyxy_px[0]


@pytest.mark.parametrize(
    "warp", [{"degrees": 180}, {"shear": 40}, {"perspective": 0.001}, {"degrees": 60, "shear": 20, "flipud": 0.5}]
)
def test_boxes_are_around_what_is_seen_of_the_polygons(warp):
    rng = np.random.default_rng(3)
    settings = Settings.model_validate({"data": "-", "imgsz": 192, **TURNED, **warp})
    sizes = np.full((4, 2), SIDE_PX, np.int64)
    off: list[float] = []
    off_as_boxes: list[float] = []
    for epoch in range(60):
        cloud = rng.uniform(60, 140, 2) + rng.uniform(20, 55, 2) * rng.uniform(-1, 1, (12, 2))
        # A hull, so that edges cut it as they cut the polygon.
        polygon = cv2.convexHull(cloud.astype(np.float32))[:, 0]
        plan = draw_plan(
            settings, sizes, epoch=epoch, image=0, base_px=SIDE_PX, side_px=192, mosaic_open=True, version=VERSION
        )
        if sum(tile.image == 0 for tile in plan.layers[0]) > 1:
            continue
        truths = truths_of([polygon])
        boxes = dataclasses.replace(truths, outlines_px=None)
        for said, errors in ((truths, off), (boxes, off_as_boxes)):
            if (both := seen_and_said(plan, 0, polygon, said)) is not None:
                errors.append(float(np.abs(np.array(both[0]) - both[1]).max()))
    assert len(off) > 20
    assert max(off) < 2, "pixels that are covered in part are seen or not"
    assert sum(error > 3 for error in off_as_boxes) > 1, "or this would show nothing"


def test_upright_the_box_stays_to_the_last_bit():
    truths = truths_of([[[10, 10], [60, 30], [20, 90]]])
    tile = TilePlan(0, (0, 0, SIDE_PX, SIDE_PX), np.diag([0.7, 0.9, 1.0]))
    plan = AugmentPlan(SIDE_PX, ((tile,),), 1.0, HsvChange())
    as_polygon = truths_of_result(plan, lambda image: truths)
    as_box = truths_of_result(plan, lambda image: dataclasses.replace(truths, outlines_px=None))
    assert np.array_equal(as_polygon.boxes_xyxy_px, as_box.boxes_xyxy_px)


def test_a_turned_box_without_an_outline_is_turned_as_a_box():
    cosine = np.sqrt(0.5)
    turn = np.array([[cosine, -cosine, 100], [cosine, cosine, -50], [0, 0, 1]])
    plan = AugmentPlan(SIDE_PX, ((TilePlan(0, (0, 0, SIDE_PX, SIDE_PX), turn),),), 1.0, HsvChange())
    corner = np.array([[100, 60], [140, 100], [100, 140], [60, 100]], np.float32)
    box = np.array([60, 60, 140, 140], np.float32)
    truths = Truths(np.stack([box, box]), np.array([0, 1]), [corner, np.zeros((0, 2), np.float32)])
    found = truths_of_result(plan, lambda image: truths)
    widths = found.boxes_xyxy_px[:, 2] - found.boxes_xyxy_px[:, 0]
    np.testing.assert_allclose(widths, [80 * cosine, 80 / cosine], rtol=1e-5)


points = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 2), min_size=3, max_size=12)


@given(points)
def test_a_hull_has_the_polygon_s_box_and_is_its_own_hull(polygon):
    flat = [coordinate for point in polygon for coordinate in point]
    hull = hull_of(flat)
    assert bounds(hull.astype(np.float64)).tolist() == bounds(np.array(polygon, np.float64)).tolist()
    assert hull_of(hull.ravel().tolist()).tobytes() == hull.tobytes()


@given(points, st.tuples(*[st.floats(0, 1)] * 4))
def test_what_is_cut_lies_in_the_rectangle_and_in_the_shape(polygon, sides):
    left, right = sorted(sides[:2])
    top, bottom = sorted(sides[2:])
    hull = hull_of([coordinate for point in polygon for coordinate in point]).astype(np.float64)
    part = cut_to(hull, (left, top, right, bottom))
    if len(part):
        assert (part >= np.array([left, top]) - 1e-9).all()
        assert (part <= np.array([right, bottom]) + 1e-9).all()
        assert (bounds(part)[:2] >= bounds(hull)[:2] - 1e-9).all()
        assert (bounds(part)[2:] <= bounds(hull)[2:] + 1e-9).all()
    inside = (hull >= [left, top]).all(axis=1) & (hull <= [right, bottom]).all(axis=1)
    for corner in hull[inside]:
        assert np.abs(part - corner).sum(axis=1).min() < 1e-9


def test_outlines_are_picked_by_object():
    hulls = [hull_of((0, 0, 1, 0, 0.5, 1)), np.zeros((0, 2), np.float32), hull_of((0, 0, 1, 0, 1, 1, 0, 1))]
    columns = outlines_of(hulls)
    assert [len(each) for each in columns[slice(0, 3)]] == [3, 0, 4]
    picked = columns.select(np.array([2, 0]))
    assert [each.tolist() for each in picked[slice(0, 2)]] == [hulls[2].tolist(), hulls[0].tolist()]
    assert isinstance(picked, Outlines)


def test_an_index_has_them_where_they_are_asked_for(make_dataset: MakeDataset):
    spec = make_dataset(labels={1: LABEL})
    index, plain = (build_index(spec, "train", with_outlines=asked) for asked in (True, False))
    assert index.outlines is not None
    truths = index.truths_px(1)
    assert truths.outlines_px is not None
    assert [len(each) for each in truths.outlines_px] == [4, 0]
    np.testing.assert_allclose(bounds(truths.outlines_px[0].astype(np.float64)), truths.boxes_xyxy_px[0], atol=1e-4)
    assert plain.outlines is None
    assert plain.truths_px(1).outlines_px is None
    assert index.fingerprint != plain.fingerprint


def fingerprint(spec: DatasetSpec, *, with_outlines: bool = True, cache: Path = Path(os.devnull)) -> str:
    return build_index(spec, "train", with_outlines=with_outlines, cache_folder=cache).fingerprint


def test_of_boxes_alone_both_have_one_fingerprint(make_dataset: MakeDataset):
    spec = make_dataset()
    assert fingerprint(spec) == fingerprint(spec, with_outlines=False)


def test_a_point_that_is_moved_inside_the_box_is_noticed(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset(labels={1: LABEL})
    before, boxes_before = fingerprint(spec), fingerprint(spec, with_outlines=False)
    (tmp_path / "labels/train/01.txt").write_text(LABEL.replace("0.5 0.1 0.9", "0.6 0.1 0.9"))
    assert fingerprint(spec) != before
    assert fingerprint(spec, with_outlines=False) == boxes_before


def test_what_is_remembered_of_a_set_says_the_same(make_dataset: MakeDataset, tmp_path: Path):
    spec, cache = make_dataset(labels={1: LABEL, 2: LABEL}), tmp_path / "cache"
    first = fingerprint(spec, cache=cache)
    assert fingerprint(spec, cache=cache) == first
    # One file is new, so the others' rows are taken over one by one.
    (tmp_path / "labels/train/02.txt").write_text(LABEL + " \n")
    os.utime(tmp_path / "labels/train/02.txt", (1, 1))
    assert fingerprint(spec, cache=cache) == first


def test_a_selection_keeps_each_object_s_own(make_dataset: MakeDataset):
    index: Index = build_index(make_dataset(labels={0: LABEL, 1: "", 2: LABEL}), "train", with_outlines=True)
    some = index.select([2, 1])
    assert some.outlines is not None
    kept, whole = some.truths_px(0).outlines_px, index.truths_px(2).outlines_px
    assert kept is not None
    assert whole is not None
    assert [each.tolist() for each in kept] == [each.tolist() for each in whole]
    assert some.truths_px(1).outlines_px == []
