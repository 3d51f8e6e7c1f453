"""Does every format compute what torch computes, carry what it says of itself, and refuse what isn't its own?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import peakmark
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.export.about import about_from
from peakmark.export.exported import open_exported, torch_runtime
from peakmark.export.format import Suppression
from peakmark.export.network import ExportedNetwork
from peakmark.export.parity import compare_outputs
from peakmark.export.registry import FORMATS, RUN_HERE, format_named, format_of
from peakmark.machine.streams import stream
from peakmark.model.detector import decode
from peakmark.model.fuse import fused

NEVER_RUN = sorted(FORMATS.keys() - set(RUN_HERE))


@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 96, 64), (1, 32, 160)])
def test_the_exported_network_is_the_detector_and_its_decoding(detector, shape):
    count, height, width = shape
    draws = stream(1, "images").uniform(0, 1, (count, 3, height, width)).astype(np.float32)
    images = torch.from_numpy(draws)
    with torch.inference_mode():
        found = ExportedNetwork(detector)(images)
        boxes, scores = decode(fused(detector)(images))
    centre, size = found[:, :2].mT, found[:, 2:4].mT
    assert torch.allclose(torch.cat((centre - size / 2, centre + size / 2), 2), boxes, atol=0.01)
    assert torch.allclose(found[:, 4:].mT, scores, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "wishes"),
    [
        ("onnx", {}),
        ("onnx", {"dynamic": True}),
        ("torchscript", {"dynamic": True}),
        ("openvino", {"dynamic": True}),
        ("ncnn", {}),
        ("safetensors", {"dynamic": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)
def test_float32_is_as_exact_as_another_order_of_additions(name, wishes, make_order, place, detector, images):
    order = make_order(**wishes)
    exported = open_exported(place(FORMATS[name], order), threads=1)
    assert exported.about == order.about
    batches = [images[:1]]
    if wishes:
        batches += [images, np.ascontiguousarray(images[:2, :, :32]), np.ascontiguousarray(images[:, :, :, :32])]
    apart = compare_outputs(exported.runtime, torch_runtime(detector), batches)
    assert apart.is_small, apart


SLOW = pytest.mark.slow


@pytest.mark.parametrize("name", ["onnx", pytest.param("openvino", marks=SLOW), pytest.param("ncnn", marks=SLOW)])
def test_half_changes_digits_and_no_more(name, make_order, place, detector, images):
    exported = open_exported(place(FORMATS[name], make_order(half=True)), threads=1)
    apart = compare_outputs(exported.runtime, torch_runtime(detector), [images[:1]])
    assert not apart.is_small  # else nothing was written in half
    assert apart.score < 0.02


@pytest.mark.parametrize("name", ["onnx", pytest.param("openvino", marks=SLOW)])
def test_int8_is_near_and_smaller(name, make_order, place, detector, images):
    path = place(FORMATS[name], make_order(int8=True))
    exported = open_exported(path, threads=1)
    apart = compare_outputs(exported.runtime, torch_runtime(detector), [images[:1]])
    assert 1e-4 < apart.score < 0.3
    files = [path] if path.is_file() else [each for each in path.iterdir() if each.suffix == ".bin"]
    assert sum(each.stat().st_size for each in files) < 0.45 * 4 * sum(p.numel() for p in detector.parameters())


@pytest.mark.parametrize("name", ["onnx", "torchscript", "safetensors"])
def test_a_file_holds_no_path_of_the_machine_that_wrote_it(name, make_order, place):
    content = place(FORMATS[name], make_order()).read_bytes()
    source = str(Path(peakmark.__file__).parent).encode()
    assert source not in content
    assert not re.search(rb"/(home|root|Users|site-packages)/", content)


@pytest.mark.slow
def test_equal_weights_give_equal_onnx_files(make_order, place, tmp_path, exports_of_torch):
    first = place(FORMATS["onnx"], make_order()).read_bytes()
    exports_of_torch.clear()
    assert place(FORMATS["onnx"], make_order()).read_bytes() == first


def test_other_programs_find_names_and_sizes_where_they_look(make_order, place):
    onnx = pytest.importorskip("onnx")
    said = {each.key: each.value for each in onnx.load(place(FORMATS["onnx"], make_order())).metadata_props}
    assert said["names"] == "{0: 'circle', 1: 'square', 2: 'triangle'}"
    assert (said["imgsz"], said["stride"], said["task"], said["batch"]) == ("[64, 64]", "32", "detect", "1")


def test_opset_is_that_of_the_file(make_order, place):
    onnx = pytest.importorskip("onnx")
    for opset, wishes in ((18, {}), (20, {"opset": 20})):
        model = onnx.load(place(FORMATS["onnx"], make_order(**wishes)))
        assert {each.domain: each.version for each in model.opset_import}[""] == opset


@pytest.mark.parametrize("name", RUN_HERE)
def test_a_damaged_file_is_refused_by_name(name, make_order, place):
    known = FORMATS[name]
    path = place(known, make_order())
    for file in [path] if path.is_file() else sorted(path.iterdir()):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(ModelFileError, match="best"):
        open_exported(path, threads=1)


@pytest.mark.parametrize("name", [name for name in RUN_HERE if not FORMATS[name].is_folder])
def test_a_file_that_only_has_the_ending_is_refused(name, tmp_path):
    path = tmp_path / f"best{FORMATS[name].ending}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelFileError, match="best"):
        open_exported(path, threads=1)


def test_torchscript_of_another_program_is_not_loaded(tmp_path):
    path = tmp_path / "theirs.torchscript"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path))
    with pytest.raises(ModelFileError, match="could run code"):
        open_exported(path, threads=1)


@pytest.mark.parametrize("name", NEVER_RUN)
def test_what_was_never_run_says_what_it_takes(name):
    with pytest.raises(MachineError, match="never written or run here: it takes"):
        format_named(name, {})


def test_every_format_refuses_the_options_it_does_not_know():
    values = {"dynamic": True, "half": True, "int8": True, "nms": True, "batch": 2, "opset": 18}
    for name in RUN_HERE:
        known = FORMATS[name]
        for option in values.keys() - known.options:
            with pytest.raises(SettingsError, match=f"^{option}=.*{name} doesn't know it"):
                format_named(name, {option: values[option]})
        assert format_named(name, {option: values[option] for option in known.options}) is known
        assert format_named(name, {"batch": 1, "dynamic": False, "opset": None}) is known


@pytest.mark.parametrize(("word", "meant"), [("onx", "onnx"), ("openvin", "openvino"), ("engin", "engine")])
def test_an_unknown_format_is_told_its_neighbour(word, meant):
    with pytest.raises(SettingsError, match=rf"there is no such format.*Did you mean {meant}\?"):
        format_named(word, {})


def test_a_missing_package_is_named_with_what_brings_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MachineError, match=r"needs onnx, onnxruntime, onnxscript, .*peakmark\[onnx\]"):
        format_named("onnx", {})


def test_a_format_is_told_by_its_ending(tmp_path):
    for name in RUN_HERE:
        path = FORMATS[name].target(tmp_path / "best.pt", type("O", (), {"int8": False, "half": False})())
        path.mkdir() if FORMATS[name].is_folder else path.touch()
        assert format_of(path) is FORMATS[name]
    assert format_of(tmp_path / "best_openvino_model" / "model.xml") is FORMATS["openvino"]
    assert format_of(tmp_path / "best.pt") is None
    assert format_of(tmp_path / "none_openvino_model") is None


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"version": 1}', '{"version": 2}', '{"version": 1, "names": 3}'])
def test_a_file_that_says_nonsense_of_itself_is_refused(text):
    with pytest.raises(ModelFileError, match=r"^best\.onnx .*export it again"):
        about_from(text, "best.onnx")


def test_what_a_file_says_comes_back_as_it_was(make_order):
    about = make_order(suppression=Suppression(0.5, 10)).about
    assert about_from(about.to_json(), "-") == about
    assert about_from(None, "-") is None


def test_quantising_tells_nobody():
    """In a process of its own: NNCF tells nobody where it sees pytest."""
    code = (
        "from peakmark.export.formats.openvino import _silent_nncf; _silent_nncf();"
        "from nncf.telemetry.wrapper import telemetry; import sys;"
        "print(type(telemetry).__name__, 'openvino_telemetry' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    sender, is_loaded = ended.stdout.split()
    assert sender != "NNCFTelemetry"  # what a plain import of it gives
    assert is_loaded == "False"
