"""Results: the words that YOLO users know, on boxes in px of the original picture."""

from __future__ import annotations

import csv
import io
import json

import cv2
import numpy as np
import pytest
import torch
from tests.unit.deploy.conftest import make_results

from peakmark.errors import DataError, MachineError


def test_the_box_formats(results):
    boxes = results.boxes
    assert boxes.xyxy.tolist() == [[20, 10, 60, 50], [100, 20, 200, 100]]
    assert boxes.xywh.tolist() == [[40, 30, 40, 40], [150, 60, 100, 80]]
    assert boxes.xyxyn.numpy() == pytest.approx(np.array([[0.1, 0.1, 0.3, 0.5], [0.5, 0.2, 1, 1]]))
    assert boxes.xywhn.numpy() == pytest.approx(np.array([[0.2, 0.3, 0.2, 0.4], [0.75, 0.6, 0.5, 0.8]]))
    assert boxes.conf.tolist() == [0.75, 0.5]
    assert boxes.cls.tolist() == [1, 0]
    assert boxes.data.shape == (2, 6)
    assert boxes.data.dtype == torch.float32


def test_boxes_as_users_walk_through_them(results):
    assert len(results) == len(results.boxes) == 2
    assert [results.names[int(box.cls)] for box in results.boxes] == ["WBC", "RBC"]
    assert [float(box.conf) for box in results.boxes] == [0.75, 0.5]
    assert results.boxes[1].xyxy[0].cpu().numpy().tolist() == [100, 20, 200, 100]
    assert results.boxes[-1].cls.tolist() == [0]
    assert len(results.boxes[results.boxes.conf > 0.6]) == 1
    assert len(results.boxes[0:1]) == 1
    with pytest.raises(IndexError):
        results.boxes[2]


def test_no_boxes_keep_their_shapes(nothing):
    boxes = nothing.boxes
    assert len(boxes) == 0
    assert list(boxes) == []
    assert [tuple(t.shape) for t in (boxes.xyxy, boxes.xywh, boxes.xyxyn, boxes.xywhn)] == [(0, 4)] * 4
    assert nothing.verbose() == "no detections"
    assert nothing.summary() == []
    assert nothing.to_json() == "[]"
    assert nothing.to_csv() == "name,class,confidence,x1,y1,x2,y2\n"
    assert (nothing.plot() == nothing.orig_img).all()


def test_what_was_found_in_words():
    found = make_results([[0, 0, 9, 9]] * 5, [0.9] * 5, [1, 0, 0, 0, 0])
    assert found.verbose() == "4 RBCs, 1 WBC"
    assert repr(found) == "Results(a.jpg: 200 x 100 px, 4 RBCs, 1 WBC)"


def test_a_name_in_the_plural_is_left_as_it_is():
    found = make_results([[0, 0, 9, 9]] * 2, [0.9] * 2, [0, 0])
    found.names = {0: "Platelets"}
    assert found.verbose() == "2 Platelets"


def test_path_and_shape(results, tmp_path):
    assert results.path == "a.jpg"
    assert results.orig_shape == (100, 200)
    assert make_results([], [], [], path=tmp_path / "b.jpg").path == str(tmp_path / "b.jpg")


def test_plot_draws_on_a_copy(results):
    before = results.orig_img.copy()
    plotted = results.plot()
    assert (results.orig_img == before).all()
    assert plotted.shape == before.shape
    assert plotted.dtype == np.uint8
    changed = (plotted != before).any(axis=2)
    assert changed[50, 20:60].all()  # the lower edge of the first box
    assert not changed[30, 30:50].any()  # its inside
    assert (results.plot() == plotted).all()


def test_plot_is_bgr(results):
    from peakmark.drawing.boxes import class_colour

    assert tuple(results.plot()[50, 40])[::-1] == tuple(class_colour(1))


def test_plot_options_have_an_effect(results):
    plain = results.plot()
    assert (results.plot(line_width=5) != plain).any()
    assert (results.plot(conf=False) != plain).any()
    assert (results.plot(labels=False) != results.plot(conf=False)).any()


def test_the_highest_confidence_lies_on_top():
    boxes = [[20, 10, 60, 50], [20, 10, 60, 50]]
    for order in ((0, 1), (1, 0)):
        both = make_results(boxes, [0.9, 0.3], order)
        alone = make_results(boxes[:1], [0.9], order[:1])
        assert (both.plot(conf=False)[50, 20:60] == alone.plot(conf=False)[50, 20:60]).all()


def test_json_and_summary(results):
    [first, second] = json.loads(results.to_json())
    box = {"x1": 20.0, "y1": 10.0, "x2": 60.0, "y2": 50.0}
    assert first == {"name": "WBC", "class": 1, "confidence": 0.75, "box": box}
    assert second["name"] == "RBC"
    assert json.loads(results.to_json(normalize=True))[1]["box"] == {"x1": 0.5, "y1": 0.2, "x2": 1.0, "y2": 1.0}


def test_csv(results):
    rows = list(csv.DictReader(io.StringIO(results.to_csv())))
    assert rows[0] == {
        "name": "WBC", "class": "1", "confidence": "0.75", "x1": "20.0", "y1": "10.0", "x2": "60.0", "y2": "50.0",
    }  # fmt: skip
    assert len(rows) == 2


def test_label_files(results, nothing, tmp_path):
    path = tmp_path / "new" / "a.txt"
    assert results.save_txt(path) == str(path)
    assert path.read_text() == "1 0.2 0.3 0.2 0.4\n0 0.75 0.6 0.5 0.8\n"
    results.save_txt(path, save_conf=True)
    assert path.read_text().splitlines()[0] == "1 0.2 0.3 0.2 0.4 0.75"
    nothing.save_txt(path)
    assert path.read_text() == ""


def test_save_writes_the_plot(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert results.save() == "results_a.jpg"
    assert (tmp_path / "results_a.jpg").exists()
    assert results.save(tmp_path / "deep" / "b.png") == str(tmp_path / "deep" / "b.png")
    assert (cv2.imread(str(tmp_path / "deep" / "b.png")) == results.plot()).all()


def test_save_never_replaces_the_source_and_names_a_wrong_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "a.jpg"
    source.write_bytes(b"the source")
    found = make_results([], [], [], path=source)
    with pytest.raises(DataError, match="Choose another name"):
        found.save("a.jpg")
    assert source.read_bytes() == b"the source"
    with pytest.raises(DataError, match=r"\.pdf"):
        found.save("b.pdf")
    with pytest.raises(MachineError, match=r"a\.jpg"):
        found.save("a.jpg/b.png")
