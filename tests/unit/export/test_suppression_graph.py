"""Does a file that suppresses boxes itself keep what `geometry/suppression.py` keeps, for every image of a batch?"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.errors import SettingsError
from peakmark.export.about import About
from peakmark.export.exported import RuntimePredictor
from peakmark.export.format import Suppression
from peakmark.machine.streams import stream
from peakmark.model.candidates import Thresholds

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

IOU, MOST = 0.5, 7


def _about(suppression: Suppression | None, classes: int) -> About:
    inside = None if suppression is None else {"iou": suppression.iou, "max_det": suppression.max_detections}
    names = tuple(f"class{number}" for number in range(classes))
    return About(names, 64, True, None, "float32", inside, "yolov8n", "", {}, {}, None)


def _graph(classes: int, most: int) -> Any:
    """Boxes and scores come in as they are: only the suppression is in this file."""
    from peakmark.export.formats.onnx_suppression import with_suppression

    kinds, helper = onnx.TensorProto, onnx.helper
    shape = ["batch", 4 + classes, "anchors"]
    node = helper.make_node("Identity", ["images"], ["output0"], name="network")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("images", kinds.FLOAT, shape)],
        [helper.make_tensor_value_info("output0", kinds.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return with_suppression(model, Suppression(IOU, most))


def _runtime(model: Any) -> tuple[Any, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(images, confidence, every_class):
        given = {"images": images, "confidence": np.array(confidence, np.float32), "every_class": np.array(every_class)}
        return session.run(["output0"], given)[0]

    return run, session


_SESSIONS = {classes: _runtime(_graph(classes, MOST)) for classes in (1, 3)}


def _raw(seed: int, images: int, anchors: int, classes: int) -> np.ndarray:
    draws = stream(seed, "boxes")
    centre, size = draws.uniform(0, 64, (images, 2, anchors)), draws.uniform(8, 40, (images, 2, anchors))
    scores = draws.uniform(0, 1, (images, classes, anchors))
    return np.concatenate((centre, size, scores), axis=1).astype(np.float32)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**20),
    images=st.integers(1, 4),
    anchors=st.integers(1, 40),
    classes=st.sampled_from([1, 3]),
    confidence=st.sampled_from([0.0, 0.3, 0.9, 0.9999]),
    one_class_per_box=st.booleans(),
)
def test_it_keeps_what_ours_keeps(seed, images, anchors, classes, confidence, one_class_per_box):
    raw = _raw(seed, images, anchors, classes)
    limits = Thresholds(confidence, IOU, MOST)
    inside = RuntimePredictor(
        _SESSIONS[classes][0],
        _about(Suppression(IOU, MOST), classes),
        limits,
        one_class_per_box=one_class_per_box,
    )
    outside = RuntimePredictor(
        lambda found, confidence, every: found, _about(None, classes), limits, one_class_per_box=one_class_per_box
    )
    for ours, theirs in zip(outside.of_input(raw), inside.of_input(raw), strict=True):
        assert np.array_equal(ours.classes, theirs.classes)
        assert np.array_equal(ours.scores, theirs.scores)
        assert np.allclose(ours.boxes_xyxy_px, theirs.boxes_xyxy_px, atol=1e-4)


def test_programs_that_know_nothing_of_the_two_inputs_need_not_give_them():
    raw = _raw(1, 2, 30, 3)
    _, session = _SESSIONS[3]
    found, count = session.run(None, {"images": raw})
    run, _ = _SESSIONS[3]
    assert np.array_equal(found, run(raw, 0.25, False))
    assert count.tolist() == [(rows[:, 4] > 0).sum() for rows in found]
    assert not found[np.arange(MOST) >= count[:, None]].any()


def test_a_planted_fault_in_the_graph_is_seen():
    model = copy.deepcopy(_graph(3, MOST))
    for constant in model.graph.initializer:
        if constant.name == "s_iou":
            constant.CopyFrom(onnx.numpy_helper.from_array(np.array([0.9], np.float32), "s_iou"))
    run, _ = _runtime(model)
    raw = _raw(1, 1, 40, 3)
    assert not np.array_equal(run(raw, 0.3, True), _SESSIONS[3][0](raw, 0.3, True))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Thresholds(0.25, 0.7, MOST), "iou=0.7"),
        (Thresholds(0.25, IOU, 300), "max_det=300"),
        (Thresholds(0.25, IOU, MOST, agnostic=True), "agnostic_nms=True"),
        (Thresholds(0.25, IOU, MOST, classes=(0,)), "classes"),
    ],
)
def test_what_is_decided_inside_can_not_be_wished_otherwise(limits, said):
    about = _about(Suppression(IOU, MOST), 3)
    with pytest.raises(SettingsError, match=said):
        RuntimePredictor(_SESSIONS[3][0], about, limits, one_class_per_box=True)


def test_images_wait_for_a_full_call_where_its_size_is_fixed():
    seen = []

    def runtime(images, confidence, every):
        seen.append(images.shape)
        return np.zeros((len(images), 7, 4), np.float32)

    about = _about(None, 3)
    fixed = RuntimePredictor(
        runtime, About(**{**{n: getattr(about, n) for n in about.__slots__}, "batch": 2}), Thresholds(0.5, 0.5, 5),
        one_class_per_box=True,
    )  # fmt: skip
    assert len(fixed(torch.zeros((3, 3, 64, 64), dtype=torch.uint8))) == 3
    assert seen == [(2, 3, 64, 64)] * 2
