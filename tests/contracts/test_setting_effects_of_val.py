"""Has every setting of `val` an effect? Each has an entry here, and a setting without one fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from tests.calls import recorded
from tests.web_server import WebServer, data_on_a_server

from peakmark import YOLO
from peakmark.data.images import probe
from peakmark.data.loader import _made_ahead
from peakmark.errors import DataError, MachineError
from peakmark.geometry.views import AUGMENTED
from peakmark.settings.description import describe
from peakmark.settings.fields import ValSettings


@pytest.fixture
def val(eager, runs) -> Callable[..., Any]:
    def validate(model: Any = eager, **settings: Any) -> Any:
        usual = {"observer": _look_away, "project": runs, "plots": False, "workers": 0}
        return YOLO(model).val(**{**usual, **settings})

    return validate


def _look_away(event: object) -> None:
    pass


def known(results: Any) -> dict[str, float]:
    """The metrics that have a value: what is no number equals nothing, and would make any two differ."""
    return {name: value for name, value in results.metrics.items() if value == value}


def val_model(val, trained, **_):
    assert known(val()) != known(val(model=trained[0].best))


def val_data(val, write_set, tmp_path, **_):
    assert val(data=write_set(tmp_path / "other", val=5)).images == 5
    assert val().images == 19


def val_download(val, write_set, tmp_path, monkeypatch, **_):
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    with WebServer().running() as server:
        data = data_on_a_server(server, write_set, tmp_path)
        with pytest.raises(DataError, match="write download=True"):
            val(data=data)
        assert val(data=data, download=True).images == 2


def val_split(val, **_):
    assert val(split="train").images == 10


def val_imgsz(val, **_):
    assert known(val(imgsz=96)) != known(val())


def val_classes(val, **_):
    chosen = val(classes="red")
    assert 0 < chosen.truths == chosen.truths_per_class[1] < val().truths
    assert 0 < chosen.detections < val().detections


def val_bad_labels(val, write_set, tmp_path, **_):
    data = write_set(tmp_path / "worn")
    (tmp_path / "worn/labels/val/01.txt").write_text("0 0.5 0.5 0.2 1.7\n0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DataError, match="1 label line is wrong"):  # as the model was trained
        val(data=data)
    assert [val(data=data, bad_labels=how).images for how in ("drop", "drop_image")] == [19, 18]


def val_max_image_pixels(val, write_set, tmp_path, **_):
    data = write_set(tmp_path / "set")
    cv2.imwrite(str(data.parent / "images/val/00.png"), np.zeros((100, 100, 3), np.uint8))
    assert [val(data=data, max_image_pixels=most).images for most in (10_000, 9_999)] == [19, 18]


def val_conf(val, **_):
    assert 0 < val(conf=0.3).detections < val().detections


def val_iou(val, **_):
    assert 0 < val(iou=0.2).detections < val().detections


def val_max_det(val, **_):
    assert val(max_det=2).detections == 2 * 19 < val().detections


def val_agnostic_nms(val, **_):
    assert 0 < val(agnostic_nms=True, iou=0.2).detections < val(iou=0.2).detections
    assert val(agnostic_nms=True).protocol.endswith("agnostic_nms=True")


def val_augment(val, runs, **_):
    """Other detections, named in the protocol wherever that stands; the losses are of the image as it is."""
    usual, several = val(), val(augment=True)
    # As text: NaN equals itself there.
    assert repr(several.metrics) != repr(usual.metrics)
    assert several.losses == usual.losses
    assert several.protocol == f"{usual.protocol}, augment=True ({', '.join(map(str, AUGMENTED))})"
    assert json.loads((runs / "val2/metrics.json").read_text())["protocol"] == several.protocol
    unasked = val(augment=False)
    assert repr(unasked.metrics) == repr(usual.metrics)
    assert unasked.protocol == usual.protocol
    tight = val(augment=True, max_det=2, agnostic_nms=True)
    assert tight.detections == 2 * 19
    assert "max_det=2, agnostic_nms=True, augment=True (" in tight.protocol


def val_save_json(val, runs, **_):
    found = val(save_json=True)
    rows = json.loads((runs / "val/predictions.json").read_text())
    assert len(rows) == found.detections
    assert {row["image_id"] for row in rows} == set(range(19))  # 00.png to 18.png
    x, y, width, height = rows[0]["bbox"]
    assert min(x, y) >= 0
    assert 0 < width <= 64 - x
    assert 0 < height <= 64 - y
    assert rows[0]["category_id"] in (0, 1)
    assert rows[0]["file_name"].endswith("00.png")
    assert [row["score"] for row in rows if row["image_id"] == 0] == sorted(
        (row["score"] for row in rows if row["image_id"] == 0), reverse=True
    )


def val_save_txt(val, runs, **_):
    found = val(save_txt=True)
    files = sorted((runs / "val/labels").iterdir())
    assert [file.name for file in files] == [f"{n:02d}.txt" for n in range(19)]
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert len(lines) == found.detections
    assert {len(line.split()) for line in lines} == {5}
    assert all(0 <= float(value) <= 1 for value in lines[0].split()[1:])


def val_save_conf(val, runs, **_):
    val(save_txt=True, save_conf=True, conf=0.3)
    lines = [line for file in (runs / "val/labels").iterdir() for line in file.read_text().splitlines()]
    assert min(float(line.split()[5]) for line in lines) >= 0.3


def val_batch(val, monkeypatch, **_):
    calls: list[Any] = []
    monkeypatch.setattr("peakmark.data.loader._made_ahead", recorded(_made_ahead, calls))
    val(batch=3)
    val(batch=5)
    assert [images_ahead for *_, images_ahead in calls] == [6, 10]


def val_device(val, **_):
    with pytest.raises(MachineError, match="device=cuda:7"):
        val(device="cuda:7")


def val_workers(val, monkeypatch, **_):
    pools: list[Any] = []
    monkeypatch.setattr("peakmark.data.loader.ThreadPoolExecutor", recorded(ThreadPoolExecutor, pools))
    val(workers=0)
    val(workers=3)
    assert pools == [(3,)]


def val_verify(val, write_set, tmp_path, monkeypatch, **_):
    looks: list[Any] = []
    monkeypatch.setattr("peakmark.data.source.survey.probe", recorded(probe, looks))
    data, said = write_set(tmp_path / "fresh"), list[Any]()
    cv2.imwrite(str(data.parent / "images/val/00.png"), np.full((64, 64, 3), 1000, np.uint16))
    val(data=data, verify="fast", observer=said.append)
    assert {verify for _, verify, _ in looks} == {"fast"}
    # The index didn't decode it, so it is said once it was.
    assert sum("00.png: its 16 bits" in str(event) for event in said) == 1


def val_project(val, tmp_path, **_):
    val(project=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/val/metrics.json").is_file()


def val_name(val, runs, **_):
    val(name="mine")
    assert (runs / "mine/metrics.json").is_file()


def val_exist_ok(val, runs, **_):
    val()
    val(exist_ok=True)
    assert sorted(path.name for path in runs.iterdir()) == ["val", "val2"]
    val()
    assert (runs / "val3").is_dir()


def val_plots(val, runs, **_):
    val()
    val(plots=True)
    assert [path.name for path in (runs / "val").iterdir() if path.suffix in (".png", ".jpg", ".html")] == []
    assert (runs / "val2/confusion_matrix.png").is_file()
    assert "</html>" in (runs / "val2/val.html").read_text()


VAL_CHECKS = {name.removeprefix("val_"): check for name, check in list(globals().items()) if name.startswith("val_")}


@pytest.mark.parametrize("name", VAL_CHECKS)
def test_a_setting_of_val_does_what_it_declares(parts, val, name):
    VAL_CHECKS[name](val=val, **parts)


def test_every_setting_of_val_has_an_entry():
    assert set(VAL_CHECKS) == set(describe(ValSettings))
