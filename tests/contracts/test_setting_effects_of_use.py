"""Has every setting of `val` and `predict` an effect? Each has an entry here, and a setting without one fails."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tests.contracts.test_setting_effects import data_on_a_server
from tests.web_server import WebServer

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.data.images import probe
from peakmark.data.loader import _made_ahead
from peakmark.errors import DataError, MachineError
from peakmark.geometry.views import AUGMENTED
from peakmark.model.predictor import Predictor
from peakmark.settings.description import describe
from peakmark.settings.fields import PredictSettings, TrackSettings, ValSettings


@pytest.fixture(scope="module")
def eager(trained, tmp_path_factory):
    """A checkpoint that finds something almost everywhere: thresholds have much to do."""
    checkpoint = read(trained[0].best)
    weights = {
        name: tensor + 3 if name.startswith("head.cls") and name.endswith("2.bias") else tensor
        for name, tensor in checkpoint.model.items()
    }
    file = tmp_path_factory.mktemp("eager") / "eager.pt"
    save(dataclasses.replace(checkpoint, model=weights), file)
    yield file
    file.unlink()


# --- val ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def val(eager, runs) -> Callable[..., Any]:
    def validate(model: Any = eager, **settings: Any) -> Any:
        usual = {"observer": _look_away, "project": runs, "plots": False, "workers": 0}
        return YOLO(model).val(**{**usual, **settings})

    return validate


def _look_away(event: object) -> None:
    pass


def recorded(function: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    """The function, with the arguments of each call written down."""

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **options)

    return call


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
    assert list((runs / "val").glob("*.png")) == []
    assert (runs / "val2/confusion_matrix.png").is_file()


VAL_CHECKS = {name.removeprefix("val_"): check for name, check in list(globals().items()) if name.startswith("val_")}


@pytest.fixture
def parts(runs, trained, tiny_data, write_set, tmp_path, monkeypatch) -> dict[str, Any]:
    """What a check may need."""
    return {
        "runs": runs, "trained": trained, "tiny_data": tiny_data, "write_set": write_set, "tmp_path": tmp_path,
        "monkeypatch": monkeypatch,
    }  # fmt: skip


@pytest.mark.parametrize("name", VAL_CHECKS)
def test_a_setting_of_val_does_what_it_declares(parts, val, name):
    VAL_CHECKS[name](val=val, **parts)


def test_every_setting_of_val_has_an_entry():
    assert set(VAL_CHECKS) == set(describe(ValSettings))


# --- predict --------------------------------------------------------------------------------------------------------


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


def predict_agnostic_nms(find, **_):
    assert 0 < _count(find(agnostic_nms=True, iou=0.2)) < _count(find(iou=0.2))


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


# --- track ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def moving(tmp_path):
    """Eight frames of a red square that moves 2 px each, gone in the fifth and sixth."""
    file = tmp_path / "moving.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 64))
    for frame in range(8):
        image = np.full((64, 64, 3), 90, np.uint8)
        if frame not in (4, 5):
            image[20:44, 10 + 2 * frame : 34 + 2 * frame] = (40, 40, 220)
        writer.write(image)
    writer.release()
    return file


SURE = {"track_high_thresh": 0.15, "new_track_thresh": 0.15, "match_thresh": 0.95, "max_det": 1}
"""What so small a model is sure of."""


@pytest.fixture
def tracked(trained, moving, runs) -> Callable[..., Any]:
    def track(source: Any = moving, **settings: Any) -> Any:
        return YOLO(trained[0].best).track(source, **{"project": runs, **SURE, **settings})

    return track


def _ids(results: Any) -> list[list[int]]:
    return [[int(number) for number in result.boxes.id.tolist()] for result in results]


def track_conf(tracked, **_):
    assert all(len(result.boxes) == 0 for result in tracked(conf=0.999))


def track_track_high_thresh(tracked, **_):
    assert _ids(tracked(track_high_thresh=1)) == [[]] * 8
    assert any(_ids(tracked()))


def track_new_track_thresh(tracked, **_):
    assert _ids(tracked(new_track_thresh=1)) == [[]] * 8


def track_track_buffer(tracked, **_):
    """The square is gone for two frames: it comes back as another object where that is too long."""
    assert [ids for ids in _ids(tracked()) if ids] == [[1]] * 6
    assert [ids for ids in _ids(tracked(track_buffer=1)) if ids] == [[1]] * 4 + [[2]]


def track_match_thresh(tracked, **_):
    """Nothing is matched but what lies exactly there with full confidence: each frame's objects are seen once."""
    assert _ids(tracked(match_thresh=0))[1] == []
    assert _ids(tracked())[1] != []


def track_name(tracked, runs, **_):
    tracked(save_csv=True)
    head, *rows = (runs / "track/predictions.csv").read_text().splitlines()
    assert head.endswith(",y2,track_id")
    assert {row.split(",")[-1] for row in rows} == {"1"}


TRACK_CHECKS = {
    name.removeprefix("track_"): check for name, check in list(globals().items()) if name.startswith("track_")
}


@pytest.mark.parametrize("name", TRACK_CHECKS)
def test_a_setting_of_track_does_what_it_declares(tracked, runs, name):
    TRACK_CHECKS[name](tracked=tracked, runs=runs)


def test_every_setting_that_track_has_of_its_own_has_an_entry():
    """The others are those of predict, and go the same way."""
    of_predict = describe(PredictSettings)
    own = {name for name, setting in describe(TrackSettings).items() if setting != of_predict.get(name)}
    assert set(TRACK_CHECKS) == own


def test_a_tracked_video_is_saved_with_its_ids_and_again_the_same(tracked, runs):
    for _ in range(2):
        found = tracked(save=True, save_json=True, save_txt=True)
    assert [ids for ids in _ids(found) if ids] == [[1]] * 6
    pages = [(runs / name / "predictions.json").read_text() for name in ("track", "track2")]
    assert pages[0] == pages[1]
    frames = json.loads(pages[0])
    assert [row["track_id"] for frame in frames for row in frame["detections"]] == [1] * 6
    assert [len(frame["detections"]) for frame in frames] == [1, 1, 1, 1, 0, 0, 1, 1]
    assert (runs / "track/labels/moving_1.txt").read_text().endswith(" 1\n")
    assert (runs / "track/moving.mp4").is_file()


def test_persist_goes_on_frame_by_frame(trained, moving):
    capture, model, ids = cv2.VideoCapture(str(moving)), YOLO(trained[0].best), []
    while (read := capture.read())[0]:
        ids += _ids(model.track(read[1], stream=True, persist=True, **SURE))
    assert [each for each in ids if each] == [[1]] * 6
    assert next(iter(_ids(model.track(source=str(moving), stream=True, **SURE)))) == [1]  # a new video begins anew
