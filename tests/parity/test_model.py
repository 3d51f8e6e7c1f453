"""The network against the published detector: its own trained weights, its own recorded outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from peakmark.model.detector import Detector, build_detector, decode
from peakmark.model.foreign.names import foreign_names
from peakmark.model.foreign.reading import read_foreign_model
from peakmark.model.scales import SCALES

PEER = Path(__file__).resolve().parents[2] / "../shared/peers/ultralytics-8.4.190"
pytestmark = pytest.mark.skipif(
    not (PEER / "finished-best.pt").exists(), reason="the peer's recorded files (../shared/peers) are not beside this"
)


@pytest.fixture(scope="module")
def outputs() -> dict[str, np.ndarray]:
    """What the peer gives for its input, and what we give with its weights."""
    foreign = read_foreign_model(PEER / "finished-best.pt")
    model = build_detector(foreign.scale, len(foreign.names), seed=0).eval()
    model.load_state_dict(dict(foreign.weights))
    with np.load(PEER / "expected-outputs.npz") as recorded:
        found = {f"peer_{name}": recorded[name] for name in recorded}
    with torch.inference_mode():
        output = model(torch.from_numpy(found["peer_input"]))
        boxes, scores = decode(output)
    ours = {
        "boxes": boxes,
        "scores": scores,
        "raw_boxes": output.box_logits_BAR4,
        "raw_scores": output.class_logits_BAC,
    }
    return found | {name: tensor.numpy() for name, tensor in ours.items()}


def test_every_tensor_has_its_published_name_and_shape():
    listed = [line.split(" ", 1) for line in (PEER / "state-dict-keys.txt").read_text().splitlines() if line.strip()]
    model = Detector(SCALES["yolov8n"], 3)
    table, tensors = foreign_names(model), model.state_dict()
    assert sorted(table.values()) == sorted(name for name, _ in listed)
    shapes = {name: tuple(int(n) for n in rest[1 : rest.index(")")].split(",") if n.strip()) for name, rest in listed}
    shapes["model.22.dfl.conv.weight"] = (16,)  # 1 x 16 x 1 x 1 there
    assert {table[ours]: tuple(tensor.shape) for ours, tensor in tensors.items()} == shapes


def test_architecture_and_classes_are_recognised():
    foreign = read_foreign_model(PEER / "finished-best.pt")
    assert foreign.scale.name == "yolov8n"
    assert foreign.names == ("RBC", "WBC", "Platelets")
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in foreign.weights.values())


def test_raw_head_outputs_are_equal(outputs: dict[str, np.ndarray]):
    np.testing.assert_allclose(outputs["raw_scores"].transpose(0, 2, 1), outputs["peer_raw_scores"], atol=2e-4)
    np.testing.assert_allclose(outputs["raw_boxes"].transpose(0, 2, 1), outputs["peer_raw_boxes"], atol=2e-4)


def test_boxes_are_equal_to_a_thousandth_of_a_px(outputs: dict[str, np.ndarray]):
    low, high = outputs["boxes"][..., :2], outputs["boxes"][..., 2:]
    boxes_cxcywh_px = np.concatenate(((low + high) / 2, high - low), axis=2)
    np.testing.assert_allclose(boxes_cxcywh_px.transpose(0, 2, 1), outputs["peer_decoded"][:, :4], atol=1e-3, rtol=0)


def test_scores_are_equal_to_a_millionth(outputs: dict[str, np.ndarray]):
    np.testing.assert_allclose(outputs["scores"].transpose(0, 2, 1), outputs["peer_decoded"][:, 4:], atol=1e-6, rtol=0)
