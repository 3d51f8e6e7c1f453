"""Is a file caught that computes something else, and does nothing get its name then?"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peakmark.evaluate.uncertainty import Estimate
from peakmark.export.exported import torch_runtime
from peakmark.export.exporting import Exported, ParityError, export_to
from peakmark.export.format import Order
from peakmark.export.formats import onnx as onnx_format
from peakmark.export.parity import (
    Accuracy,
    OutputDifference,
    Parity,
    compare_detections,
    compare_outputs,
    input_variants,
)
from peakmark.export.registry import FORMATS
from peakmark.nouns.images import Detections

EQUAL = OutputDifference(0.0, 0.0, ((1, 64, 64),))


def _accuracy(model: float, exported: float) -> Accuracy:
    return Accuracy(model, exported, Estimate(exported - model, 0.0, 0.0, 0.0), 10, "COCO")


@pytest.mark.parametrize(
    ("parity", "holds"),
    [
        (Parity(EQUAL, None, None), True),
        (Parity(replace(EQUAL, box_px=0.01), None, None), True),
        (Parity(replace(EQUAL, box_px=0.02), None, None), False),
        (Parity(replace(EQUAL, score=2e-4), None, None), False),
        (Parity(replace(EQUAL, box_px=math.nan), None, None), False),
        (Parity(replace(EQUAL, unmatched=1, detections=1000), None, None), True),
        (Parity(replace(EQUAL, unmatched=2, detections=1000), None, None), False),
        (Parity(EQUAL, _accuracy(0.5, 0.498), None), False),
        (Parity(EQUAL, _accuracy(0.5, 0.5005), None), True),
        (Parity(replace(EQUAL, box_px=40), _accuracy(0.5, 0.495), 0.01), True),
        (Parity(EQUAL, _accuracy(0.5, 0.48), 0.01), False),
        (Parity(EQUAL, _accuracy(0.5, math.nan), 0.01), False),
        (Parity(EQUAL, _accuracy(math.nan, math.nan), 0.01), True),
        (Parity(EQUAL, None, 0.01), False),
    ],
)
def test_what_holds(parity, holds):
    assert parity.holds is holds


def _changed(model: Any, name: str) -> Any:
    """A graph in which one number of one weight is another."""
    onnx = pytest.importorskip("onnx")
    (weight,) = [each for each in model.graph.initializer if each.name.endswith(name)]
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] += 0.5
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    return model


@pytest.fixture
def judge(detector, images):
    def held_against(exported) -> Parity:
        variants = list(input_variants([images], exported.about.batch, 32))
        return Parity(compare_outputs(exported.runtime, torch_runtime(detector), variants), None, None)

    return held_against


def _export(
    tmp_path: Path, order: Order, judge: Callable[..., Parity], agree: Callable[[Parity], bool] = lambda parity: False
) -> tuple[Path, Callable[[], Exported]]:
    known = FORMATS["onnx"]
    target = known.target(tmp_path / "best.pt", order.options)
    return target, lambda: export_to(target, known, order, threads=1, judge=judge, agree=agree, said={"format": "onnx"})


def test_a_changed_weight_is_caught_and_nothing_is_named(tmp_path, make_order, judge, monkeypatch):
    target, export = _export(tmp_path, make_order(), judge)
    exported = export()
    assert exported.parity.outputs.is_small
    good = target.read_bytes()

    plain = onnx_format.onnx_model
    monkeypatch.setattr(onnx_format, "onnx_model", lambda order: _changed(plain(order), "head.cls.1.2.bias"))
    with pytest.raises(
        ParityError, match=r"was not written: its boxes are up to .* px and its scores up to 0\.\d+ off"
    ):
        export()
    assert target.read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.onnx", "best.onnx.json"]


def test_who_agrees_gets_it_with_what_was_found_out(tmp_path, make_order, judge, monkeypatch):
    plain = onnx_format.onnx_model
    monkeypatch.setattr(onnx_format, "onnx_model", lambda order: _changed(plain(order), "head.box.0.2.bias"))
    target, export = _export(tmp_path, make_order(), judge, agree=lambda parity: True)
    exported = export()
    said = json.loads(exported.record.read_text())
    assert str(exported) == str(target)
    assert (said["holds"], said["format"]) == (False, "onnx")
    assert said["parity"]["outputs"]["box_px"] > 0.01


def test_another_range_of_pixels_is_caught(detector, images, make_order, place):
    from peakmark.export.exported import open_exported

    exported = open_exported(place(FORMATS["onnx"], make_order()), threads=1)
    apart = compare_outputs(
        lambda given, confidence, every: exported.runtime(given * np.float32(0.99), confidence, every),
        torch_runtime(detector),
        [images[:1]],
    )
    assert not apart.is_small


def test_a_grid_that_is_baked_in_is_caught(detector, images):
    """What a file does whose anchors stay those of the example's size."""
    right = torch_runtime(detector)

    def baked(given, confidence, every):
        found = right(given, confidence, every)
        if given.shape[2] != 64:
            found = found.copy()
            found[:, :2] += 8
        return found

    assert compare_outputs(baked, right, [images[:1]]).is_small
    assert not compare_outputs(baked, right, list(input_variants([np.tile(images, (1, 1, 2, 2))], None, 32))).is_small


def test_outputs_of_another_shape_or_that_are_no_numbers_are_caught(detector, images):
    right = torch_runtime(detector)
    fewer = compare_outputs(lambda *given: right(*given)[:, :, :-1], right, [images])
    assert fewer.box_px == math.inf
    none = compare_outputs(lambda *given: right(*given) * np.float32(np.nan), right, [images])
    assert not none.is_small


def test_a_fixed_call_is_tried_with_full_calls_alone(images):
    assert [each.shape for each in input_variants([images], 2, 32)] == [(2, 3, 64, 64)]
    free = [each.shape for each in input_variants([images], None, 32)]
    assert free == [(3, 3, 64, 64), (1, 3, 64, 64), (3, 3, 64, 64), (2, 3, 64, 64)]
    large = np.zeros((8, 3, 160, 320), np.float32)
    assert [each.shape for each in input_variants([large], None, 32)] == [
        (8, 3, 160, 320), (1, 3, 160, 320), (3, 3, 64, 320), (2, 3, 160, 160),
    ]  # fmt: skip


def test_detections_are_matched_one_to_one():
    def found(*rows: tuple[float, float, int]) -> Detections:
        boxes = np.array([[x, 0, x + 10, 10] for x, _, _ in rows], np.float32).reshape(-1, 4)
        return Detections(
            boxes, np.array([s for _, s, _ in rows], np.float32), np.array([c for *_, c in rows], np.int64)
        )

    both = found((0, 0.9, 0), (50, 0.8, 1))
    assert compare_detections([(both, both)], ()).unmatched == 0
    assert compare_detections([(both, found((0, 0.9, 0)))], ()).unmatched == 1
    assert compare_detections([(both, found((0, 0.9, 0), (50, 0.8, 0)))], ()).unmatched == 2
    assert compare_detections([(found((0, 0.9, 0)), found((0, 0.9, 0), (0, 0.9, 0)))], ()).unmatched == 1
    near = compare_detections([(both, found((0.004, 0.9, 0), (50, 0.80005, 1)))], ())
    assert near.unmatched == 0
    assert near.box_px == pytest.approx(0.004, abs=1e-5)
    assert near.detections == 4
