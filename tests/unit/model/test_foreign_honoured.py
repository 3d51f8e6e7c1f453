"""What another program's file does otherwise and still comes to the same is honoured; outputs prove it."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies
from tests.files_by_hand import fuse_foreign
from torch import nn

from peakmark.errors import ModelFileError
from peakmark.model.detector import Detector, build_detector, decode, detector_from_weights
from peakmark.model.foreign.bare_tensors import in_our_names
from peakmark.model.foreign.names import foreign_names
from peakmark.model.foreign.reading import ForeignModel, read_foreign_model, read_foreign_safetensors
from peakmark.model.scales import SCALES

NAMES = {0: "cat", 1: "dog"}
BOXES_PX, SCORES = 1e-3, 1e-5
IMAGES = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def detector() -> Detector:
    """One whose norms matter: statistics and scales as after a training, exact in float16."""
    model = build_detector(SCALES["yolov8t"], len(NAMES), seed=5)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for turn, norm in enumerate(norms):
            channels = torch.arange(norm.num_features)
            norm.weight.copy_(0.75 + (channels + turn) % 4 / 8)
            norm.bias.copy_((channels + turn) % 5 / 16 - 0.125)
            norm.momentum = 1.0
        model.train()(IMAGES)
        for norm in norms:
            norm.momentum = 0.03
            norm.running_var.clamp_(min=0.03)  # type: ignore[union-attr]
        for branch in (*model.head.box, *model.head.cls):
            # Neither all bins nor all classes are sure: rounding in the last digit is no difference then.
            branch[-1].weight.mul_(0.3)
            branch[-1].bias.zero_()
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half())
    return model.eval()


def outputs(model: Detector) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        return decode(model.eval()(IMAGES))


def read_back(foreign: ForeignModel) -> Detector:
    return detector_from_weights(foreign.scale, foreign.weights)


def assert_equal_outputs(one: Detector, other: Detector) -> None:
    (boxes, scores), (other_boxes, other_scores) = outputs(one), outputs(other)
    torch.testing.assert_close(boxes, other_boxes, atol=BOXES_PX, rtol=0)
    torch.testing.assert_close(scores, other_scores, atol=SCORES, rtol=0)


def assert_other_outputs(one: Detector, other: Detector) -> None:
    assert (outputs(one)[1] - outputs(other)[1]).abs().max() > 10 * SCORES


def test_a_fused_file_gives_the_outputs_of_the_one_before(tmp_path: Path, write_foreign: Any, detector: Detector):
    foreign = read_foreign_model(write_foreign(tmp_path / "fused.pt", detector, NAMES, _fused_in_float32))
    assert_equal_outputs(read_back(foreign), detector)
    assert "were folded into them (a fused file)" in foreign.notes[0]
    blank = copy.deepcopy(detector)
    nn.init.zeros_(blank.backbone.stem.norm.bias)  # type: ignore[arg-type]
    assert_other_outputs(blank, detector)


def _fused_in_float32(root: Any) -> None:
    fuse_foreign(root)
    root.half = lambda: root.__dict__.pop("half") and root  # as it is: rounded, folded weights differ more


@pytest.mark.parametrize("name", ["forward_fuse_split", "forward"])
def test_a_block_that_lacks_its_norm_and_calls_something_else_is_refused(
    tmp_path: Path, write_foreign: Any, detector: Detector, name: str
):
    def change(root: Any) -> None:
        fuse_foreign(root)
        root.model[1].forward = root.model[0].forward_fuse if name == "forward" else name

    with pytest.raises(ModelFileError, match=r"model\.1\.bn is missing"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_norms_of_another_eps_give_what_they_gave(tmp_path: Path, write_foreign: Any, detector: Detector, eps: float):
    theirs = copy.deepcopy(detector)
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = eps
    assert_other_outputs(theirs, detector)
    foreign = read_foreign_model(write_foreign(tmp_path / "eps.pt", theirs, NAMES))
    assert_equal_outputs(read_back(foreign), theirs)
    assert f"another eps ({eps:g}, 0.001 here)" in foreign.notes[0]
    for name, tensor in theirs.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            assert torch.equal(foreign.weights[name], tensor), "statistics stay what was measured"


@pytest.mark.parametrize("momentum", [0.1, None])
def test_another_momentum_changes_no_output_and_is_said(
    tmp_path: Path, write_foreign: Any, detector: Detector, momentum: float | None
):
    def change(root: Any) -> None:
        root.model[5].bn.momentum = momentum

    foreign = read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))
    assert_equal_outputs(read_back(foreign), detector)
    assert foreign.notes[0].startswith("1 of its norms have another momentum")


def test_a_plain_file_has_nothing_to_be_said(tmp_path: Path, write_foreign: Any, detector: Detector):
    assert read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES)).notes == ()


def test_a_value_that_is_not_finite_is_refused(tmp_path: Path, write_foreign: Any, detector: Detector):
    def change(root: Any) -> None:
        root.model[3].conv.weight.data[0, 0, 0, 0] = float("nan")

    with pytest.raises(ModelFileError, match=r"model\.3\.conv\.weight holds values that are not finite"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


def test_the_average_goes_before_the_rest(tmp_path: Path, write_foreign: Any, detector: Detector):
    other = build_detector(SCALES["yolov8t"], 2, seed=9)
    kept: list[Any] = []
    write_foreign(tmp_path / "raw.pt", other, NAMES, kept.append)
    write_foreign(tmp_path / "both.pt", detector, NAMES, lambda root: kept.append(root))
    # `beside` takes the place of what is written otherwise: the average is the second model here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", _as_average(torch.save))
        write_foreign(tmp_path / "ema.pt", detector, NAMES)
    foreign = read_foreign_model(tmp_path / "ema.pt")
    assert foreign.origin.weights == "the running average (EMA)"
    assert_equal_outputs(read_back(foreign), detector)


def _as_average(save: Callable[..., None]) -> Callable[..., None]:
    return lambda said, path: save({**said, "ema": said["model"], "model": None}, path)


# --- bare tensors ----------------------------------------------------------------------------------------------------


def theirs_of(model: Detector) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    table = foreign_names(model)
    return {
        table[name]: tensor.reshape(1, -1, 1, 1) if name == "head.bins" else tensor for name, tensor in state.items()
    }


FORMS: dict[str, Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], object]] = {
    "ours": lambda ours, theirs: ours,
    "theirs": lambda ours, theirs: theirs,
    "in order": lambda ours, theirs: OrderedDict(theirs),
    "model inside": lambda ours, theirs: {"model": ours, "epoch": 3},
    "average first": lambda ours, theirs: {"model": {n: t + 1 for n, t in ours.items()}, "ema": theirs},
    "of several processes": lambda ours, theirs: {f"module.{name}": tensor for name, tensor in ours.items()},
    "of a wrapper": lambda ours, theirs: {"state_dict": {f"model.{name}": tensor for name, tensor in theirs.items()}},
    "float16": lambda ours, theirs: {n: t.half() if t.is_floating_point() else t for n, t in theirs.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_state_dicts_of_every_form_give_the_same_outputs(tmp_path: Path, detector: Detector, form: str):
    torch.save(FORMS[form](detector.state_dict(), theirs_of(detector)), tmp_path / "weights.pt")
    foreign = read_foreign_model(tmp_path / "weights.pt")
    assert foreign.names == ()
    assert_equal_outputs(read_back(foreign), detector)
    assert any("names say nothing of activations" in note for note in foreign.notes) == (
        form not in ("ours", "model inside", "of several processes")
    )


def test_bare_tensors_take_the_names_that_lie_beside_them(tmp_path: Path, detector: Detector):
    torch.save({"model": detector.state_dict(), "names": {0: "cat", 1: "dog"}}, tmp_path / "named.pt")
    assert read_foreign_model(tmp_path / "named.pt").names == ("cat", "dog")
    torch.save({"model": detector.state_dict(), "names": ["cat"]}, tmp_path / "one.pt")
    with pytest.raises(ModelFileError, match="names 1 classes, and its weights are for 2"):
        read_foreign_model(tmp_path / "one.pt")


def test_a_fused_state_dict_gives_the_same_outputs(detector: Detector):
    from peakmark.model.fuse import fused

    for weights in (fused(detector).state_dict(), theirs_of_fused(detector)):
        ours = in_our_names({f"x.{name}": tensor for name, tensor in weights.items()})
        assert ours is not None
        assert_equal_outputs(detector_from_weights(SCALES["yolov8t"], ours), detector)


def theirs_of_fused(model: Detector) -> dict[str, torch.Tensor]:
    from peakmark.model.fuse import fused

    table = foreign_names(model)
    end, new = ".conv.weight", ".conv.bias"
    table |= {ours.replace(end, new): theirs.replace(end, new) for ours, theirs in table.items() if ours.endswith(end)}
    return {table[name]: tensor for name, tensor in fused(model).state_dict().items()}


TENSORS = sorted(build_detector(SCALES["yolov8n"], 2, seed=0).state_dict())


@hypothesis.settings(
    max_examples=8, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(name=strategies.sampled_from(TENSORS), how=strategies.sampled_from(["gone", "more", "shape", "nan"]))
def test_a_state_dict_with_any_tensor_amiss_is_refused_by_its_name(tmp_path: Path, name: str, how: str):
    weights = dict(build_detector(SCALES["yolov8n"], 2, seed=0).state_dict())
    hypothesis.assume(how != "nan" or weights[name].is_floating_point())
    if how == "gone":
        del weights[name]
    elif how == "more":
        weights[f"{name}.more"] = torch.zeros(1)
    elif how == "shape":
        weights[name] = torch.zeros(7, 7)
    else:
        weights[name] = torch.full_like(weights[name], float("nan"))
    torch.save(weights, tmp_path / "weights.pt")
    # Without the two by which it is known to be a detector, and which, it is none at all.
    with pytest.raises(ModelFileError, match=rf"{name}|holds no YOLOv8 detector|its first layer has|for 7 classes"):
        read_foreign_model(tmp_path / "weights.pt")


def test_safetensors_files_are_read_with_names_and_licence(tmp_path: Path, detector: Detector):
    safetensors = pytest.importorskip("safetensors.torch", reason="pip install peakmark[safetensors]")
    said = {"names": '{"0": "cat", "1": "dog"}', "license": "MIT"}
    safetensors.save_file(theirs_of(detector), tmp_path / "named.safetensors", metadata=said)
    foreign = read_foreign_safetensors(tmp_path / "named.safetensors")
    assert (foreign.names, foreign.origin.license) == (("cat", "dog"), "MIT")
    assert_equal_outputs(read_back(foreign), detector)
    safetensors.save_file(dict(detector.state_dict()), tmp_path / "bare.safetensors", metadata={"names": "[[["})
    assert read_foreign_safetensors(tmp_path / "bare.safetensors").names == ()
    whole = (tmp_path / "bare.safetensors").read_bytes()
    for number, broken in enumerate((b"", whole[:-1], b"\xff" * 16 + whole, whole[8:])):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(broken)
        with pytest.raises(ModelFileError, match="can't be read as a safetensors file"):
            read_foreign_safetensors(path)


def test_a_safetensors_file_with_holes_is_not_read(tmp_path: Path):
    pytest.importorskip("safetensors", reason="pip install peakmark[safetensors]")
    header = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (1 << 40, 1 << 40)
    with open(tmp_path / "holes.safetensors", "wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + (1 << 40))
    with pytest.raises(ModelFileError, match="at most 4,294,967,296 are read as a model"):
        read_foreign_safetensors(tmp_path / "holes.safetensors")


def test_a_missing_library_is_named_with_the_extra_that_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(
        ModelFileError, match=r"pip install 'peakmark\[safetensors\]', or in a checkout pip install '\.\[safetensors\]'"
    ):
        read_foreign_safetensors(tmp_path / "x.safetensors")


# --- what a file says of itself --------------------------------------------------------------------------------------


def test_what_the_file_says_of_itself_comes_along(tmp_path: Path, write_foreign: Any, detector: Detector):
    beside = {
        "epoch": -1, "license": "AGPL-3.0", "docs": "https://docs", "date": "2026-01-02", "version": "8.4",
        "train_args": {"epochs": 30, "imgsz": 320, "data": "theirs/data.yaml", "project": object},
        "train_results": {"epoch": [1, 2, 3]},
        "train_metrics": {"metrics/mAP50-95(B)": 0.25, "metrics/mAP50(B)": float("nan"), "fitness": 1},
    }  # fmt: skip
    origin = read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, **beside)).origin
    assert (origin.program, origin.version, origin.license) == ("Ultralytics", "8.4", "AGPL-3.0")
    assert (origin.epochs_done, origin.epochs, origin.finished) == (3, 30, True)
    assert origin.metrics == {"map50_95": 0.25}, "what is no number is not told as one"
    assert origin.data == "theirs/data.yaml"
    stopped = read_foreign_model(write_foreign(tmp_path / "last.pt", detector, NAMES, **{**beside, "epoch": 14})).origin
    assert (stopped.epochs_done, stopped.finished) == (15, False)


def test_what_a_stranger_wrote_is_shortened_and_obeyed_by_nothing(
    tmp_path: Path, write_foreign: Any, detector: Detector
):
    beside = {"license": "\x1b[2J" + "x" * 9000, "version": 8, "docs": ["a"], "epoch": 1 << 80, "train_args": 5}
    foreign = read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, **beside))
    assert foreign.origin.license is not None
    assert "\x1b" not in foreign.origin.license
    assert len(foreign.origin.license) < 300
    assert (foreign.origin.version, foreign.origin.docs, foreign.origin.epochs_done) == (None, None, None)
    assert foreign.train_args == {}
