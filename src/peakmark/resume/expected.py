"""How far may the first epochs leave their band because of what was changed? The part of the plan that the watch reads.

Widths are rules of thumb, in the units of the logged numbers. Pure; it must not know the band itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from peakmark.nouns.losses import TERMS
from peakmark.resume.health.continuity import NAMES, TRAIN_NAMES, VALIDATION_NAMES
from peakmark.resume.seam import MIXING, Seam

MAP = VALIDATION_NAMES[-1:]
VAL_LOSSES = VALIDATION_NAMES[:-1]
LOSSES = TRAIN_NAMES + VAL_LOSSES
NOT_COMPARED = (-math.inf, math.inf)

Shift = tuple[float, float]
"""How far below (negative) and above."""

_GEOMETRY = ("degrees", "translate", "scale", "shear", "perspective", "multi_scale", "fliplr", "flipud")
_COLOURS = ("hsv_h", "hsv_s", "hsv_v")
_OF_THE_UPDATE = ("batch", "nbs", "weight_decay", "momentum", "warmup_momentum", "clip_grad", "amp", "compile")


def expected_shift(seam: Seam) -> Mapping[str, Shift]:
    """Gives, by the names of what is watched, the width that is allowed beside the band; absent means none."""
    shifts = dict.fromkeys(NAMES, (0.0, 0.0))

    def allow(names: tuple[str, ...], below: float, above: float) -> None:
        for name in names:
            low, high = shifts[name]
            shifts[name] = (low + below, high + above)

    before, after = seam.before, seam.after
    rate = seam.effective_rate_ratio
    if rate < 1:
        # A lower rate lets the weights settle: losses fall, mAP rises.
        allow(LOSSES, -0.1 * math.log2(1 / rate), 0.0)
        allow(MAP, 0.0, 0.02 * math.log2(1 / rate))
    elif rate > 1:
        allow(LOSSES, 0.0, 0.02 * math.log2(rate))
        allow(MAP, -0.01 * math.log2(rate), 0.0)
    if seam.optimizer_is_new or seam.changed("freeze"):
        allow(LOSSES, -0.1, 0.1)
        allow(MAP, -0.02, 0.02)
    if seam.changed(*_OF_THE_UPDATE) or seam.augments_elsewhere:
        allow(LOSSES, -0.05, 0.05)
        allow(MAP, -0.01, 0.01)
    for name in MIXING:
        more = getattr(after, name) - getattr(before, name)
        allow(TRAIN_NAMES, 1.0 * min(more, 0), 1.0 * max(more, 0))
        allow(VAL_LOSSES, -0.1 * abs(more), 0.1 * abs(more))
        allow(MAP, -0.03 * abs(more), 0.03 * abs(more))
    if seam.changed(*_GEOMETRY, *_COLOURS):
        allow(TRAIN_NAMES, -0.3, 0.3)
        allow(VAL_LOSSES, -0.1, 0.1)
        allow(MAP, -0.02, 0.02)
    for name in TERMS:
        if seam.changed(name):
            shifts[f"train/{name}"] = shifts[f"val/{name}"] = NOT_COMPARED
    if seam.weighs_classes_otherwise:
        shifts["train/cls"] = shifts["val/cls"] = NOT_COMPARED
    if before.train != after.train or seam.changed("imgsz"):
        shifts.update(dict.fromkeys(TRAIN_NAMES, NOT_COMPARED))
    if before.val != after.val or seam.changed("imgsz"):
        shifts.update(dict.fromkeys(VALIDATION_NAMES, NOT_COMPARED))
    return {name: shift for name, shift in shifts.items() if shift != (0.0, 0.0)}
