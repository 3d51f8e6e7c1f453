"""A plan that torch carries out on a device: what equals OpenCV's, at which edges, wherever the bytes lie?"""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tests.unit.data.augment.both_ways import (
    BASE_PX,
    KINDS,
    NO_COLOURS,
    SAME,
    SIZES_PX,
    Both,
    make,
    plan_of,
    single,
)
from torch.utils._python_dispatch import TorchDispatchMode

from peakmark.data.augment import apply_on_device as on_device
from peakmark.data.augment.apply_on_device import apply_on_device
from peakmark.data.augment.plan import AugmentPlan, HsvChange, TilePlan
from peakmark.data.device_images import DeviceImages
from peakmark.data.source.indexed_split import Index
from peakmark.geometry.letterbox import BACKGROUND

# --- equality -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", range(len(SIZES_PX)))
def test_what_is_not_moved_keeps_its_bytes(noise_index: Index, image: int):
    both = Both(noise_index)
    still = make(mosaic=0, translate=0, scale=0, fliplr=0, **NO_COLOURS)
    for plan in (single(image), plan_of(still, image), plan_of(make(**dict(still) | {"fliplr": 1.0}), image)):
        assert np.array_equal(both.by_torch([plan])[0], both.by_opencv(plan).image)


@pytest.mark.parametrize("gains", [HsvChange(1.1, 1.5, 0.7), HsvChange(0.98, 0.3, 1.4), HsvChange(2.0, 1.0, 1.0)])
def test_colours_are_shifted_as_by_opencv(noise_index: Index, gains: HsvChange):
    both = Both(noise_index)
    plans = [single(image, gains=gains) for image in range(len(SIZES_PX))]
    levels = [
        np.abs(found.astype(int) - both.by_opencv(plan).image)
        for plan, found in zip(plans, both.by_torch(plans), strict=True)
    ]
    assert max(each.max() for each in levels) <= 1
    assert np.mean([each.mean() for each in levels]) < 0.001


def test_every_hue_saturation_and_value_is_opencvs():
    """All colours of a quarter of the levels."""
    levels = np.append(np.arange(0, 256, 4, dtype=np.uint8), np.uint8(255))
    image = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    found = torch.stack(on_device._hsv(torch.from_numpy(image)), dim=-1).numpy()
    assert np.array_equal(found, cv2.cvtColor(image, cv2.COLOR_RGB2HSV))


def test_images_whose_colours_stay_keep_their_bytes_beside_others(noise_index: Index):
    both = Both(noise_index)
    kept, shifted = both.by_torch([single(0), single(1, gains=HsvChange(1.1, 1.5, 0.7))])
    assert np.array_equal(kept, both.by_opencv(single(0)).image)
    assert not np.array_equal(shifted, both.by_opencv(single(1)).image)


def test_a_sample_without_mixup_keeps_its_bytes_beside_others(noise_index: Index):
    both = Both(noise_index)
    blended = AugmentPlan(BASE_PX, (*single(0).layers, *single(1).layers), 0.25, SAME)
    plain, mixed, other = both.by_torch([single(7), blended, single(2)])
    assert np.array_equal(plain, both.by_opencv(single(7)).image)
    assert np.array_equal(mixed, both.by_opencv(blended).image)
    assert np.array_equal(other, both.by_opencv(single(2)).image)


def test_a_cut_shows_the_second_layer_to_the_byte(noise_index: Index):
    both = Both(noise_index)
    layers = (*single(0).layers, *single(1).layers)
    cuts = [AugmentPlan(BASE_PX, layers, 1.0, SAME, cut) for cut in ((3, 5, 40, 21), (0, 0, BASE_PX, BASE_PX))]
    blended = AugmentPlan(BASE_PX, layers, 0.25, SAME)
    plans = [cuts[0], single(7), blended, cuts[1]]
    for plan, found in zip(plans, both.by_torch(plans), strict=True):
        assert np.array_equal(found, both.by_opencv(plan).image)


def test_a_batch_is_one_tensor_in_channels_last(noise_index: Index):
    both = Both(noise_index)
    images = apply_on_device([both.drawn(single(0)), both.drawn(single(1))], both.images)
    assert (images.dtype, tuple(images.shape)) == (torch.uint8, (2, 3, BASE_PX, BASE_PX))
    assert images.is_contiguous(memory_format=torch.channels_last)


# --- edges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{"flipud": 0.5}, {"degrees": 180}, {"shear": 20, "degrees": 20}])
@pytest.mark.parametrize("seed", range(10))
def test_tiles_meet_without_a_seam(noise_index: Index, monkeypatch: pytest.MonkeyPatch, kind: Any, seed: int):
    """Four squares side by side, none of them as grey as the background, that cover all of the middle."""
    monkeypatch.setattr(DeviceImages, "to_bring", lambda self, number: np.full((BASE_PX, BASE_PX, 3), 250, np.uint8))
    both = Both(noise_index)
    warp = plan_of(make(seed=seed, mosaic=0, scale=0.1, translate=0, fliplr=0, **NO_COLOURS, **kind), 0)
    places = [(-BASE_PX, -BASE_PX), (0, -BASE_PX), (-BASE_PX, 0), (0, 0)]
    to_result = warp.layers[0][0].to_result @ [[1, 0, BASE_PX / 2 + 0.3], [0, 1, BASE_PX / 2 + 0.3], [0, 0, 1]]
    tiles = tuple(
        TilePlan(0, (0, 0, BASE_PX, BASE_PX), to_result @ [[1, 0, x], [0, 1, y], [0, 0, 1]]) for x, y in places
    )
    (found,) = both.by_torch([AugmentPlan(BASE_PX, (tiles,), 1.0, SAME)])
    assert (found[10:-10, 10:-10] == 250).all()


