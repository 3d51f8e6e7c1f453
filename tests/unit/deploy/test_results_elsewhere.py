"""Results where people take them who come from other YOLO trainers: arrays, tables, crops, notebooks, other tools."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tests.unit.deploy.conftest import make_results, tracked

from peakmark.deploy.frames import Origin
from peakmark.deploy.results import ResultsList
from peakmark.errors import DataError, MachineError


def test_results_are_walked_through_as_boxes_are(results):
    assert len(results) == 2
    assert [one.verbose() for one in results] == ["1 WBC", "1 RBC"]
    assert results[1].boxes.xyxy.tolist() == [[100, 20, 200, 100]]
    assert results[results.boxes.conf > 0.6].verbose() == "1 WBC"
    assert results[0].orig_img is results.orig_img
    with pytest.raises(IndexError):
        results[2]


def test_what_other_tasks_have_is_none(results):
    assert (results.masks, results.keypoints, results.probs, results.obb) == (None, None, None, None)
    assert results.boxes.id is None
    assert results.boxes.is_track is False
    assert results.boxes.shape == (2, 6)


def test_numpy_has_the_same_numbers_in_every_format(results):
    arrays = results.cpu().numpy()
    names = ("xyxy", "xywh", "xyxyn", "xywhn", "conf", "cls", "data")
    for name in names:
        array = getattr(arrays.boxes, name)
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float32
        assert array.tolist() == getattr(results.boxes, name).tolist()
    assert arrays.boxes.numpy().cpu().shape == (2, 6)
    assert len(arrays.boxes[0]) == 1
    assert (arrays.plot() == results.plot()).all()
    assert arrays.to_json() == results.tojson() == results.to_json()
    assert isinstance(results.boxes.data, torch.Tensor)  # what they were made of is as it was
    assert arrays.to("cpu", torch.float64).boxes.data.dtype == torch.float64
    assert make_results([], [], []).numpy().boxes.xywhn.shape == (0, 4)


def test_crops_hold_what_is_in_the_box(tmp_path):
    found = make_results([[20, 10, 60, 50], [20.4, 10.6, 59.2, 49.1]], [0.75, 0.5], [1, 1])
    found.orig_img[10:50, 20:60] = (0, 0, 255)
    files = found.save_crop(tmp_path / "crops", "b.png")
    assert files == [str(tmp_path / "crops/WBC/b.jpg"), str(tmp_path / "crops/WBC/b2.jpg")]
    for file in files:  # the second is cut at whole px outside of its box
        crop = np.asarray(cv2.imread(file))
        assert crop.shape == (40, 40, 3)
        assert np.abs(crop.astype(int) - (0, 0, 255)).max() < 12


def test_crops_never_replace_a_file_nor_leave_their_folder(tmp_path):
    found = make_results(
        [[0, 0, 9, 9], [5, 5, 5, 5], [190, 90, 260, 130]], [0.9, 0.8, 0.7], [0, 1, 2], path=Path("a.png")
    )
    found.names = {0: "../../x", 1: "..", 2: "a/b"}
    first, second = (found.save_crop(tmp_path / "crops") for _ in range(2))
    assert len({*first, *second}) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops"]
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == ["0__.._x", "1_", "2_a_b"]
    assert [np.asarray(cv2.imread(file)).shape[:2] for file in first] == [(9, 9), (1, 1), (10, 10)]


TABLE_COLUMNS = ["name", "class", "confidence", "x1", "y1", "x2", "y2"]
TABLE_ROWS = [["WBC", 1, 0.75, 20.0, 10.0, 60.0, 50.0], ["RBC", 0, 0.5, 100.0, 20.0, 200.0, 100.0]]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_rows_as_a_data_frame(results, nothing, monkeypatch, library):
    pytest.importorskip(library, reason="optional: pip install 'peakmark[tables]'")
    table = results.to_df(library=library)
    assert type(table).__module__.partition(".")[0] == library
    assert list(table.columns) == TABLE_COLUMNS
    rows = table.values.tolist() if library == "pandas" else table.rows()
    assert [list(row) for row in rows] == TABLE_ROWS
    assert results.to_df(normalize=True, library=library)["x2"].to_list()[0] == 0.3
    empty = nothing.to_df(library=library)
    assert (list(empty.columns), len(empty)) == (TABLE_COLUMNS, 0)
    assert list(tracked(results).to_df(library=library)["track_id"].to_list()) == [7, 4]
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MachineError, match=f"pip install {library}"):
        results.to_df(library=library)


def test_tracked_objects_have_their_ids_everywhere(results, tmp_path):
    found = tracked(results)
    boxes = found.boxes
    assert boxes.is_track
    assert boxes.shape == (2, 7)
    assert boxes.id.tolist() == [7, 4]
    assert boxes.conf.tolist() == [0.75, 0.5]
    assert boxes.cls.tolist() == [1, 0]
    assert boxes[1].id.tolist() == found.numpy().boxes[1].id.tolist() == [4]
    assert boxes.xyxy.tolist() == results.boxes.xyxy.tolist()
    assert "id 7" in repr(boxes)
    assert [row["track_id"] for row in found.summary()] == [7, 4]
    assert [row["track_id"] for row in json.loads(found.to_json())] == [7, 4]
    assert found.to_csv().splitlines()[:2] == [
        "name,class,confidence,x1,y1,x2,y2,track_id", "WBC,1,0.75,20.0,10.0,60.0,50.0,7"
    ]  # fmt: skip
    found.save_txt(tmp_path / "a.txt", save_conf=True)
    results.save_txt(tmp_path / "b.txt", save_conf=True)
    lines, without = ((tmp_path / name).read_text().splitlines() for name in ("a.txt", "b.txt"))
    assert lines == [f"{line} {number}" for line, number in zip(without, (7, 4), strict=True)]
    assert (found.plot() != results.plot()).any()
    assert (found.plot(labels=False) == results.plot(labels=False)).all()
    assert not results.boxes.is_track
    assert results.boxes.id is None
    assert "track_id" not in results.summary()[0]


def test_coco_results_are_what_pycocotools_reads(results, tmp_path):
    from pycocotools.coco import COCO

    rows = replace(results, origin=Origin("000000000139.jpg", None, 0, 1)).to_coco()
    assert rows[0] == {"image_id": 139, "category_id": 1, "bbox": [20.0, 10.0, 40.0, 40.0], "score": 0.75}
    truths = {"images": [{"id": 139}], "categories": [{"id": 0}, {"id": 1}], "annotations": []}
    (tmp_path / "truths.json").write_text(json.dumps(truths))
    assert len(COCO(tmp_path / "truths.json").loadRes(rows).anns) == 2
    assert results.to_coco()[0]["image_id"] == "a"
    assert results.to_coco(image_id=5)[1]["image_id"] == 5


def test_a_labelme_file_leads_to_its_picture(results, nothing, tmp_path):
    (tmp_path / "images").mkdir()
    picture = tmp_path / "images/a.jpg"
    of_file = replace(results, origin=Origin("a.jpg", picture, 0, 1))
    of_file.save_labelme(tmp_path / "out/labelme/a.json")
    content = json.loads((tmp_path / "out/labelme/a.json").read_text())
    assert content["imagePath"] == "../../images/a.jpg"
    assert (content["imageHeight"], content["imageWidth"], content["imageData"]) == (100, 200, None)
    shapes = content["shapes"]
    assert [shape["label"] for shape in shapes] == ["WBC", "RBC"]
    assert shapes[0]["points"] == [[20.0, 10.0], [60.0, 50.0]]
    assert {shape["shape_type"] for shape in shapes} == {"rectangle"}
    assert shapes[0]["description"] == "confidence 0.750"
    assert shapes[0]["group_id"] is None
    assert sorted(path.name for path in tmp_path.rglob("*.jpg")) == []  # the picture is there already
    # Pixels without a file, and a frame of a video, lie beside it.
    tracked(nothing if len(nothing) else results).save_labelme(tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["imagePath"] == "b.jpg"
    assert np.asarray(cv2.imread(str(tmp_path / "b.jpg"))).shape == (100, 200, 3)
    assert [shape["group_id"] for shape in content["shapes"]] == [7, 4]


def test_show_hands_the_drawn_picture_to_a_viewer_or_says_where_it_is(results, monkeypatch, tmp_path):
    shown = []

    def view(image: Any, title: str) -> bool:
        shown.append((np.asarray(image), title))
        return True

    monkeypatch.setattr("PIL.ImageShow.show", view)
    monkeypatch.setenv("DISPLAY", ":0")
    results.show()
    [(pixels, title)] = shown
    assert title == "a.jpg"
    assert (pixels[..., ::-1] == results.plot()).all()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("PIL.ImageShow.show", lambda image, title: False)
    with pytest.warns(UserWarning, match=r"written to .*results_a\.jpg"):
        results.show()
    (tmp_path / "results_a.jpg").unlink()
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("PIL.ImageShow.show", lambda image, title: pytest.fail("no screen, no viewer"))
    with pytest.warns(UserWarning, match="no screen"):
        results.show()
    assert (tmp_path / "results_a.jpg").is_file()


def test_a_notebook_sees_pictures_of_a_sensible_size():
    large = make_results([[0, 0, 900, 900]], [0.9], [0], height=2000, width=3000, name="<b>.jpg")
    decoded = cv2.imdecode(np.frombuffer(large._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert np.asarray(decoded).shape == (853, 1280, 3)
    html = ResultsList([large] * 11)._repr_html_()
    assert html.count("<img") == html.count("data:image/jpeg;base64,") == 8
    assert "&lt;b&gt;.jpg: 1 RBC" in html
    assert "<b>" not in html
    assert "and 3 more" in html


def test_a_list_of_results_is_a_list_and_is_told_in_a_few_lines(results):
    several = ResultsList([results] * 200)
    assert isinstance(several, list)
    assert several[0] is results
    assert len(repr(several).splitlines()) == 9
    assert repr(several).endswith("and 192 more]")
    assert repr(ResultsList()) == "[]"


def test_boxes_are_told_in_a_few_lines():
    many = make_results([[0, 0, 9, 9]] * 300, [0.9] * 300, [1] * 300).boxes
    lines = repr(many).splitlines()
    assert len(lines) == 10
    assert lines[1] == "  class 1, 0.900, 0.0, 0.0, 9.0, 9.0"
    assert lines[-1] == "  and 292 more"


def test_supervision_takes_results_as_they_are(results, nothing, monkeypatch):
    """What `supervision.Detections.from_ultralytics` reads, by its own code; and our own way gives the same."""
    reason = "optional: make installs it without its video library, whose wheels have codecs under the GPL"
    supervision = pytest.importorskip("supervision", reason=reason)
    for found in (results, results.numpy(), tracked(results), tracked(results).numpy()):
        for taken in (supervision.Detections.from_ultralytics(found), found.to_supervision()):
            assert taken.xyxy.tolist() == found.boxes.xyxy.tolist()
            assert taken.class_id.tolist() == [1, 0]
            assert taken.confidence.tolist() == [0.75, 0.5]
            assert taken.data["class_name"].tolist() == ["WBC", "RBC"]
            assert (taken.tracker_id is None) is not found.boxes.is_track
            if found.boxes.is_track:
                assert taken.tracker_id.tolist() == [7, 4]
            assert taken.mask is None
            assert len(taken[taken.confidence > 0.6]) == 1
    assert len(supervision.Detections.from_ultralytics(nothing)) == len(nothing.to_supervision()) == 0
    taken = results.to_supervision()
    taken.xyxy += 1  # a copy: the results stay
    assert results.boxes.xyxy[0, 0] == 20


def test_without_supervision_it_is_said(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MachineError, match="pip install supervision"):
        results.to_supervision()


def test_plot_on_another_picture_without_boxes_or_as_a_pil_image(results):
    white = np.full((100, 200, 3), 255, np.uint8)
    on_white = results.plot(img=white)
    assert (on_white[30, 30] == 255).all()
    assert (on_white != 255).any()
    assert (white == 255).all()
    assert (results.plot(boxes=False) == results.orig_img).all()
    assert (np.asarray(results.plot(pil=True))[..., ::-1] == results.plot()).all()
    with pytest.raises(DataError, match=r"\(50, 200, 3\) can't stand for a picture of 100 x 200 x 3"):
        results.plot(img=white[:50])


def test_decimals_of_text():
    found = make_results([[1.23456, 2, 30, 40]], [0.98765], [0])
    assert found.summary(decimals=2)[0]["confidence"] == 0.99
    assert '"x1": 1.235' in found.to_json(decimals=3)
    assert found.to_csv(decimals=1).splitlines()[1] == "RBC,0,1.0,1.2,2.0,30.0,40.0"
