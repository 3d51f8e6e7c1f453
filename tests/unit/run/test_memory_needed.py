"""The memory estimate grows with what takes memory."""

from __future__ import annotations

from typing import Any

from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.run.memory_needed import training_bytes


def estimate(scale: str = "yolov8n", **changes: Any) -> int:
    arithmetic = Arithmetic("cpu", "test", changes.pop("precision", "float32"), 1, True, True)
    given: dict[str, Any] = {"side_px": 320, "batch": 16, "arithmetic": arithmetic} | changes
    return training_bytes(build_detector(SCALES[scale], 3, seed=0).eval(), **given)


def test_it_grows_with_batch_side_scale_and_precision():
    base = estimate()
    assert estimate(batch=32) > 1.5 * base
    assert estimate(side_px=640) > 2 * base
    assert estimate("yolov8s") > 1.3 * base
    assert estimate(precision="bfloat16") < base


def test_it_is_linear_in_the_batch_and_holds_the_state():
    one, two, three = (estimate(batch=batch) for batch in (1, 2, 3))
    assert three - two == two - one > 0
    assert one - (two - one) > 3_000_000 * 4 * 4


def test_its_order_is_right():
    assert 1e9 < estimate() < 4e9
    assert estimate("yolov8x", side_px=640, batch=64) > 60e9
