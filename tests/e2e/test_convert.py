"""A data set is converted, looked at and trained on as a user would, at the command line and in Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.beside import BCCD
from tests.unit.data.formats.conftest import coco_content, coco_object, write_coco
from tests.web_server import WebServer

import peakmark
from peakmark import YOLO
from peakmark.data.web import known_sets
from peakmark.errors import DataError
from peakmark.events import Notice, Progress


def test_the_command_line_converts_counts_names_and_says_what_next(peakmark, tmp_path):
    objects = [coco_object(1), coco_object(2, bbox=[1, 1, 0, 4]), coco_object(3, category_id=9)]
    write_coco(tmp_path / "coco", coco_content(annotations=objects))
    words = ("convert", "from=coco", "source=coco", "to=yolo", "target=set")
    ended = peakmark(*words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["split", "images", "before", "after", "objects", "before", "after"]
    assert lines[1].split() == ["train", "2", "2", "3", "1"]
    assert "left out degenerate box  1 object" in ended.stdout
    assert "instances_train.json, annotations[1]: cat at (1, 1, 1, 5) has no extent (0 x 4 px)" in ended.stdout
    assert "instances_train.json, annotations[2]: category_id 9 is none of the categories" in ended.stdout
    assert lines[-1] == "Look at it next: peakmark audit data=set/data.yaml"
    assert "There is no val, which a training needs." in ended.stderr
    again = peakmark(*words, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.startswith("Error: ")
    assert "nothing is written over" in again.stderr
    ended = peakmark("convert", "source=set", "to=voc", "target=voc", "--json", cwd=tmp_path)
    assert json.loads(ended.stdout)["after"] == {"train": [2, 1]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("source=nowhere", "target=x"), "there is no such file or folder"),
        (("source=.", "target=x", "from=pascal"), "from=pascal can't be used; from is one of yolo, coco, voc, labelme"),
        (("target=x",), "source is missing"),
        (("source=.", "target=x", "frm=voc"), "frm is no setting; the nearest one is from: write from=voc"),
        (("source=.", "target=x"), "write from=... to say what it is"),
    ],
)
def test_mistakes_are_told_in_a_line(peakmark, tmp_path, words, said):
    ended = peakmark("convert", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_coco_folder_is_trained_on_and_resumed_as_it_is(tiny_data, train_in, runs, tmp_path, monkeypatch):
    peakmark.convert(tiny_data, tmp_path / "coco", to="coco")
    file = tmp_path / "coco/annotations/instances_train.json"
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    said: list[object] = []
    done = train_in(runs, data=file, epochs=1, observer=said.append)
    usual = train_in(runs, data=tiny_data, epochs=1)
    assert any("is COCO; it was converted to" in str(event) for event in said)
    # The same pictures and boxes in the same order: the very same run.
    digests = [run.summary["digests"]["training_weights"] for run in (done, usual)]
    assert digests[0] == digests[1]
    shutil.rmtree(tmp_path / "cache")
    again = YOLO().resume(done.save_dir, epochs=2, observer=lambda event: None)
    assert again.summary["epochs"] == 2
    assert YOLO(done.best).val(data=tmp_path / "coco", project=runs, plots=False).images == 19
    found = peakmark.audit(file, project=runs)
    assert found.data == str(file)


def test_what_a_notebook_of_the_field_writes_trains_where_there_is_a_network(tiny_data, tmp_path, runs, monkeypatch):
    """model.train(data="coco8.yaml", epochs=..., imgsz=..., val=True), its archive served by this machine."""
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    archive = shutil.make_archive(str(tmp_path / "coco8"), "zip", tiny_data.parent.parent, tiny_data.parent.name)
    known = known_sets.KNOWN_SETS["coco8.yaml"]
    call = {"data": "coco8.yaml", "epochs": 1, "imgsz": 32, "val": True, "project": runs, "plots": False}
    with WebServer().running() as server:
        url = server.put("/coco8.zip", Path(archive).read_bytes())
        monkeypatch.setitem(
            known_sets.KNOWN_SETS, known.name, known_sets.KnownSet(known.name, url, known.train, known.val)
        )
        with pytest.raises(DataError, match="nothing is fetched unasked: write download=True"):
            YOLO("yolov8t.yaml").train(**call, observer=lambda event: None)
        done = YOLO("yolov8t.yaml").train(**call, download=True, observer=lambda event: None)
    assert done.best is not None
    assert YOLO(done.best).val(project=runs, plots=False).images == 19  # from the cache: the server is gone
    gate = peakmark.gate(done.best, require="map50_95>=0", observer=lambda event: None)
    assert gate.passed


def test_progress_and_notes_are_told_to_who_watches(tiny_data, tmp_path):
    said: list[object] = []
    done = peakmark.convert(tiny_data, tmp_path / "out", to="voc", split=[0.5, 0.25, 0.25], observer=said.append)
    progress = [event for event in said if isinstance(event, Progress)]
    for what in ("reading", "looking for what belongs together", "writing"):
        assert [event for event in progress if event.what == what][-1].done == 29
    assert [event.text for event in said if isinstance(event, Notice)] == list(done.notes)
    assert sum(images for images, _ in done.after.values()) == 29


@pytest.mark.skipif(not BCCD.exists(), reason="the blood-cell data set is not beside this checkout")
def test_an_audit_of_the_converted_bccd_finds_what_one_of_its_labels_finds(tmp_path):
    peakmark.convert(
        BCCD / "annotations-voc", tmp_path / "set", images=BCCD / "images", names=["RBC", "WBC", "Platelets"]
    )
    theirs, ours = (
        peakmark.audit(data, project=tmp_path / "runs") for data in (BCCD / "data.yaml", tmp_path / "set/data.yaml")
    )
    assert ours.objects == theirs.objects == {"train": 2804, "val": 1137, "test": 945}
    assert [finding.kind for finding in ours.findings] == [finding.kind for finding in theirs.findings]
    assert ours.severity != "high"
