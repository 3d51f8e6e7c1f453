"""A small set and plans for it, carried out by OpenCV and by torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from peakmark.data.augment.apply import apply_plan
from peakmark.data.augment.apply_on_device import apply_on_device
from peakmark.data.augment.device_plan import DrawnSample, drawn_sample
from peakmark.data.augment.plan import AugmentPlan, HsvChange, TilePlan, draw_plan
from peakmark.data.cache import ImageCache
from peakmark.data.dataset import read_dataset
from peakmark.data.device_images import DeviceImages
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index
from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns.images import ImageArray, Sample, Truths
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION

BASE_PX = 64
SIZES_PX = ((64, 64), (64, 40), (37, 64), (1, 1), (1, 50), (50, 1), (23, 17), (64, 63), (90, 131))
SAME = HsvChange()
NO_COLOURS = {"hsv_h": 0, "hsv_s": 0, "hsv_v": 0}


def smooth(rng: np.random.Generator, width: int, height: int) -> ImageArray:
    """Waves a few dozen pixels long: neighbours differ by some levels."""
    y, x = np.mgrid[:height, :width][..., None]
    slant, phase = rng.uniform(-0.06, 0.06, (2, 3)), rng.uniform(0, 6, 3)
    return np.asarray(128 + 100 * np.sin(x * slant[0] + y * slant[1] + phase), dtype=np.uint8)


def noise(rng: np.random.Generator, width: int, height: int) -> ImageArray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def index_of(root: Path, paint: Callable[..., ImageArray]) -> Index:
    for number, (width, height) in enumerate(SIZES_PX):
        for kind in ("images", "labels"):
            (root / kind).mkdir(exist_ok=True)
        image = paint(np.random.default_rng(number), width, height)
        (root / f"images/{number}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
        (root / f"labels/{number}.txt").write_text(f"{number} 0.5 0.5 0.6 0.4\n{number} 0.3 0.4 0.5 0.7\n")
    names = ", ".join(f"c{number}" for number in range(len(SIZES_PX)))
    (root / "data.yaml").write_text(f"train: images\nval: images\nnames: [{names}]\n")
    return build_index(read_dataset(root / "data.yaml"), "train", workers=1)


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
