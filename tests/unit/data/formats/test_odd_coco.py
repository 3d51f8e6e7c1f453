"""What is broken, odd or hostile in a COCO file is named by file and place, costs no more than itself, ends nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.data.formats.conftest import (
    balanced,
    coco_content,
    coco_object,
    write_coco,
    write_image,
)

from peakmark.data.formats.convert import convert_set
from peakmark.data.formats.registry import FORMATS
from peakmark.data.formats.wishes import Wishes
from peakmark.errors import DataError

HUGE = "9" * 400

COCO_OBJECTS: dict[str, tuple[dict[str, Any], str]] = {
    "no width to speak of": ({"bbox": [10, 10, 1e-9, 5]}, "degenerate box"),
    "zero width": ({"bbox": [10, 10, 0, 5]}, "degenerate box"),
    "negative height": ({"bbox": [10, 10, 5, -5]}, "degenerate box"),
    "nan": ({"bbox": [float("nan"), 1, 2, 3]}, "box that is no box"),
    "infinite": ({"bbox": [1, 1, float("inf"), 3]}, "box that is no box"),
    "three numbers": ({"bbox": [1, 2, 3]}, "box that is no box"),
    "text": ({"bbox": "1,2,3,4"}, "box that is no box"),
    "truth values": ({"bbox": [True, 1, 2, 3]}, "box that is no box"),
    "null in it": ({"bbox": [1, None, 2, 3]}, "box that is no box"),
    "nested": ({"bbox": [[1], 1, 2, 3]}, "box that is no box"),
    "no box": ({"bbox": None}, "box that is no box"),
    "huge number": ({"bbox": [1, 1, int(HUGE), 2]}, "box that is no box"),
    "outside": ({"bbox": [200, 10, 5, 5]}, "box outside the image"),
    "unknown class": ({"category_id": 77}, "unknown class"),
    "class as text": ({"category_id": "1"}, "unknown class"),
    "class as list": ({"category_id": [1]}, "unknown class"),
    "unknown image": ({"image_id": 99}, "object of no image"),
    "image as text": ({"image_id": "1"}, "object of no image"),
    "image as list": ({"image_id": [1]}, "unreadable annotation"),
    "mask in run lengths alone": (
        {"bbox": None, "segmentation": {"counts": [1], "size": [1, 1]}},
        "box that is no box",
    ),
    "odd outline alone": ({"bbox": None, "segmentation": [[1, 2, 3]]}, "box that is no box"),
}


@pytest.mark.parametrize("case", COCO_OBJECTS)
def test_an_object_of_coco_that_can_t_be_taken_is_named_and_the_others_are_taken(case, tmp_path):
    changes, kind = COCO_OBJECTS[case]
    good = coco_object(1, bbox=[1, 2, 3, 4])
    write_coco(tmp_path / "coco", coco_content(annotations=[good, coco_object(2, **changes)]))
    annotated = FORMATS["coco"].read(tmp_path / "coco", Wishes())
    (entry,) = annotated.account.dropped
    assert entry.kind == kind
    assert entry.where.endswith("instances_train.json, annotations[1]")
    assert [each.box_xyxy_px for image in annotated.images for each in image.objects] == [(1, 2, 4, 6)]
    assert balanced(annotated)


COCO_IMAGES: dict[str, tuple[Any, str]] = {
    "out of the folder": ({"id": 1, "file_name": "../../secret.png"}, "bad file name"),
    "hidden way out": ({"id": 1, "file_name": "x/../../../secret.png"}, "bad file name"),
    "absolute": ({"id": 1, "file_name": "/etc/passwd.png"}, "bad file name"),
    "windows way out": ({"id": 1, "file_name": "..\\..\\secret.png"}, "bad file name"),
    "drive": ({"id": 1, "file_name": "C:\\secret.png"}, "bad file name"),
    "nul": ({"id": 1, "file_name": "a\0.png"}, "bad file name"),
    "long": ({"id": 1, "file_name": "a" * 300 + ".png"}, "bad file name"),
    "no name": ({"id": 1}, "bad file name"),
    "number as a name": ({"id": 1, "file_name": 7}, "bad file name"),
    "missing": ({"id": 1, "file_name": "gone.png"}, "missing image"),
    "another size": ({"id": 1, "file_name": "a.png", "width": 40, "height": 30}, "image of another size"),
    "turned": ({"id": 1, "file_name": "a.png", "width": 60, "height": 80}, "image of another size"),
    "no image": ({"id": 1, "file_name": "note.png"}, "unreadable image"),
    "no image's ending": ({"id": 1, "file_name": "a.exe"}, "unreadable image"),
}


@pytest.mark.parametrize("case", COCO_IMAGES)
def test_an_image_of_coco_that_can_t_be_taken_is_named_with_what_it_takes_along(case, tmp_path):
    entry, kind = COCO_IMAGES[case]
    other = {"id": 2, "file_name": "b.png"}
    content = coco_content(images=[entry, other], annotations=[coco_object(1), coco_object(2, image_id=2)])
    file = write_coco(tmp_path / "coco", content)
    (file.parents[1] / "images/train/note.png").write_text("no image")
    write_image(tmp_path / "x.png").rename(file.parents[1] / "images/train/a.exe")
    write_image(tmp_path / "secret.png")
    annotated = FORMATS["coco"].read(tmp_path / "coco", Wishes())
    (dropped,) = annotated.account.dropped
    assert (dropped.kind, dropped.images, dropped.objects) == (kind, 1, 1)
    assert dropped.where.endswith("images[0]")
    assert [image.name for image in annotated.images] == ["b.png"]
    assert balanced(annotated)


def test_ids_that_mean_two_things_are_not_guessed_at(tmp_path):
    images = [
        {"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"},
    ]  # fmt: skip
    write_coco(tmp_path / "coco", coco_content(images=images, annotations=[coco_object(1)]))
    annotated = FORMATS["coco"].read(tmp_path / "coco", Wishes())
    assert annotated.images == []
    assert [(entry.kind, entry.objects) for entry in annotated.account.dropped] == [
        ("ambiguous id", 1),
        ("ambiguous id", 0),
    ]
    assert balanced(annotated)

    same = [{"id": 1, "file_name": "a.png"}] * 2
    write_coco(
        tmp_path / "same", coco_content(images=same, annotations=[coco_object(1), coco_object(1), coco_object(1)])
    )
    annotated = FORMATS["coco"].read(tmp_path / "same", Wishes())
    assert [len(image.objects) for image in annotated.images] == [1]
    assert [entry.kind for entry in annotated.account.dropped] == ["repeated object"] * 2
    assert balanced(annotated)

    other = [coco_object(1), coco_object(1, bbox=[1, 1, 5, 5])]
    write_coco(tmp_path / "other", coco_content(annotations=other))
    annotated = FORMATS["coco"].read(tmp_path / "other", Wishes())
    assert [len(image.objects) for image in annotated.images] == [2, 0]
    assert [entry.kind for entry in annotated.account.changed] == ["id used twice"]


def test_outlines_alone_become_the_boxes_around_them_and_that_is_said(tmp_path):
    outline = coco_object(1, bbox=None, segmentation=[[10, 10, 30, 12, 20, 40]])
    write_coco(tmp_path / "coco", coco_content(annotations=[outline]))
    done = convert_set(tmp_path / "coco", tmp_path / "yolo", target_format="coco")
    row = json.loads((done.target / "annotations/instances_train.json").read_text())["annotations"][0]
    assert row["bbox"] == [10, 10, 20, 30]
    assert any("1 outlines of objects without a box: the box around is taken" in note for note in done.notes)


BAD_COCO = {
    "cut": '{"images": [',
    "no object": "[]",
    "text": '"images"',
    "number": "7",
    "empty": "",
    "lists missing": '{"images": [], "info": 1}',
    "list is text": '{"images": "a", "annotations": [], "categories": []}',
    "nested": '{"images": ' + "[" * 100_000,
    "twice": '{"images": [], "annotations": [], "categories": [], "annotations": []}',
    "huge number": '{"images": [], "annotations": [' + "9" * 5000 + '], "categories": []}',
    "equal names": json.dumps(coco_content(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}])),
    "equal ids": json.dumps(coco_content(categories=[{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}])),
    "no name": json.dumps(coco_content(categories=[{"id": 1}, "cat", {"name": "x"}])),
    "no classes": json.dumps(coco_content(categories=[])),
}


@pytest.mark.parametrize("case", BAD_COCO)
def test_a_file_that_is_no_coco_is_refused_by_its_name(case, tmp_path):
    file = write_coco(tmp_path / "coco", BAD_COCO[case])
    with pytest.raises(DataError) as refused:
        convert_set(file, tmp_path / "yolo", source_format="coco", target_format="yolo")
    assert str(file) in str(refused.value)
    assert not (tmp_path / "yolo").exists()


def test_another_encoding_is_named(tmp_path):
    file = write_coco(tmp_path / "coco", coco_content())
    file.write_bytes('{"images": "häuser"}'.encode("latin-1"))
    with pytest.raises(DataError, match="no UTF-8 text"):
        FORMATS["coco"].read(file, Wishes())
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(coco_content()).encode())
    assert len(FORMATS["coco"].read(file, Wishes()).images) == 2


def test_all_files_that_can_t_be_read_are_named_at_once(tmp_path):
    write_coco(tmp_path / "coco", '{"images": [')
    write_coco(tmp_path / "coco", '{"images": {}}', "val")
    with pytest.raises(DataError) as refused:
        FORMATS["coco"].read(tmp_path / "coco", Wishes())
    assert [name in str(refused.value) for name in ("instances_train.json", "instances_val.json")] == [True, True]


def test_coco_s_own_folder_is_read_by_the_files_of_boxes(tmp_path):
    file = write_coco(tmp_path / "coco", coco_content(), "val2017")
    (file.parent / "captions_val2017.json").write_text('{"images": [], "annotations": []}')
    (file.parents[1] / "images/val2017").rename(file.parents[1] / "val2017")
    annotated = FORMATS["coco"].read(tmp_path / "coco", Wishes())
    assert {image.split for image in annotated.images} == {"val"}
    write_coco(tmp_path / "coco", coco_content(), "val2014")
    with pytest.raises(DataError, match="stand for the same split"):
        FORMATS["coco"].read(tmp_path / "coco", Wishes())
