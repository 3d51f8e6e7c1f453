"""A model file of another program is a model like any other: each use gives what the same weights of ours give."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peakmark import YOLO, gate, inspect, promote
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError, SettingsError
from peakmark.model.detector import Detector, detector_from_weights
from peakmark.model.scales import SCALES

QUIET: dict[str, Any] = {"observer": lambda event: None, "plots": False, "workers": 0}


@pytest.fixture(scope="module")
def theirs(trained: Any, tmp_path_factory: pytest.TempPathFactory, write_foreign: Any) -> tuple[Path, Detector, Any]:
    """The weights of a run in a file as the peer's program writes it, rounded as it rounds them; and themselves."""
    checkpoint = read(trained[0].best)
    weights = {n: t.half().float() if t.is_floating_point() else t for n, t in checkpoint.model.items()}
    model = detector_from_weights(SCALES[checkpoint.architecture], weights)
    args = {"imgsz": checkpoint.settings["imgsz"], "epochs": 5, "data": "elsewhere.yaml"}
    path = write_foreign(
        tmp_path_factory.mktemp("theirs") / "theirs.pt", model, list(checkpoint.names), license="AGPL-3.0",
        train_args=args, epoch=4,
    )  # fmt: skip
    return path, model, checkpoint


@pytest.fixture(scope="module")
def ours(theirs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights in a checkpoint of ours, used in float32."""
    _, model, checkpoint = theirs
    file = tmp_path_factory.mktemp("ours") / "ours.pt"
    arithmetic = {**checkpoint.arithmetic, "precision": "float32"}
    save(dataclasses.replace(checkpoint, model=dict(model.state_dict()), arithmetic=arithmetic), file)
    return file


def test_val_gives_the_numbers_of_the_same_weights(theirs: Any, ours: Path, tmp_path: Path):
    path, _, checkpoint = theirs
    data = checkpoint.provenance["data"]["yaml"]
    wanted = YOLO(ours).val(project=tmp_path, data=data, **QUIET).metrics
    found = YOLO(path).val(project=tmp_path, data=data, **QUIET).metrics
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name


def test_val_without_data_says_what_the_file_says(theirs: Any):
    with pytest.raises(SettingsError, match=r"trained on elsewhere\.yaml, somewhere else: write data=data\.yaml"):
        YOLO(theirs[0]).val(**QUIET)


def test_predict_finds_what_the_same_weights_find(theirs: Any, ours: Path):
    path, _, _ = theirs
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (found,) = YOLO(path).predict(image, conf=0.01, observer=lambda event: None)
    (wanted,) = YOLO(ours).predict(image, conf=0.01, observer=lambda event: None)
    assert len(found.boxes) == len(wanted.boxes)
    assert found.names == dict(enumerate(theirs[2].names))
    assert np.allclose(found.boxes.xyxy, wanted.boxes.xyxy, atol=1e-3)


def test_inspect_tells_licence_origin_and_how_far_it_was(theirs: Any, peakmark: Any, tmp_path: Path):
    done = peakmark("inspect", str(theirs[0]), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["license"], said["program"], said["version"]) == ("AGPL-3.0", "Ultralytics", "8.0.0")
    assert said["training"] == "5 of 5 epochs done, interrupted"
    assert (said["trained_on"], said["architecture"]) == ("elsewhere.yaml", theirs[2].architecture)


def test_a_gate_judges_it(theirs: Any):
    data = theirs[2].provenance["data"]["yaml"]
    result = gate(theirs[0], data, require="map50_95>=0", workers=0)
    assert result.passed
    assert result.images > 0


def test_import_writes_a_model_that_is_released_as_imported(theirs: Any, peakmark: Any, tmp_path: Path):
    done = peakmark("import", str(theirs[0]), "to=ours.pt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "its licence, as it says: AGPL-3.0" in done.stdout
    assert inspect(tmp_path / "ours.pt")["origin"]["license"] == "AGPL-3.0"
    for file in (tmp_path / "ours.pt", theirs[0]):
        released = promote(file, tmp_path / "releases", name="others")
        assert released.epoch is None
        assert released.files == ("README.md", "SHA256SUMS", "best.pt")
        card = (Path(released.place) / "README.md").read_text()
        assert "tags: [object-detection, yolov8, peakmark, imported]" in card
        assert 'license: "AGPL-3.0"' in card
        assert "None: Peakmark measured nothing of it" in card
    assert YOLO(tmp_path / "releases/others/v1/best.pt").names == dict(enumerate(theirs[2].names))
    with pytest.raises(ModelFileError, match="was imported from another program"):
        YOLO(tmp_path / "ours.pt").resume()


def test_a_run_that_begins_with_it_carries_its_origin_into_the_card(theirs: Any, train: Any, tmp_path: Path):
    run = train(epochs=1, pretrained=str(theirs[0]))
    assert read(run.best).provenance["imported"]["license"] == "AGPL-3.0"
    again = train(epochs=1, model=str(run.best))
    assert read(again.best).provenance["imported"]["file"] == "theirs.pt", "and so do runs that begin with that"
    released = promote(again.save_dir, tmp_path / "releases", name="tuned")
    card = (Path(released.place) / "README.md").read_text()
    assert "Its first weights were imported from theirs.pt" in card
    assert "says of its licence: AGPL-3.0" in card


def test_load_state_dict_takes_the_names_of_the_field(theirs: Any, trained: Any, tmp_path: Path):
    from peakmark.model.foreign.names import foreign_names

    _, model, checkpoint = theirs
    table = foreign_names(model)
    weights = {table[name]: tensor for name, tensor in model.state_dict().items()}
    yolo = YOLO(f"{checkpoint.architecture}.yaml").load_state_dict(weights)
    assert torch.equal(yolo.model.backbone.stem.conv.weight, model.backbone.stem.conv.weight)
    held = YOLO(trained[0].best)
    network = held.model
    held.load_state_dict(weights)
    assert held.model is network, "whoever was given the network has these weights as well"
    assert torch.equal(network.backbone.stem.conv.weight, model.backbone.stem.conv.weight)
    del weights["model.22.cv2.0.2.bias"]
    with pytest.raises(ModelFileError, match=r"model\.22\.cv2\.0\.2\.bias is missing"):
        held.load_state_dict(weights)


def test_a_file_of_bare_tensors_is_validated_and_predicts(theirs: Any, tmp_path: Path):
    _, model, checkpoint = theirs
    torch.save(model.state_dict(), tmp_path / "bare.pt")
    data = checkpoint.provenance["data"]["yaml"]
    told: list[str] = []
    size = {"imgsz": checkpoint.settings["imgsz"], "project": tmp_path, "plots": False, "workers": 0}
    found = YOLO(tmp_path / "bare.pt").val(data=data, observer=lambda e: told.append(getattr(e, "text", "")), **size)
    assert any("The weights lie in this file alone" in text for text in told)
    wanted = YOLO(theirs[0]).val(data=data, project=tmp_path, **QUIET)
    assert found.metrics["map50_95"] == pytest.approx(wanted.metrics["map50_95"], abs=5e-3)
    assert tuple(found.names.values()) == checkpoint.names, "the data say what the classes are called"
