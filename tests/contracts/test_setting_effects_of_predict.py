"""Has every setting of `predict` an effect? Each has an entry here, and a setting without one fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tests.calls import recorded

from peakmark import YOLO
from peakmark.errors import DataError, MachineError
from peakmark.model.predictor import Predictor
from peakmark.settings.description import describe
from peakmark.settings.fields import PredictSettings


@pytest.fixture
def find(eager, tiny_data, runs) -> Callable[..., Any]:
    """Predicts on one image of the set; gives the results."""

    def predict(source: Any = tiny_data.parent / "images/val/01.png", model: Any = eager, **settings: Any) -> Any:
        return YOLO(model).predict(source, **{"project": runs, "conf": 0.01, **settings})

    return predict


def _count(results: Any) -> int:
    return sum(len(result.boxes) for result in results)


def predict_model(find, trained, **_):
    assert find()[0].to_json() != find(model=trained[0].best)[0].to_json()


def predict_imgsz(find, **_):
    assert find()[0].to_json() != find(imgsz=96)[0].to_json()


def predict_max_image_pixels(find, tmp_path, **_):
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((100, 100, 3), np.uint8))
    assert len(find(tmp_path / "large.png", max_image_pixels=10_000)) == 1
    with pytest.raises(DataError, match="10,000 px, more than the 9,999"):
        find(tmp_path / "large.png", max_image_pixels=9_999)


def predict_conf(find, **_):
    assert 0 < _count(find(conf=0.3)) < _count(find())


def predict_iou(find, **_):
    assert 0 < _count(find(iou=0.2)) < _count(find())


def predict_max_det(find, **_):
    assert _count(find(max_det=1)) == 1


def predict_agnostic_nms(find, tiny_data, **_):
    images = tiny_data.parent / "images/val"
    assert 0 < _count(find(images, agnostic_nms=True, iou=0.2)) < _count(find(images, iou=0.2))


def predict_augment(find, tiny_data, video, **_):
    assert find(augment=False)[0].to_json() == find()[0].to_json() != find(augment=True)[0].to_json()
    assert set(find(augment=True, classes=[1])[0].boxes.cls.tolist()) == {1}
    assert _count(find(augment=True, max_det=1)) == 1
    assert len(find(video, augment=True)) == 7
    folder = tiny_data.parent / "images/val"  # of two shapes
    together = find(folder, augment=True, batch=8)
    alone = [find(file, augment=True, batch=8)[0] for file in sorted(folder.iterdir())]
    assert [found.boxes.data.tolist() for found in together] == [found.boxes.data.tolist() for found in alone]


def predict_save_crop(find, runs, **_):
    (found,) = find(save_crop=True, max_det=3)
    assert len(list((runs / "predict/crops").glob("*/01*.jpg"))) == len(found.boxes) > 0


def _without(find: Callable[..., Any], runs: Path, name: str) -> bytes:
    """What is saved with a part of the drawing left out, which must differ from all of it."""
    find(save=True, max_det=3, name="all")
    find(save=True, max_det=3, name="without", **{name: False})
    whole, less = ((runs / folder / "01.png").read_bytes() for folder in ("all", "without"))
    assert whole != less
    return less


def predict_show_boxes(find, runs, tiny_data, **_):
    bare = cv2.imdecode(np.frombuffer(_without(find, runs, "show_boxes"), np.uint8), cv2.IMREAD_COLOR)
    original = cv2.imdecode(np.fromfile(tiny_data.parent / "images/val/01.png", np.uint8), cv2.IMREAD_COLOR)
    assert bare is not None
    assert original is not None
    assert np.array_equal(bare, original)


def predict_show_labels(find, runs, **_):
    _without(find, runs, "show_labels")


def predict_show_conf(find, runs, **_):
    _without(find, runs, "show_conf")


def predict_classes(find, **_):
    assert set(find()[0].boxes.cls.tolist()) == {0, 1}
    assert set(find(classes=[1])[0].boxes.cls.tolist()) == {1}


def predict_batch(find, monkeypatch, tiny_data, **_):
    calls: list[Any] = []
    monkeypatch.setattr(Predictor, "__call__", recorded(Predictor.__call__, calls))
    find(tiny_data.parent / "images/train", batch=4)
    assert [len(images) for _, images in calls] == [4, 4, 2]
    # Unset: several as in validation, one by itself.
    calls.clear()
    find(tiny_data.parent / "images/train")
    find()
    assert [len(images) for _, images in calls] == [8, 2, 1]


def predict_vid_stride(find, video, **_):
    assert len(find(video)) == 7
    assert len(find(video, vid_stride=3)) == 3


def predict_tiles(find, tmp_path, tiny_data, **_):
    """A picture of four: in tiles of one's size what is found in each of them, and more than in one look at all."""
    picture = cv2.imread(str(tiny_data.parent / "images/val/01.png"))
    assert picture is not None
    cv2.imwrite(str(tmp_path / "four.png"), np.tile(picture, (2, 2, 1)))
    usual, tiled = find(tmp_path / "four.png", conf=0.3), find(tmp_path / "four.png", conf=0.3, tiles=64)
    assert _count(tiled) > _count(usual)
    assert torch.equal(find(tiles=64)[0].boxes.data, find()[0].boxes.data)  # one tile holds it
    assert torch.equal(find(tmp_path / "four.png", tiles=128)[0].boxes.data, find(tmp_path / "four.png")[0].boxes.data)


