"""What a run starts from: fresh weights, ours, or another program's, which are imported without running anything."""

from __future__ import annotations

import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from peakmark.errors import ModelFileError
from peakmark.model.detector import Detector, build_detector
from peakmark.model.foreign import foreign_names, read_foreign_model
from peakmark.model.scales import SCALES
from peakmark.train.start import ModelSource, find_model, starting_model

NAMES = ("cat", "dog")
FRESH = ModelSource("yolov8n.yaml", SCALES["yolov8n"])


@pytest.fixture(scope="module")
def trained() -> Detector:
    return build_detector(SCALES["yolov8n"], len(NAMES), seed=5)


@pytest.fixture
def foreign_class() -> Iterator[type]:
    """A class that can be pickled, as another program's would be; nothing of ours knows its module."""
    module = types.ModuleType("another_program")
    made: type = type("Module", (), {"__module__": "another_program"})
    module.Module = made  # type: ignore[attr-defined]
    sys.modules["another_program"] = module
    yield made
    del sys.modules["another_program"]


def _foreign_module(kind: type, tensors: dict[str, torch.Tensor], names: object) -> Any:
    """Builds the tree of modules that these names of tensors describe."""

    def module() -> Any:
        made = kind()
        made.__dict__.update(_parameters={}, _buffers={}, _modules={})
        return made

    root = module()
    root.names = names
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        place = root
        for part in path:
            place = place._modules.setdefault(part, module())
        place._parameters[last] = tensor
    return root


def _foreign_file(path: Path, kind: type, model: Detector, names: object) -> Path:
    table = foreign_names(model)
    tensors = {table[name]: tensor for name, tensor in model.state_dict().items()}
    tensors["model.22.dfl.conv.weight"] = tensors["model.22.dfl.conv.weight"].reshape(1, 16, 1, 1)
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 3, "ema": None, "model": _foreign_module(kind, half, names)}, path)
    return path


def test_foreign_weights_come_in_under_our_names(tmp_path: Path, trained: Detector, foreign_class: type):
    file = _foreign_file(tmp_path / "peer.pt", foreign_class, trained, {0: "cat", 1: "dog"})
    del sys.modules["another_program"].Module
    source = find_model(file)
    assert source.names == NAMES
    assert source.scale.name == "yolov8n"
    assert source.checkpoint is None
    assert source.weights is not None
    for name, tensor in trained.state_dict().items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(source.weights[name], expected), name


def test_a_run_from_foreign_weights_says_so(tmp_path: Path, trained: Detector, foreign_class: type):
    file = _foreign_file(tmp_path / "peer.pt", foreign_class, trained, ["cat", "dog"])
    for source, pretrained in ((find_model(file), None), (FRESH, str(file))):
        model, notes = starting_model(source, pretrained, ("dog", "bird"), seed=0)
        assert torch.equal(model.backbone.stem.conv.weight, trained.backbone.stem.conv.weight.half().float())
        assert "1 of 2 classes" in notes[0]
        assert notes[1].endswith("weights are imported, nothing in it was executed.")


@pytest.mark.parametrize("names", [None, {}, {1: "cat", 2: "dog"}, ["cat", 3], ["cat", "dog", "bird"]])
def test_foreign_files_that_do_not_fit_are_refused(tmp_path: Path, trained: Detector, foreign_class: type, names: Any):
    file = _foreign_file(tmp_path / "peer.pt", foreign_class, trained, names)
    with pytest.raises(ModelFileError, match=r"peer\.pt holds"):
        find_model(file)


def test_a_foreign_file_without_a_detector_is_refused(tmp_path: Path, foreign_class: type):
    torch.save({"model": foreign_class()}, tmp_path / "other.pt")
    with pytest.raises(ModelFileError, match=r"other\.pt holds no YOLOv8 detector"):
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
    model, notes = starting_model(FRESH, None, NAMES, seed=5)
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


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(ModelFileError, match="this is a folder"):
        find_model(tmp_path)
