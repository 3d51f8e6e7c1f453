"""Does every setting of `export` and `benchmark` do what it declares? A table of checks, one for each.

What an order looks like is looked at here; that a file comes out as its order says, in tests/unit/export.
"""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from peakmark import YOLO
from peakmark.api import benchmark as benchmark_module
from peakmark.api.model import export as export_module
from peakmark.checkpoint.reader import read
from peakmark.errors import DataError, ModelFileError, SettingsError
from peakmark.settings.description import describe
from peakmark.settings.fields import BenchmarkSettings, ExportSettings


@pytest.fixture(scope="module")
def best(trained, tmp_path_factory):
    file = tmp_path_factory.mktemp("export") / "best.pt"
    shutil.copy(trained[0].best, file)
    return file


@pytest.fixture
def ordered(best, monkeypatch):
    """What would be written, and how it would be judged; nothing is."""

    def order(model=best, **settings):
        seen = SimpleNamespace()

        def instead(target, known, order, **rest):
            seen.__dict__.update(target=target, known=known, order=order, **rest)
            return SimpleNamespace(path=target)

        monkeypatch.setattr(export_module, "export_to", instead)
        YOLO(model).export(verbose=False, **settings)
        seen.options, seen.about = seen.order.options, seen.order.about
        return seen

    return order


def export_model(ordered, best, tmp_path, **_):
    other = tmp_path / "other.pt"
    shutil.copy(best, other)
    assert (ordered().target, ordered(other).target) == (best.with_name("best.onnx"), tmp_path / "other.onnx")


def export_format(ordered, **_):
    assert {name: ordered(format=name).target.name for name in ("onnx", "openvino", "ncnn")} == {
        "onnx": "best.onnx",
        "openvino": "best_openvino_model",
        "ncnn": "best_ncnn_model",
    }
    with pytest.raises(SettingsError, match="there is no such format"):
        ordered(format="nothing")


def export_data(ordered, best, tmp_path, **_):
    own = read(best).provenance["data"]["yaml"]
    assert str(ordered().judge.spec.yaml) == str(ordered(data=own).judge.spec.yaml) == own
    with pytest.raises(DataError):
        ordered(data=str(tmp_path / "none.yaml"))


def export_imgsz(ordered, **_):
    assert [ordered(**wish).about.side_px for wish in ({}, {"imgsz": 96}, {"imgsz": 100})] == [64, 96, 128]


def export_dynamic(ordered, **_):
    fixed, free = ordered(), ordered(dynamic=True)
    assert (fixed.about.square, fixed.about.batch, fixed.options.dynamic) == (True, 1, False)
    assert (free.about.square, free.about.batch, free.options.dynamic) == (False, None, True)


def export_batch(ordered, **_):
    assert ordered(batch=4).about.batch == ordered(batch=4).options.batch == 4
    with pytest.raises(SettingsError, match="ncnn doesn't know it"):
        ordered(batch=2, format="ncnn")


def export_half(ordered, **_):
    assert (ordered(half=True).options.half, ordered(half=True).about.precision) == (True, "float16")
    assert ordered(half=True).target.name == "best_half.onnx"


def export_int8(ordered, **_):
    assert (ordered(int8=True).options.int8, ordered(int8=True).about.precision) == (True, "int8")
    assert ordered(int8=True).target.name == "best_int8.onnx"
    with pytest.raises(SettingsError, match="choose one of the two"):
        ordered(int8=True, half=True)


def export_nms(ordered, **_):
    assert ordered().about.suppression is None
    assert ordered(nms=True).about.suppression == {"iou": 0.7, "max_det": 300}


def export_iou(ordered, **_):
    assert ordered(nms=True, iou=0.45).options.suppression.iou == 0.45


def export_max_det(ordered, **_):
    assert ordered(nms=True, max_det=20).options.suppression.max_detections == 20


