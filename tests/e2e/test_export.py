"""Does a trained model leave as other formats, prove equal, and come back as a model that says the same numbers?"""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import Any

import numpy as np
import pytest

from peakmark import YOLO
from peakmark.api.model.validate import OpenedSplit
from peakmark.checkpoint.reader import read
from peakmark.cli.main import app
from peakmark.errors import ModelFileError, SettingsError
from peakmark.export.exporting import ParityError


@pytest.fixture(scope="module")
def best(trained, tmp_path_factory):
    """A copy: an export lies beside the model."""
    file = tmp_path_factory.mktemp("export") / "best.pt"
    shutil.copy(trained[0].best, file)
    return file


@pytest.fixture(scope="module")
def data(best):
    return read(best).provenance["data"]["yaml"]


@pytest.fixture(scope="module")
def exported(best):
    return YOLO(best).export(format="onnx", dynamic=True, verbose=False)


def test_val_of_the_file_says_what_the_export_said(data, exported, tmp_path):
    said = json.loads(exported.record.read_text())
    assert said["holds"]
    assert said["parity"]["accuracy"]["exported"] == pytest.approx(said["parity"]["accuracy"]["model"], abs=1e-3)
    results = YOLO(exported).val(data=data, verbose=False, plots=False, project=str(tmp_path))
    assert results.metrics["map50_95"] == said["parity"]["accuracy"]["exported"] > 0
    assert results.losses is None
    assert results.evaluation is not None
    assert results.evaluation.protocol == said["parity"]["accuracy"]["protocol"]


def test_predict_finds_the_same_objects(best, exported):
    image = np.full((64, 96, 3), 90, np.uint8)
    image[16:48, 20:60] = (20, 160, 240)
    ours, theirs = (YOLO(model).predict(image, conf=0.001, verbose=False)[0] for model in (best, exported))
    assert len(ours.boxes) > 0
    count = min(10, len(ours.boxes))
    # The checkpoint's own arithmetic may be bfloat16.
    assert np.allclose(ours.boxes.conf[:count], theirs.boxes.conf[:count], atol=0.02)
    assert theirs.names == ours.names


def test_what_an_exported_file_can_not_do_is_said(best, data, exported):
    model = YOLO(exported)
    assert model.names == YOLO(best).names
    assert "ONNX" in repr(model)
    with pytest.raises(ModelFileError, match="exported file"):
        model.train(data=data)
    with pytest.raises(ModelFileError, match="exported file"):
        model.export(format="onnx")
    with pytest.raises(SettingsError, match="augment=True"):
        model.val(data=data, augment=True, verbose=False)
    with pytest.raises(SettingsError, match="device=cuda:0"):
        model.predict(np.zeros((8, 8, 3), np.uint8), device=0, verbose=False)


def test_a_file_of_one_size_pads_to_squares_and_refuses_others(best, data, tmp_path):
    exported = YOLO(best).export(format="torchscript", verbose=False)
    model = YOLO(str(exported))
    results = model.val(data=data, verbose=False, plots=False, project=str(tmp_path))
    assert results.evaluation.protocol.endswith("images padded to squares")
    assert exported.parity.accuracy is not None
    assert results.metrics["map50_95"] == exported.parity.accuracy.exported
    with pytest.raises(SettingsError, match="imgsz=128: this file takes images of 64 px"):
        model.val(data=data, imgsz=128, verbose=False)


def test_max_drop_decides_for_int8(best, monkeypatch):
    validate = OpenedSplit.validate

    def worse(self: OpenedSplit, model: Any, *rest: Any) -> Any:
        """As if int8 had lost a tenth: so small a model may well gain by it."""
        found = validate(self, model, *rest)
        metrics = {**found.evaluation.metrics}
        metrics["map50_95"] -= 0.1 if model.about.batch else 0  # the model itself takes any number of images
        return dataclasses.replace(found, evaluation=dataclasses.replace(found.evaluation, metrics=metrics))

    monkeypatch.setattr(OpenedSplit, "validate", worse)
    target = best.with_name("best_int8.onnx")
    with pytest.raises(ParityError, match="by more than max_drop"):
        YOLO(best).export(format="onnx", int8=True, calibrate=2, max_drop=0.0, verbose=False)
    assert not target.exists()
    exported = YOLO(best).export(format="onnx", int8=True, calibrate=2, max_drop=1.0, verbose=False)
    assert exported.path == target
    assert exported.parity.accuracy is not None
    assert exported.parity.accuracy.images > 1


def test_safetensors_can_be_trained_from_too(best, tmp_path):
    exported = YOLO(best).export(format="safetensors", verbose=False)
    assert YOLO(exported).names == YOLO(best).names
    assert YOLO(exported).model.head.classes == len(YOLO(best).names)


def test_the_command_line_shows_what_was_found_out(best, capsys):
    with pytest.raises(SystemExit) as ended:
        app(["export", f"model={best}", "format=torchscript", "images=4"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "mAP50-95" in out
    assert "best.torchscript" in out


def test_without_data_of_its_classes_boxes_and_scores_alone_are_compared(best):
    exported = YOLO(best).export(format="torchscript", data="shapes", verbose=False)
    assert exported.parity.accuracy is None
    assert exported.parity.holds
    with pytest.raises(ModelFileError, match="its classes are not the model's"):
        YOLO(best).export(format="safetensors", half=True, data="shapes", verbose=False)


def test_the_model_itself_is_validated_once_for_all_formats_of_a_benchmark(best, data, tmp_path, monkeypatch):
    seen: list[int | None] = []
    validate = OpenedSplit.validate

    def counted(self: OpenedSplit, model: Any, *rest: Any) -> Any:
        seen.append(model.about.batch)  # the model itself takes any number of images
        return validate(self, model, *rest)

    monkeypatch.setattr(OpenedSplit, "validate", counted)
    YOLO(best).benchmark(
        data=data, formats="torchscript,safetensors", timed=1, images=2, project=str(tmp_path), verbose=False
    )
    assert (seen.count(None), seen.count(1)) == (1, 2)


def test_inspect_says_what_the_file_says(best, exported):
    import peakmark

    said = peakmark.inspect(exported.path)
    assert said["format"] == "ONNX, exported by Peakmark"
    assert said["weights_digest"] == peakmark.inspect(best)["digests"]["model"]
    assert said["lineage"]["epoch"] == peakmark.inspect(best)["epoch"]
    assert said["protocol"].startswith("COCO")


def test_a_gate_takes_an_exported_file(data, exported):
    import peakmark

    result = peakmark.gate(str(exported), data=data, require="map50_95>=0")
    assert result.passed


def test_a_benchmark_tells_of_each_format(best, data, tmp_path):
    found = YOLO(best).benchmark(
        data=data, formats="torchscript,safetensors", timed=2, images=4, project=str(tmp_path), verbose=False
    )
    assert [row.name.split()[0] for row in found.rows] == ["torch", "torchscript", "safetensors"]
    for row in found.rows[1:]:
        assert row.median_ms > 0
        assert row.memory_bytes is not None
        assert row.difference == pytest.approx(0, abs=1e-3)
    assert json.loads((found.save_dir / "benchmark.json").read_text())["images"] == 2
