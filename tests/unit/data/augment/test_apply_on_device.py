"""A plan that torch carries out on a device shows what OpenCV shows, on any device, wherever the bytes lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from peakmark.data.augment import apply_on_device as on_device
from peakmark.data.augment.apply import apply_plan
from peakmark.data.augment.apply_on_device import apply_on_device
from peakmark.data.augment.device_plan import DrawnSample, drawn_sample
from peakmark.data.augment.plan import AugmentPlan, HsvChange, TilePlan, draw_plan
from peakmark.data.cache import ImageCache
from peakmark.data.dataset import read_dataset
from peakmark.data.device_images import DeviceImages
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index
from peakmark.geometry.letterbox import BACKGROUND, Letterbox
from peakmark.nouns.images import ImageArray, Sample, Truths
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION

BASE_PX = 64
SIZES_PX = ((64, 64), (64, 40), (37, 64), (1, 1), (1, 50), (50, 1), (23, 17), (64, 63), (90, 131))
SAME = HsvChange()
NO_COLOURS = {"hsv_h": 0, "hsv_s": 0, "hsv_v": 0}
CLOSE_LEVELS = 2
"""Of a smooth image, away from turned edges."""
CLOSE_MEAN = 0.02
"""Of noise, away from turned edges. As OpenCV 5 warps; OpenCV 4 cuts coordinates to 1/32 of a pixel."""


def smooth(rng: np.random.Generator, width: int, height: int) -> ImageArray:
    """Waves a few dozen pixels long: neighbours differ by some levels."""
    y, x = np.mgrid[:height, :width][..., None]
    slant, phase = rng.uniform(-0.06, 0.06, (2, 3)), rng.uniform(0, 6, 3)
    return np.asarray(128 + 100 * np.sin(x * slant[0] + y * slant[1] + phase), dtype=np.uint8)


def noise(rng: np.random.Generator, width: int, height: int) -> ImageArray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def _index(root: Path, paint: Callable[..., ImageArray]) -> Index:
    for number, (width, height) in enumerate(SIZES_PX):
        for kind in ("images", "labels"):
            (root / kind).mkdir(exist_ok=True)
        image = paint(np.random.default_rng(number), width, height)
        (root / f"images/{number}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
        (root / f"labels/{number}.txt").write_text(f"{number} 0.5 0.5 0.6 0.4\n{number} 0.3 0.4 0.5 0.7\n")
    names = ", ".join(f"c{number}" for number in range(len(SIZES_PX)))
    (root / "data.yaml").write_text(f"train: images\nval: images\nnames: [{names}]\n")
    return build_index(read_dataset(root / "data.yaml"), "train", workers=1)


@pytest.fixture(scope="module")
def smooth_index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return _index(tmp_path_factory.mktemp("smooth"), smooth)


@pytest.fixture(scope="module")
def noise_index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return _index(tmp_path_factory.mktemp("noise"), noise)


class Both:
    """A set that plans can be carried out on in both ways."""

    def __init__(self, index: Index, budget_bytes: int | None = None, device: str = "cpu") -> None:
        self.cache = ImageCache(index, BASE_PX, "ram")
        self.images = DeviceImages(index, BASE_PX, device, budget_bytes)
        self._index = index

    def truths(self, image: int) -> Truths:
        truths = self._index.truths_px(image)
        return Truths(self.cache.letterbox(image).to_inner(truths.boxes_xyxy_px), truths.classes)

    def drawn(self, plan: AugmentPlan) -> DrawnSample:
        return drawn_sample(plan, self.truths, self.images.width_px, self.images.to_bring)

    def by_torch(self, plans: Sequence[AugmentPlan]) -> list[ImageArray]:
        images = apply_on_device([self.drawn(plan) for plan in plans], self.images)
        return list(images.permute(0, 2, 3, 1).cpu().numpy())

    def by_opencv(self, plan: AugmentPlan) -> Sample:
        return apply_plan(plan, self.cache.load, self.truths)


def make(**changes: Any) -> Settings:
    return Settings.model_validate({"data": "x.yaml", "imgsz": BASE_PX} | changes)


def plan_of(settings: Settings, image: int, side_px: int = BASE_PX) -> AugmentPlan:
    sizes = np.array(SIZES_PX, dtype=np.int64)
    return draw_plan(
        settings, sizes, epoch=0, image=image, base_px=BASE_PX, side_px=side_px, mosaic_open=True, version=VERSION
    )


def single(image: int, matrix: Any = None, *, side_px: int = BASE_PX, gains: HsvChange = SAME) -> AugmentPlan:
    box = Letterbox(*SIZES_PX[image], BASE_PX)
    to_result = np.eye(3) if matrix is None else np.array(matrix, dtype=np.float64)
    return AugmentPlan(
        side_px, ((TilePlan(image, (0, 0, box.inner_width_px, box.inner_height_px), to_result),),), 1.0, gains
    )


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


KINDS: dict[str, dict[str, float]] = {
    "upright": {"mosaic": 0, "flipud": 0.5},
    "upright mosaic": {"flipud": 0.5, "translate": 0.4},
    "mixed": {"mixup": 1.0, "mosaic": 0.5},
    "cut": {"cutmix": 0.7, "mosaic": 0.5, "flipud": 0.5},
    "turned": {"degrees": 180, "mosaic": 0.5},
    "sheared": {"shear": 30},
    "tilted": {"perspective": 0.001},
    "all": {
        "mosaic": 0.5,
        "degrees": 45,
        "shear": 10,
        "perspective": 0.001,
        "flipud": 0.5,
        "mixup": 0.5,
        "cutmix": 0.5,
    },
}
ANY_PLANS = {
    "seed": st.integers(0, 10**6),
    "images": st.lists(st.integers(0, len(SIZES_PX) - 1), min_size=1, max_size=4),
    "side_px": st.sampled_from((32, 64, 96)),
}


# --- closeness ------------------------------------------------------------------------------------------------------


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
