"""What a model of another program becomes: a checkpoint that says where it comes from and claims nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from peakmark.api.bring_in import import_model
from peakmark.checkpoint.reader import describe, read
from peakmark.errors import ModelFileError, SettingsError
from peakmark.model.detector import Detector, build_detector
from peakmark.model.scales import SCALES
from peakmark.run.weights import find_model
from peakmark.settings.description import describe as settings_of
from peakmark.settings.fields import ImportSettings

THEIRS = {
    "task": "detect", "mode": "train", "imgsz": 96, "epochs": 30, "lr0": 0.003, "optimizer": "SGD", "box": 7.0,
    "single_cls": False, "conf": None, "max_det": 123, "device": "0", "project": "/somewhere", "workers": 8,
    "data": "theirs/data.yaml", "mosaic": 2.5, "dropout": 0.1, "batch": -1, "amp": True, "model": "yolov8n.pt",
}  # fmt: skip


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(SCALES["yolov8t"], 2, seed=5)


@pytest.fixture
def theirs(tmp_path: Path, write_foreign: Any, detector: Detector) -> Path:
    path: Path = write_foreign(
        tmp_path / "theirs.pt", detector, ["cat", "dog"], license="AGPL-3.0", epoch=-1, train_args=THEIRS
    )
    return path


def test_the_checkpoint_is_whole_and_claims_nothing(theirs: Path, tmp_path: Path):
    found = import_model(theirs, tmp_path / "ours.pt", observer=lambda event: None)
    checkpoint = read(found.path)
    assert checkpoint.is_imported
    assert not checkpoint.complete
    assert (checkpoint.metrics, checkpoint.fitness, checkpoint.best_fitness) == (None, None, None)
    assert (checkpoint.validated, checkpoint.history.records, checkpoint.result_settings) == (False, (), ())
    assert checkpoint.names == ("cat", "dog")
    origin = checkpoint.provenance["imported"]
    assert origin["sha256"] == hashlib.sha256(theirs.read_bytes()).hexdigest()
    assert (origin["program"], origin["version"], origin["license"]) == ("Ultralytics", "8.0.0", "AGPL-3.0")
    loaded = torch.load(found.path, weights_only=True)["model"]
    for name, tensor in find_model(theirs).detector().state_dict().items():
        assert torch.equal(loaded[name], tensor), name
        assert tensor.dtype in (torch.float32, torch.int64)
    said = describe(found.path, checkpoint)
    assert said["epoch"] is None
    assert "of another program, not validated here" in said["weights"]


def test_its_settings_are_theirs_where_they_are_ours_too(theirs: Path):
    checkpoint = find_model(theirs).checkpoint
    assert checkpoint is not None
    settings = checkpoint.settings
    assert (settings["imgsz"], settings["lr0"], settings["optimizer"], settings["box"]) == (96, 0.003, "SGD", 7.0)
    assert settings["max_det"] == 123
    assert settings["mosaic"] == 1.0, "what makes no sense is left at its default"
    assert settings["batch"] == 16
    assert settings["project"] != "/somewhere", "where files lay there says nothing of the model"
    assert settings["data"] == "theirs/data.yaml"


def test_bare_tensors_need_names(tmp_path: Path, detector: Detector, write_foreign: Any):
    torch.save(detector.state_dict(), tmp_path / "bare.pt")
    quiet: dict[str, Any] = {"observer": lambda event: None}
    with pytest.raises(ModelFileError, match=r"write names=\[\.\.\.\], 2 of them"):
        import_model(tmp_path / "bare.pt", tmp_path / "a.pt", **quiet)
    with pytest.raises(ModelFileError, match="names has 3, and its weights are for 2 classes"):
        import_model(tmp_path / "bare.pt", tmp_path / "a.pt", names="[a,b,c]", **quiet)
    found = import_model(tmp_path / "bare.pt", tmp_path / "a.pt", names="[10, 9]", imgsz=64, **quiet)
    assert found.names == ("10", "9"), "in the order that they were given in"
    assert (found.imgsz, find_model(found.path).names) == (64, ("10", "9"))


def test_what_can_not_be_imported_is_refused(theirs: Path, tmp_path: Path, detector: Detector):
    quiet: dict[str, Any] = {"observer": lambda event: None}
    found = import_model(theirs, tmp_path / "ours.pt", **quiet)
    for given, to, words in (
        (theirs, "ours.pt", "is there already"),
        (found.path, "other.pt", "is a checkpoint of Peakmark already"),
        ("yolov8n.yaml", "other.pt", "an architecture without weights"),
        (tmp_path / "none.pt", "other.pt", "there is no such file"),
    ):
        with pytest.raises(ModelFileError, match=words):
            import_model(given, tmp_path / to, **quiet)
    with pytest.raises(ModelFileError, match="another file"):
        import_model(theirs, tmp_path / "other.pt", sha256="0" * 64, **quiet)
    with pytest.raises(SettingsError, match="downlaod"):
        import_model(theirs, tmp_path / "other.pt", downlaod=True, **quiet)
    assert not (tmp_path / "other.pt").exists()


def test_each_setting_of_an_import_has_a_test_of_its_effect():
    """`to`, `names`, `imgsz` and `sha256` above; `download` in test_known_models.py."""
    assert set(settings_of(ImportSettings)) == {"to", "names", "imgsz", "sha256", "download"}
