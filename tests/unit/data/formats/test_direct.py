"""A COCO file or a VOC folder is data: converted once, again where it changed, and refused where a choice is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.data.formats.conftest import coco_content, coco_object, voc_object, write_coco, write_image, write_voc

from peakmark.data.dataset import read_dataset
from peakmark.data.formats import direct
from peakmark.data.formats.convert import Conversion, convert_set
from peakmark.data.index import build_index
from peakmark.data.source.listing import list_images
from peakmark.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sources that were converted, and not taken from the cache."""
    converted: list[Any] = []

    def counted(source: Path, *args: Any, **options: Any) -> Conversion:
        converted.append(source)
        return convert_set(source, *args, **options)

    monkeypatch.setattr(direct, "convert_set", counted)
    return converted


def test_a_voc_folder_with_lists_is_converted_once_and_said(tmp_path, conversions, cache):
    objects = {"a": [voc_object()], "b": [voc_object(), voc_object(box=(1, 1, 1, 1))]}
    source = write_voc(tmp_path / "voc", objects, splits={"train": ["a"], "val": ["b"]})
    first, second = read_dataset(source), read_dataset(source)
    assert len(conversions) == 1
    assert (first.names, set(first.splits), first.made_from) == (("cat",), {"train", "val"}, source)
    assert first.notes == second.notes
    assert "is PASCAL VOC; it was converted to" in first.notes[0]
    assert "1 object and 0 images of it were left out, the first one being" in first.notes[1]
    index = build_index(first, "val")
    assert index.truths_px(0).boxes_xyxy_px.tolist() == [[10, 20, 30, 40]]
    assert all(path.is_symlink() for path in cache.rglob("*.png")), "no image is doubled"


def test_what_changed_is_converted_again(tmp_path, conversions):
    source = write_voc(tmp_path / "voc", {"a": [voc_object()], "b": []}, splits={"train": ["a"], "val": ["b"]})
    read_dataset(source)
    (source / "Annotations/b.xml").write_text(
        (source / "Annotations/b.xml").read_text().replace("</annotation>", voc_object("dog") + "</annotation>")
    )
    assert read_dataset(source).names == ("cat", "dog")
    write_image(source / "JPEGImages/a.png", (40, 30))
    assert "left out" in read_dataset(source).notes[1], "its stated size is no longer that of the image"
    (source / "ImageSets/Main/val.txt").write_text("b\na\n")
    read_dataset(source)
    assert len(conversions) == 4
    read_dataset(source)
    assert len(conversions) == 4


def test_a_coco_file_brings_the_splits_beside_it(tmp_path):
    file = write_coco(tmp_path / "coco", coco_content())
    write_coco(tmp_path / "coco", coco_content(annotations=[coco_object(1, category_id=4)]), "val")
    for data in (file, tmp_path / "coco"):
        spec = read_dataset(data)
        assert set(spec.splits) == {"train", "val"}
        assert spec.names == ("cat", "dog")
        assert build_index(spec, "val").classes.tolist() == [1]


def test_a_coco_file_of_one_split_is_that_split_and_a_training_is_told_what_to_do(tmp_path):
    file = write_coco(tmp_path / "coco", coco_content(), "val2017")
    spec = read_dataset(file)
    assert set(spec.splits) == {"val"}
    with pytest.raises(DataError, match=r"no split train, only val; make one: peakmark convert .*=0\.8,0\.2"):
        list_images(spec, "train")


@pytest.mark.parametrize("kind", ["coco", "voc"])
def test_without_a_split_the_command_that_makes_one_is_named(tmp_path, kind, conversions):
    if kind == "voc":
        source = write_voc(tmp_path / "voc", {"a": [voc_object()]})
    else:
        write_coco(tmp_path / "coco", coco_content())
        source = tmp_path / "coco/annotations/instances_train.json"
        source = source.rename(tmp_path / "coco/labels.json")
    with pytest.raises(DataError, match=rf"peakmark convert source={source} target=NEW_FOLDER to=yolo split=0\.8,0\.2"):
        read_dataset(source)
    assert conversions == []


def test_a_broken_coco_file_is_refused_by_name_and_leaves_nothing(tmp_path, cache):
    file = write_coco(tmp_path / "coco", '{"images": [], "annotations": [}')
    with pytest.raises(DataError, match=r"instances_train\.json: line 1: it is no JSON"):
        read_dataset(file)
    assert not list(cache.rglob("*.yaml"))


def test_other_folders_and_json_files_are_answered_as_before(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "folder").mkdir()
    for name, words in (("x.json", "the key names is missing"), ("folder", "this is a folder; give the data.yaml")):
        with pytest.raises(DataError, match=words):
            read_dataset(tmp_path / name)
