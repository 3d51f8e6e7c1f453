"""What a run starts from: fresh weights, ours, or another program's, which are imported without running anything."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError
from peakmark.model.detector import Detector, build_detector
from peakmark.model.foreign.names import foreign_names
from peakmark.model.foreign.reading import read_foreign_model
from peakmark.model.scales import SCALES
from peakmark.run.weights import ModelSource, find_model, starting_model

NAMES = ("cat", "dog")
FRESH = ModelSource("yolov8n.yaml", SCALES["yolov8n"])


@pytest.fixture(scope="module")
def trained() -> Detector:
    return build_detector(SCALES["yolov8n"], len(NAMES), seed=5)


def test_foreign_weights_come_in_under_our_names(tmp_path: Path, trained: Detector, write_foreign: Any):
    file = write_foreign(tmp_path / "peer.pt", trained, {0: "cat", 1: "dog"})
    source = find_model(file)
    assert source.names == NAMES
    assert source.scale.name == "yolov8n"
    assert source.is_foreign
    assert source.weights is not None
    for name, tensor in trained.state_dict().items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(source.weights[name], expected), name


def test_a_run_from_foreign_weights_says_so(tmp_path: Path, trained: Detector, write_foreign: Any):
    file = write_foreign(tmp_path / "peer.pt", trained, ["cat", "dog"])
    for source, pretrained in ((find_model(file), None), (FRESH, str(file))):
        model, notes, _ = starting_model(source, pretrained, ("dog", "bird"), seed=0)
        assert torch.equal(model.backbone.stem.conv.weight, trained.backbone.stem.conv.weight.half().float())
        assert "1 of 2 classes" in notes[0]
        assert notes[1].endswith("weights are imported, nothing in it was executed.")


@pytest.mark.parametrize("names", [None, {}, {1: "cat", 2: "dog"}, ["cat", 3], ["cat", "dog", "bird"]])
def test_foreign_files_that_do_not_fit_are_refused(tmp_path: Path, trained: Detector, write_foreign: Any, names: Any):
    file = write_foreign(tmp_path / "peer.pt", trained, names)
    with pytest.raises(ModelFileError, match=r"peer\.pt holds"):
        find_model(file)


def test_a_foreign_file_without_a_detector_is_refused(tmp_path: Path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(ModelFileError, match=r"other\.pt holds a model of another program \('Linear'\)"):
        read_foreign_model(tmp_path / "other.pt")
    with zipfile.ZipFile(tmp_path / "list.pt", "w") as archive:
        archive.writestr("list/data.pkl", b"\x80\x02].")
    with pytest.raises(ModelFileError, match=r"list\.pt holds no YOLOv8 detector"):
        read_foreign_model(tmp_path / "list.pt")


def test_foreign_names_are_one_to_one_for_every_scale():
    for scale in SCALES.values():
        model = Detector(scale, 3)
        table = foreign_names(model)
        assert set(table) == set(model.state_dict())
        assert len(set(table.values())) == len(table)


def test_fresh_weights_need_nothing(trained: Detector):
    model, notes, _ = starting_model(FRESH, None, NAMES, seed=5)
    assert notes == ()
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), trained.state_dict().values(), strict=True)
    )


def test_an_architecture_is_no_source_of_weights():
    with pytest.raises(ModelFileError, match=r"pretrained=yolov8s\.yaml: this is an architecture without weights"):
        starting_model(FRESH, "yolov8s.yaml", NAMES, seed=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("yolov8q.yaml", "not one of the architectures"),
        ("yolov8nn.yaml", "Did you mean yolov8n.yaml"),
        ("best.pt", "there is no such file. Nothing is downloaded"),
    ],
)
def test_unknown_models_are_refused_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match=said):
        find_model(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("yolov8n-seg.yaml", "It is a model of segmentation; Peakmark trains detectors: yolov8n.yaml"),
        ("yolov8s-pose.pt", "a model of poses; Peakmark trains detectors: yolov8s.yaml"),
        ("yolov8n-p2.yaml", "It is another architecture than yolov8n.yaml"),
        ("yolo11n.pt", "It is another family of models"),
        ("yolov5su.pt", "It is another family of models"),
        ("yolox_s.pt", "It is another family of models"),
        ("rtdetr-l.pt", "It is another family of models"),
        ("mobile_sam.pt", "there is no such file"),
    ],
)
def test_a_known_name_of_another_kind_is_answered_by_what_it_is(given: str, said: str):
    with pytest.raises(ModelFileError, match=said) as caught:
        find_model(given)
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("given", ["samples.pt", "yoloresult.pt", "yoloe_old/best.pt", "same.pt"])
def test_a_file_of_ones_own_is_no_other_family(given: str):
    with pytest.raises(ModelFileError, match="there is no such file") as caught:
        find_model(given)
    assert "family" not in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(ModelFileError, match="this is a folder"):
        find_model(tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"architecture": "yolov8s"}, r"its backbone\.stem\.conv\.weight is .* where yolov8s has"),
        ({"architecture": "yolov9"}, "its architecture 'yolov9' is unknown"),
        ({"names": ("cat",)}, "not those of a detector for the 1 classes that it names"),
        ({"names": ("x",) * 1_000_000}, "not those of a detector for the 1,000,000 classes that it names"),
    ],
)
def test_a_checkpoint_that_does_not_hold_what_it_says_is_refused(
    tmp_path: Path, trained: Detector, tiny_checkpoint: Checkpoint, changed: dict[str, Any], said: str
):
    weights = trained.state_dict()
    whole = dataclasses.replace(tiny_checkpoint, model=weights, training_weights={}, optimizer={})
    save(whole, tmp_path / "whole.pt")
    assert find_model(tmp_path / "whole.pt").names == NAMES
    save(dataclasses.replace(whole, **changed), tmp_path / "other.pt")
    with pytest.raises(ModelFileError, match=said):
        find_model(tmp_path / "other.pt")


@pytest.mark.parametrize("missing", [True, False])
def test_weights_of_another_type_or_fewer_are_refused(
    tmp_path: Path, trained: Detector, tiny_checkpoint: Checkpoint, missing: bool
):
    weights = dict(trained.state_dict())
    if missing:
        del weights["backbone.stem.conv.weight"]
    else:
        weights["backbone.stem.conv.weight"] = weights["backbone.stem.conv.weight"].double()
    save(dataclasses.replace(tiny_checkpoint, model=weights, training_weights={}, optimizer={}), tmp_path / "other.pt")
    with pytest.raises(ModelFileError, match="have other names" if missing else "of torch.float64"):
        find_model(tmp_path / "other.pt")