def test_where_no_tile_reaches_is_background(noise_index: Index):
    both = Both(noise_index)
    away, nothing = single(0, [[1, 0, 200], [0, 1, 0], [0, 0, 1]]), AugmentPlan(BASE_PX, ((),), 1.0, SAME)
    flat = single(0, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    beside = both.by_torch([away, dataclasses.replace(nothing, layers=away.layers), single(0), flat])
    assert (beside[0] == BACKGROUND).all()
    assert (beside[3] == BACKGROUND).all()
    assert np.array_equal(beside[2], both.by_opencv(single(0)).image)


def test_an_upright_tile_that_is_cut_off_repeats_its_own_edge_only(noise_index: Index):
    """The crop's neighbours in the image must not shine through."""
    both = Both(noise_index)
    grown = np.array([[1.7, 0, -20], [0, 1.7, 3.3], [0, 0, 1]])
    plan = AugmentPlan(96, ((TilePlan(0, (13, 20, 40, 50), grown),),), 1.0, SAME)
    assert np.abs(both.by_torch([plan])[0].astype(int) - both.by_opencv(plan).image).max() <= 1


# --- where the bytes lie --------------------------------------------------------------------------------------------


def some_plans(count: int = 30) -> list[AugmentPlan]:
    return [plan_of(make(seed=seed, **KINDS["all"]), seed % len(SIZES_PX)) for seed in range(count)]


@pytest.mark.parametrize(("budget_bytes", "kept"), [(0, 0), (30_000, 3), (10**9, len(SIZES_PX))])
def test_what_is_kept_changes_no_pixel(noise_index: Index, budget_bytes: int, kept: int):
    expected = Both(noise_index).by_torch(some_plans())
    both = Both(noise_index, budget_bytes)
    assert both.images.kept == kept
    for _ in range(2):  # brought, and as they lie there
        assert np.array_equal(both.by_torch(some_plans()), expected)


def test_slices_change_no_pixel(noise_index: Index, monkeypatch: pytest.MonkeyPatch):
    expected = Both(noise_index).by_torch(some_plans())
    monkeypatch.setattr(on_device, "_MOST_TEMPORARY_BYTES", 1)
    assert np.array_equal(Both(noise_index).by_torch(some_plans()), expected)


def test_a_kept_image_is_brought_once_and_others_each_time(noise_index: Index):
    both = Both(noise_index, 30_000)
    plans = [single(image) for image in range(len(SIZES_PX))]
    first = [sorted(both.drawn(plan).brought) for plan in plans]
    assert first == [[image] for image in range(len(SIZES_PX))]
    both.by_torch(plans)
    assert [sorted(both.drawn(plan).brought) for plan in plans] == [[], [], [], *([n] for n in range(3, len(SIZES_PX)))]


def test_no_more_is_brought_at_once_than_there_is_room_for(noise_index: Index, monkeypatch: pytest.MonkeyPatch):
    expected = Both(noise_index).by_torch(some_plans())
    monkeypatch.setattr(on_device, "MOST_PASSING", 8)
    brought: list[int] = []
    bring = DeviceImages.bring

    def note(self: DeviceImages, images: Any) -> Any:
        brought.append(len(images))
        return bring(self, images)

    monkeypatch.setattr(DeviceImages, "bring", note)
    assert np.array_equal(Both(noise_index, 0).by_torch(some_plans()), expected)
    assert 4 < max(brought) <= 8


def test_nothing_stays_in_two_places(noise_index: Index):
    both = Both(noise_index)
    both.by_torch(some_plans())
    assert both.images._waiting == {}


class _Nothing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        raise AssertionError(f"{operation} in a worker")


def test_workers_draw_without_torch(noise_index: Index):
    """Its first operation in another thread would start a second team of threads, and slow every step."""
    both = Both(noise_index, 30_000)
    with _Nothing():  # type: ignore[no-untyped-call]
        for plan in some_plans(5):
            both.drawn(plan)
        with pytest.raises(AssertionError, match="in a worker"):
            both.by_torch(some_plans(1))


@pytest.mark.gpu
@pytest.mark.parametrize("budget_bytes", [0, 30_000, 10**9])
def test_a_gpu_gives_the_bytes_of_the_processor(noise_index: Index, budget_bytes: int):
    expected = Both(noise_index).by_torch(some_plans())
    both = Both(noise_index, budget_bytes, device="cuda:0")
    for _ in range(2):
        assert np.array_equal(both.by_torch(some_plans()), expected)
