"""Another program's model is imported only where its layers compute what ours do; names of tensors prove nothing."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peakmark.errors import ModelFileError
from peakmark.model.detector import Detector, build_detector
from peakmark.model.foreign.reading import read_foreign_model
from peakmark.model.scales import SCALES

NAMES = {0: "cat", 1: "dog"}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(SCALES["yolov8n"], len(NAMES), seed=5)


def _of_program(name: str) -> nn.Module:
    module, _, short = f"ultralytics.nn.modules.{name}".rpartition(".")
    made: nn.Module = type(short, (nn.Module,), {"__module__": module})()
    return made


def _renamed(module: nn.Module, name: str) -> nn.Module:
    """The same in everything but its class."""
    made = _of_program(name)
    made.__dict__.update(module.__dict__)
    return made


def _put(path: str, child: nn.Module) -> Callable[[Any], None]:
    def change(root: nn.Module) -> None:
        owner, _, name = path.rpartition(".")
        root.get_submodule(owner)._modules[name] = child

    return change


def _say(path: str, **attributes: Any) -> Callable[[Any], None]:
    def change(root: nn.Module) -> None:
        root.get_submodule(path).__dict__.update(attributes)

    return change


def _other_order(root: nn.Module) -> None:
    branch = root.get_submodule("model.22.cv2.0")
    branch._modules = {name: branch._modules[name] for name in ("1", "0", "2")}


def _with_hook(root: nn.Module) -> None:
    hooks = root.get_submodule("model.4")._forward_hooks
    hooks[0] = _kept_in_the_file


def _kept_in_the_file(*_: Any) -> None:
    pass


def _without_act(root: nn.Module) -> None:
    del root.get_submodule("model.0")._modules["act"]


def _two_activations(root: nn.Module) -> None:
    root.get_submodule("model.15.cv1")._modules["again"] = nn.SiLU()


def _shared_activation(root: nn.Module) -> None:
    act = nn.SiLU(inplace=True)
    for module in root.modules():
        if "act" in module._modules:
            module._modules["act"] = act


def _same(root: nn.Module) -> None:
    pass


@pytest.mark.parametrize("scale", ["yolov8n", "yolov8m"])
@pytest.mark.parametrize("names", [NAMES, ["cat", "dog"]])
def test_a_plain_model_is_imported(tmp_path: Path, write_foreign: Any, scale: str, names: Any):
    ours = build_detector(SCALES[scale], len(NAMES), seed=5)
    found = read_foreign_model(write_foreign(tmp_path / "peer.pt", ours, names))
    assert (found.scale.name, found.names) == (scale, ("cat", "dog"))
    for name, tensor in ours.state_dict().items():
        assert torch.equal(found.weights[name], tensor.half().float() if tensor.is_floating_point() else tensor), name


@pytest.mark.parametrize(
    "change",
    [
        _shared_activation,
        _say("model.9", n=3, add=False),
        _say("model.2", f=1),
        _say("model.12", f=[11]),
        _say("model.9.m", kernel_size=(5, 5), padding=[2, 2]),
        _say("model.22", export=True, max_det=300, shape=(1, 3), end2end=False),
        _say("", args={"imgsz": 640}, task="detect", criterion=None),
    ],
)
def test_what_changes_nothing_is_imported(tmp_path: Path, write_foreign: Any, detector: Detector, change: Any):
    assert read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change)).names == ("cat", "dog")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_put("model.9.cv1.act", nn.Identity()), "model.9.cv1.act is Identity instead of SiLU"),
        (_put("model.22.cv3.1.0.act", nn.ReLU()), "model.22.cv3.1.0.act is ReLU instead of SiLU"),
        (_without_act, "model.0.act is missing, a SiLU"),
        (_two_activations, "model.15.cv1.again is a SiLU too many"),
        *((_say("model.5.bn", eps=eps), f"model.5.bn has eps {eps}") for eps in (0.0, -1e-3, 2.0, True, None)),
        (_say("model.5.bn", eps=float("nan")), "model.5.bn has eps nan"),
        (_say("model.5.bn", momentum="all"), "model.5.bn has momentum 'all' instead of 0.03"),
        (_say("model.5.bn", track_running_stats=False), "model.5.bn has track_running_stats False instead of True"),
        (_say("model.16.conv", stride=(1, 1)), r"model.16.conv has stride \(1, 1\) instead of \(2, 2\)"),
        (_say("model.0.conv", padding=(0, 0)), r"model.0.conv has padding \(0, 0\) instead of \(1, 1\)"),
        (_say("model.0.conv", padding="same"), "model.0.conv has padding 'same'"),
        (_say("model.1.conv", dilation=(2, 2)), "model.1.conv has dilation"),
        (_say("model.1.conv", padding_mode="reflect"), "model.1.conv has padding_mode 'reflect' instead of 'zeros'"),
        (_say("model.2.m.0", add=False), "model.2.m.0 has add False instead of True"),
        (_say("model.12.m.0", add=True), "model.12.m.0 has add True instead of False"),
        (_say("model.9", add=True), "model.9 has add True instead of False"),
        (_say("model.9", n=2), "model.9 has n 2 instead of 3"),
        (_say("model.9.m", kernel_size=3, padding=1), "model.9.m has kernel_size 3 instead of 5"),
        (_say("model.9.m", ceil_mode=True), "model.9.m has ceil_mode True"),
        (_say("model.10", mode="bilinear"), "model.10 has mode 'bilinear' instead of 'nearest'"),
        (_say("model.13", scale_factor=4.0), "model.13 has scale_factor 4.0 instead of 2"),
        (_say("model.11", d=2), "model.11 has d 2 instead of 1"),
        (_say("model.11", f=[-1, 4]), r"model.11 has f \(10, 4\) instead of \(10, 6\)"),
        (_say("model.3", f=1), r"model.3 has f \(1\) instead of \(2\)"),
        (_say("model.22", f=[18, 15, 21]), "model.22 has f"),
        (_say("model.22", reg_max=8), "model.22 has reg_max 8 instead of 16"),
        (_say("model.22", stride=torch.tensor([4.0, 8.0, 16.0])), r"model.22 has stride \(4.0, 8.0, 16.0\) instead"),
        (_say("model.22", end2end=True), "model.22 has end2end True instead of False"),
        (_say("model.22.dfl", c1=8), "model.22.dfl has c1 8 instead of 16"),
        (_say("model.4", scale=0.5), "model.4 has 'scale' 0.5, which is unknown here"),
        (_say("model.4", forward="fused"), "computes by a function of its own"),
        (_with_hook, "model.4 runs a function of its own besides"),
        (_other_order, "model.22.cv2.0 runs its layers in another order"),
        (lambda root: _put("model.0", _renamed(root.model[0], "conv.Conv2"))(root), "model.0 is Conv2 instead of Conv"),
        (lambda root: _put("model.2", _renamed(root.model[2], "block.C2fx"))(root), "model.2 is C2fx instead of C2f"),
    ],
)
def test_what_computes_otherwise_is_refused_by_layer(
    tmp_path: Path, write_foreign: Any, detector: Detector, monkeypatch: pytest.MonkeyPatch, change: Any, said: str
):
    file = write_foreign(tmp_path / "peer.pt", detector, NAMES, change)
    with pytest.raises(ModelFileError, match=rf"peer\.pt can't be imported .*8\.0\.0.* otherwise than yolov8n.*{said}"):
        read_foreign_model(file)


def test_equal_names_in_an_unknown_program_prove_nothing(tmp_path: Path, write_foreign: Any, detector: Detector):
    def change(root: Any) -> None:
        module = types.ModuleType("fork_of_it")
        kind: Any = type("Conv", (nn.Module,), {"__module__": "fork_of_it"})
        module.Conv = kind  # type: ignore[attr-defined]
        pytest.MonkeyPatch().setitem(__import__("sys").modules, "fork_of_it", module)
        made = kind()
        made.__dict__.update(root.model[0].__dict__)
        root.model._modules["0"] = made

    with pytest.raises(ModelFileError, match=r"model\.0 is fork_of_it\.Conv instead of Conv"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


def test_bins_that_are_not_counted_from_0_are_refused(tmp_path: Path, write_foreign: Any, detector: Detector):
    def change(root: Any) -> None:
        root.model[22].dfl.conv.weight.data += 1

    with pytest.raises(ModelFileError, match=r"its bins of distances \(model.22.dfl.conv.weight\) are not 0 to 15"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


def test_many_differences_are_counted(tmp_path: Path, write_foreign: Any, detector: Detector):
    def change(root: nn.Module) -> None:
        for module in root.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.affine = False

    with pytest.raises(ModelFileError, match=r"model.0.bn has affine False instead of True; .*; and 54 more"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ultralytics.nn.tasks.SegmentationModel", "holds a segmentation model"),
        ("ultralytics.nn.tasks.PoseModel", "holds a pose model"),
        ("ultralytics.nn.tasks.OBBModel", "holds a model of rotated boxes"),
        ("ultralytics.nn.tasks.ClassificationModel", "holds a classification model"),
        ("ultralytics.nn.tasks.RTDETRDetectionModel", "holds an RT-DETR model"),
    ],
)
def test_another_task_is_refused_by_name(tmp_path: Path, write_foreign: Any, detector: Detector, kind: str, said: str):
    def change(root: nn.Module) -> nn.Module:
        module, _, short = kind.rpartition(".")
        made: nn.Module = type(short, (nn.Module,), {"__module__": module})()
        made.__dict__.update(root.__dict__)
        return made

    with pytest.raises(ModelFileError, match=rf"peer\.pt {said}.*Peakmark imports YOLOv8 detectors"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


@pytest.mark.parametrize(
    ("layer", "family"), [("block.C3k2", "YOLO11"), ("block.SPPELAN", "YOLOv9"), ("block.C3", "YOLOv5")]
)
def test_another_family_is_refused_by_name(
    tmp_path: Path, write_foreign: Any, detector: Detector, layer: str, family: str
):
    def change(root: Any) -> None:
        root.yaml = {"yaml_file": "somewhere/own-model.yaml"}
        root.model._modules["2"] = _renamed(root.model[2], layer)

    with pytest.raises(ModelFileError, match=rf"holds own-model, of {family}.*{layer.rpartition('.')[2]}"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


def test_a_fused_model_is_refused_by_what_it_has_and_lacks(tmp_path: Path, write_foreign: Any, detector: Detector):
    def change(root: nn.Module) -> None:
        for module in root.modules():
            if "bn" in module._modules:
                del module._modules["bn"]

    with pytest.raises(ModelFileError, match=r"model.0.bn is missing, a BatchNorm2d"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


def test_another_width_is_refused_by_its_channels(tmp_path: Path, write_foreign: Any, detector: Detector):
    def change(root: Any) -> None:
        root.model[0].conv.weight = nn.Parameter(torch.zeros(24, 3, 3, 3))

    with pytest.raises(ModelFileError, match=r"another architecture.*has 24 channels, where these have 16, 32, 48"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, NAMES, change))


@pytest.mark.parametrize(
    "names", [{None: "cat", 0: "dog"}, {(0,): "cat", 1: "dog"}, {"0": "cat", 1: "dog"}, {True: "cat", 0: "dog"}, "ab"]
)
def test_names_by_other_keys_than_numbers_are_refused(
    tmp_path: Path, write_foreign: Any, detector: Detector, names: Any
):
    with pytest.raises(ModelFileError, match=r"holds no YOLOv8 detector with class names"):
        read_foreign_model(write_foreign(tmp_path / "peer.pt", detector, names))


def test_modules_in_themselves_and_without_end_are_refused(tmp_path: Path, write_foreign: Any, detector: Detector):
    def in_itself(root: Any) -> None:
        root.model[22]._modules["again"] = root

    def laughing(root: Any) -> None:
        inner = root.model[0]
        for _ in range(8):
            outer = nn.Sequential(*[nn.Identity() for _ in range(10)])
            outer._modules = {str(number): inner for number in range(10)}
            inner = outer
        root.model._modules["23"] = inner

    for change, said in ((in_itself, "nested deeper than"), (laughing, "has more than 5000 modules")):
        file = tmp_path / f"{change.__name__}.pt"
        made: list[Any] = []

        def keep(root: Any, change: Any = change, made: list[Any] = made) -> None:
            made.append(root)
            change(root)

        # `half()` would walk it for ever.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nn.Module, "half", lambda module: module)
            patch.setattr(nn.Module, "modules", lambda module: _unending(module, set()))
            write_foreign(file, detector, NAMES, keep)
        with pytest.raises(ModelFileError, match=said):
            read_foreign_model(file)


def _unending(module: nn.Module, seen: set[int]) -> Any:
    if id(module) not in seen:
        seen.add(id(module))
        yield module
        for child in module._modules.values():
            if child is not None:
                yield from _unending(child, seen)