def export_opset(ordered, **_):
    assert [ordered().options.opset, ordered(opset=20).options.opset] == [None, 20]
    with pytest.raises(SettingsError, match="opset"):
        ordered(opset=11)


def export_max_drop(ordered, **_):
    assert ordered(int8=True, max_drop=0.2).judge.wishes.max_drop == 0.2


def export_images(ordered, **_):
    counted = [
        len(judge._split(judge.trained).data.index) for judge in (ordered(images=2).judge, ordered(images=0).judge)
    ]
    assert counted[0] == 2 < counted[1]


def export_calibrate(ordered, **_):
    calibration = ordered(int8=True, calibrate=3).order.calibration
    assert len(calibration) == len(list(calibration)) == 3
    assert [image.shape for image in calibration] == [(1, 3, 64, 64)] * 3
    assert 0 <= min(image.min() for image in calibration) < max(image.max() for image in calibration) <= 1
    assert ordered().order.calibration is None


def export_workers(ordered, **_):
    judge = ordered(workers=1).judge
    assert judge._split(judge.trained).data.workers == 1


def export_verify(ordered, **_):
    judge = ordered(verify="fast").judge
    assert judge._split(judge.trained).wishes.verify == "fast"
    with pytest.raises(SettingsError, match="verify"):
        ordered(verify="never")


EXPORT = {name.removeprefix("export_"): check for name, check in list(globals().items()) if name.startswith("export_")}
EXPORT.pop("module")


@pytest.mark.parametrize("name", EXPORT)
def test_a_setting_of_export_does_what_it_declares(name, ordered, best, tmp_path):
    EXPORT[name](ordered=ordered, best=best, tmp_path=tmp_path)


def test_every_setting_of_export_has_an_entry():
    assert set(EXPORT) == set(describe(ExportSettings))


@pytest.fixture
def benchmarked(best, tmp_path, monkeypatch):
    """What would be tried, and with which settings; torch alone is timed."""

    def run(model=best, **settings):
        tried = []

        def instead(name, source, model, own, folder, images, reference):
            tried.append(SimpleNamespace(name=name, timed=images, **own))
            return benchmark_module.Timed(name, 0, None, 0.0, 0.0, None, None, None, None, None)

        monkeypatch.setattr(benchmark_module, "_tried", instead)
        settings = {"formats": "torchscript", "timed": 1, "project": str(tmp_path), **settings}
        return YOLO(model).benchmark(verbose=False, **settings), tried

    return run


def test_the_settings_of_benchmark_do_what_they_declare(benchmarked, best, tmp_path):
    found, (tried,) = benchmarked(
        imgsz=96, images=3, timed=2, calibrate=5, verify="fast", name="mine", data=read(best).provenance["data"]["yaml"]
    )
    assert (found.side_px, found.images, found.save_dir) == (96, 2, tmp_path / "mine")
    assert (tried.timed[0].shape, len(tried.timed)) == ((1, 3, 96, 96), 2)
    assert (tried.imgsz, tried.calibrate, tried.verify, tried.images) == (96, 5, "fast", 3)
    assert benchmarked(name="mine", exist_ok=True)[0].save_dir == tmp_path / "mine"
    assert benchmarked(name="mine")[0].save_dir.name == "mine3"  # the one before was renamed aside
    names = [each.name for each in benchmarked(formats="all")[1]]
    assert names == ["onnx", "onnx-int8", "torchscript", "openvino", "openvino-int8", "ncnn", "safetensors"]
    with pytest.raises(SettingsError, match="formats=nothing: there is no such format to try"):
        benchmarked(formats="onnx,nothing")
    with pytest.raises(ModelFileError, match="without trained weights"):
        benchmarked("yolov8n.yaml")
    done = {
        "model",
        "data",
        "imgsz",
        "formats",
        "images",
        "timed",
        "calibrate",
        "verify",
        "project",
        "name",
        "exist_ok",
    }
    assert done == set(describe(BenchmarkSettings))