def predict_tile_overlap(find, tmp_path, monkeypatch, **_):
    calls: list[Any] = []
    monkeypatch.setattr(Predictor, "__call__", recorded(Predictor.__call__, calls))
    cv2.imwrite(str(tmp_path / "long.png"), np.zeros((64, 180, 3), np.uint8))
    for overlap in (0, 0.5):
        find(tmp_path / "long.png", tiles=64, tile_overlap=overlap, batch=16)
    assert [len(images) for _, images in calls] == [3, 1, 5, 1]


def predict_device(find, **_):
    with pytest.raises(MachineError, match="device=cuda:7"):
        find(device="cuda:7")


def predict_save(find, runs, **_):
    find(save=True)
    assert (runs / "predict/01.png").is_file()


def predict_save_txt(find, runs, **_):
    find(save_txt=True)
    assert len((runs / "predict/labels/01.txt").read_text().split("\n")[0].split()) == 5


def predict_save_conf(find, runs, **_):
    find(save_txt=True, save_conf=True)
    assert len((runs / "predict/labels/01.txt").read_text().split("\n")[0].split()) == 6


def predict_save_json(find, runs, **_):
    find(save_json=True)
    assert json.loads((runs / "predict/predictions.json").read_text())


def predict_save_csv(find, runs, **_):
    find(save_csv=True)
    assert len((runs / "predict/predictions.csv").read_text().splitlines()) > 1


def predict_save_labelme(find, runs, video, **_):
    find(save_labelme=True)
    shapes = json.loads((runs / "predict/labelme/01.json").read_text())["shapes"]
    assert {shape["label"] for shape in shapes} == {"light", "red"}
    find(video, save_labelme=True)
    assert len(list((runs / "predict2/labelme").glob("clip_*.jpg"))) == 7


def predict_line_width(find, runs, **_):
    find(save=True, line_width=1)
    find(save=True, line_width=5)
    assert (runs / "predict/01.png").read_bytes() != (runs / "predict2/01.png").read_bytes()


def predict_project(find, tmp_path, **_):
    find(save=True, project=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/predict/01.png").is_file()


def predict_name(find, runs, **_):
    find(save=True, name="mine")
    assert (runs / "mine/01.png").is_file()


def predict_exist_ok(find, runs, **_):
    find(save=True)
    find(save=True, exist_ok=True)
    find(save=True)
    assert sorted(path.name for path in runs.iterdir()) == ["predict", "predict2", "predict3"]


PREDICT_CHECKS = {
    name.removeprefix("predict_"): check for name, check in list(globals().items()) if name.startswith("predict_")
}


@pytest.fixture
def video(tmp_path):
    """Seven frames."""
    file = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 64))
    for frame in range(7):
        writer.write(np.full((64, 64, 3), 20 * frame, np.uint8))
    writer.release()
    return file


@pytest.mark.parametrize("name", PREDICT_CHECKS)
def test_a_setting_of_predict_does_what_it_declares(parts, find, video, name):
    PREDICT_CHECKS[name](find=find, video=video, **parts)


def test_every_setting_of_predict_has_an_entry():
    assert set(PREDICT_CHECKS) == set(describe(PredictSettings))
