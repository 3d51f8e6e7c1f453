"""What is broken, odd or hostile in a source is named by file and place, costs no more than itself, ends nothing."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.data.formats.conftest import (
    balanced,
    coco_content,
    coco_object,
    shape,
    voc_object,
    write_coco,
    write_image,
    write_labelme,
    write_voc,
)

from peakmark.data.formats.convert import Conversion, convert_set
from peakmark.data.formats.registry import FORMATS, recognised
from peakmark.data.formats.wishes import Wishes
from peakmark.errors import DataError

# --- VOC ------------------------------------------------------------------------------------------------------------

VOC_OBJECTS = {
    "zero extent": (voc_object(box=(10, 10, 10, 10)), "degenerate box"),
    "turned round": (voc_object(box=(30, 10, 10, 20)), "degenerate box"),
    "nan": (voc_object(box=("nan", 10, 10, 20)), "box that is no box"),
    "words": (voc_object(box=("ten", 10, 10, 20)), "box that is no box"),
    "empty edges": (voc_object(box=("", "", "", "")), "box that is no box"),
    "outside": (voc_object(box=(100, 10, 110, 20)), "box outside the image"),
    "no name": (voc_object(name="  "), "no class"),
    "no box": ("<object><name>cat</name></object>", "box that is no box"),
    "turned box": ("<object><name>cat</name><robndbox><cx>1</cx></robndbox></object>", "box that is no box"),
}


@pytest.mark.parametrize("case", VOC_OBJECTS)
def test_an_object_of_voc_that_can_t_be_taken_is_named_with_its_line(case, tmp_path):
    text, kind = VOC_OBJECTS[case]
    source = write_voc(tmp_path / "voc", {"a": ["\n" + voc_object(), "\n\n" + text]})
    annotated = FORMATS["voc"].read(source, Wishes())
    (entry,) = annotated.account.dropped
    assert entry.kind == kind
    assert entry.where.endswith("a.xml, line 4")
    assert [each.box_xyxy_px for image in annotated.images for each in image.objects] == [(10, 20, 30, 40)]
    assert balanced(annotated)


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'
BAD_XML: dict[str, tuple[bytes, str]] = {
    "entities": (BOMB.encode(), "declares a document type"),
    "file of the machine": (OUTSIDE.encode(), "declares a document type"),
    "external type": (b'<!DOCTYPE x SYSTEM "http://localhost/x.dtd"><annotation/>', "declares a document type"),
    "unknown entity": (b"<annotation>&a;</annotation>", "no XML"),
    "deep": (b"<annotation>" + b"<a>" * 100_000, "nested too deep"),
    "cut": (b"<annotation><object>", "no XML"),
    "empty": (b"", "no XML"),
    "text": (b"cat 1 2 3 4", "no XML"),
    "another root": (b"<html></html>", "not with <annotation>"),
    "bad bytes": (b"<annotation>\xff\xfe</annotation>", "no XML"),
    "unknown encoding": (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "encoding that can't be read"),
    "json": (b"{}", "no XML"),
}


@pytest.mark.parametrize("case", BAD_XML)
def test_a_file_that_is_no_voc_is_named_with_its_line_and_the_others_are_taken(case, tmp_path):
    content, reason = BAD_XML[case]
    source = write_voc(tmp_path / "voc", {"a": [voc_object()], "b": [voc_object()]})
    (source / "Annotations/a.xml").write_bytes(content)
    annotated = FORMATS["voc"].read(source, Wishes())
    (entry,) = annotated.account.dropped
    assert (entry.kind, Path(entry.where).name) == ("unreadable annotation", "a.xml")
    assert reason in entry.text
    assert entry.text.startswith("line ") or "encoding" in case
    assert [image.name for image in annotated.images] == ["b.png"]
    assert balanced(annotated)


def test_the_first_pixel_is_that_of_the_file_or_of_who_asks(tmp_path):
    plain = write_voc(tmp_path / "plain", {"a": [voc_object(box=(1, 1, 80, 60))]})
    challenge = write_voc(
        tmp_path / "challenge",
        {"a": [voc_object(box=(1, 1, 80, 60))]},
        more="<source><database>The VOC2007 Database</database></source>",
    )

    def box(source: Path, first_pixel: int | None = None) -> tuple[float, ...]:
        return FORMATS["voc"].read(source, Wishes(first_pixel=first_pixel)).images[0].objects[0].box_xyxy_px

    assert box(plain) == box(challenge, 0) == (1, 1, 80, 60)
    assert box(challenge) == box(plain, 1) == (0, 0, 80, 60)
    done = convert_set(plain, tmp_path / "out", target_format="voc", wishes=Wishes(first_pixel=1))
    assert "<xmin>1</xmin>" in (done.target / "Annotations/a.xml").read_text()
    assert box(done.target, 1) == (0, 0, 80, 60)


def test_lists_folders_and_images_of_voc_are_found_or_named(tmp_path):
    splits = {"train": ["a", "a"], "val": ["gone"], "trainval": ["b"]}
    source = write_voc(tmp_path / "voc", {"a": [voc_object()], "b": [voc_object()], "c": []}, splits=splits)
    annotated = FORMATS["voc"].read(source, Wishes())
    assert [(image.name, image.split) for image in annotated.images] == [("a.png", "train")]
    kinds = [entry.kind for entry in annotated.account.dropped]
    assert kinds == ["missing annotation", "image in no split", "image in no split"]
    assert [entry.kind for entry in annotated.account.changed] == ["image listed twice"]
    assert balanced(annotated)

    (source / "ImageSets/Main/train.txt").unlink()
    annotated = FORMATS["voc"].read(source, Wishes())
    assert [(image.name, image.split) for image in annotated.images] == [("b.png", "train")], "trainval stands in"

    stale = write_voc(tmp_path / "stale", {"a": [voc_object()]})
    text = (stale / "Annotations/a.xml").read_text().replace("a.png", "../../b.png")
    (stale / "Annotations/a.xml").write_text(text)
    assert FORMATS["voc"].read(stale, Wishes()).images[0].name == "a.png"
    (stale / "JPEGImages/a.png").unlink()
    assert FORMATS["voc"].read(stale, Wishes()).account.dropped[0].kind == "missing image"


# --- LabelMe --------------------------------------------------------------------------------------------------------

SHAPES: dict[str, tuple[Any, str]] = {
    "circle": (shape(kind="circle"), "shape without a box"),
    "line": (shape(kind="line"), "shape without a box"),
    "unknown": (shape(kind="mask"), "shape without a box"),
    "one point": (shape(points=[[1, 2]]), "box that is no box"),
    "no points": (shape(points=None), "box that is no box"),
    "points of text": (shape(points=[["a", 2], [3, 4]]), "box that is no box"),
    "points of three": (shape(points=[[1, 2, 3], [3, 4, 5]]), "box that is no box"),
    "no label": (shape(label=None), "no class"),
    "no shape": ("cat", "box that is no box"),
    "kind of a list": (shape(kind=[1]), "box that is no box"),
    "no extent": (shape(points=[[1, 2], [1, 9]]), "degenerate box"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_of_labelme_that_can_t_be_taken_is_named(case, tmp_path):
    bad, kind = SHAPES[case]
    source = write_labelme(tmp_path / "set", [shape(), bad])
    write_image(source / "a.png")
    annotated = FORMATS["labelme"].read(source, Wishes())
    (entry,) = annotated.account.dropped
    assert (entry.kind, entry.where) == (kind, f"{source / 'a.json'}, shapes[1]")
    assert balanced(annotated)


def test_shapes_of_labelme_become_boxes_and_groups_one_object(tmp_path):
    triangle = [[10, 10], [20, 10], [15, 30]]
    shapes = [
        shape(points=[[30, 40], [10, 20]]),  # drawn from the lower right
        shape("dog", triangle, "polygon", group_id=3),
        shape("dog", [[40, 5], [50, 5], [45, 9]], "polygon", group_id=3),
        shape("cat", triangle, "polygon", group_id=None),
    ]
    source = write_labelme(tmp_path / "set", shapes)
    write_image(source / "a.png")
    annotated = FORMATS["labelme"].read(source, Wishes())
    assert [(each.name, each.box_xyxy_px) for each in annotated.images[0].objects] == [
        ("cat", (10, 20, 30, 40)), ("dog", (10, 5, 50, 30)), ("cat", (10, 10, 20, 30)),
    ]  # fmt: skip
    assert balanced(annotated)


def test_the_image_of_labelme_is_its_path_its_neighbour_or_inside_it(tmp_path):
    inside = write_labelme(tmp_path / "set" / "json", [shape()], imagePath="..\\images\\a.png")
    write_image(tmp_path / "set/images/a.png")
    assert FORMATS["labelme"].read(tmp_path / "set", Wishes()).images[0].path == tmp_path / "set/images/a.png"
    # Read by itself, the same path leads out of the folder.
    assert FORMATS["labelme"].read(inside, Wishes()).account.dropped[0].kind == "missing image"

    content = write_image(tmp_path / "x.png").read_bytes()
    embedded = write_labelme(tmp_path / "embedded", [shape()], imageData=base64.b64encode(content).decode())
    done = convert_set(embedded, tmp_path / "yolo", target_format="yolo")
    assert (done.target / "images/train/a.png").read_bytes() == content
    for data in ("no base64!", base64.b64encode(b"no image").decode()):
        odd = write_labelme(tmp_path / f"odd-{len(data)}", [shape()], imageData=data)
        assert FORMATS["labelme"].read(odd, Wishes()).account.dropped[0].kind == "unreadable image"


# --- YOLO and all of them -------------------------------------------------------------------------------------------


def test_bad_lines_of_yolo_are_named_by_file_and_line(yolo_set, tmp_path):
    data = yolo_set({"train/a": "0 .5 .5 .2 .2\n0 .5 .5 .2\n7 .5 .5 .2 .2\n0 .5 .5 .2 .2\n1 .1 .1 .3 .1 .2 .3\n"})
    annotated = FORMATS["yolo"].read(data, Wishes())
    assert [(entry.kind, entry.where.rpartition("/")[2]) for entry in annotated.account.dropped] == [
        ("bad label line", "a.txt, line 2"), ("bad label line", "a.txt, line 3"), ("repeated object", "a.txt"),
    ]  # fmt: skip
    assert annotated.images[0].objects[1].box_xyxy_px == (8, 6, 24, 18)
    assert balanced(annotated)


def test_a_box_over_the_edge_is_cut_and_told(tmp_path):
    source = write_voc(tmp_path / "voc", {"a": [voc_object(box=(-5, 10, 90, 20)), voc_object(box=(0, 0, 80.001, 60))]})
    annotated = FORMATS["voc"].read(source, Wishes())
    assert [each.box_xyxy_px for each in annotated.images[0].objects] == [(0, 10, 80, 20), (0, 0, 80, 60)]
    assert [entry.kind for entry in annotated.account.changed] == ["box over the edge"], "not what is rounding"


def test_classes_that_are_not_wanted_are_left_out_and_the_order_is_that_asked_for(tmp_path):
    source = write_voc(tmp_path / "voc", {"a": [voc_object("cat"), voc_object("dog", (1, 1, 9, 9)), voc_object("cow")]})
    done = convert_set(source, tmp_path / "yolo", target_format="yolo", wishes=Wishes(names=("dog", "cat")))
    lines = (done.target / "labels/train/a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "0"]
    assert done.dropped_by_kind() == {"unknown class": 1}


def test_nothing_left_is_refused_with_the_reasons_and_nothing_is_written(tmp_path):
    source = write_voc(tmp_path / "voc", {"a": [voc_object()]})
    (source / "JPEGImages/a.png").unlink()
    with pytest.raises(DataError, match=r"no image can be used; images=FOLDER.*\n.*a\.xml: there is no image a\.png"):
        convert_set(source, tmp_path / "yolo", target_format="yolo")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["voc"]


def test_a_class_that_xml_can_t_hold_is_refused(yolo_set, tmp_path):
    data = yolo_set({"train/a": "0 .5 .5 .2 .2\n"}, names=["bell\u0007", "x"])
    with pytest.raises(DataError, match="characters that XML can't hold"):
        convert_set(data, tmp_path / "voc", target_format="voc")


def test_a_source_says_what_it_is_or_is_asked_about(yolo_set, tmp_path):
    write_voc(tmp_path / "voc", {"a": []})
    write_coco(tmp_path / "coco", coco_content())
    write_labelme(tmp_path / "labelme", [shape()])
    data = yolo_set({"train/a": ""})
    sources = [tmp_path / "voc", tmp_path / "coco", tmp_path / "labelme", data, data.parent]
    assert [recognised(source) for source in sources] == ["voc", "coco", "labelme", "yolo", "yolo"]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"none of yolo, coco, voc, labelme; write from="):
        recognised(tmp_path / "nothing")
    (tmp_path / "voc/data.yaml").write_text("x: 1")
    with pytest.raises(DataError, match="yolo or voc; write from="):
        recognised(tmp_path / "voc")


def test_what_is_reported_is_all_that_was_met(tmp_path):
    annotations = [coco_object(n, bbox=[n, 1, n % 3, 5], category_id=(1, 4, 9)[n % 3]) for n in range(60)]
    write_coco(tmp_path / "coco", coco_content(annotations=annotations))
    done: Conversion = convert_set(tmp_path / "coco", tmp_path / "yolo", target_format="yolo")
    assert done.before["train"][1] == 60 == done.after["train"][1] + sum(done.dropped_by_kind().values())
    assert json.loads((done.target / "converted.json").read_text())["before"]["train"] == [2, 60]
    assert done.objects_per_class == {"cat": 0, "dog": 20}
