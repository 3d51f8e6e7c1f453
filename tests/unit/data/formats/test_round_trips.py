"""What goes from one format to another and back is what it was, and BCCD's XML gives BCCD's labels."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.beside import BCCD
from tests.unit.data.formats.conftest import coco_content, coco_object, voc_object, write_coco, write_image, write_voc

from peakmark.data.formats.annotated_set import Account, AnnotatedImage, AnnotatedSet, Annotation
from peakmark.data.formats.convert import convert_set
from peakmark.data.formats.naming import TargetNames
from peakmark.data.formats.registry import FORMATS
from peakmark.data.formats.wishes import Target, Wishes
from peakmark.data.index import build_index
from peakmark.data.source.data_yaml import read_data_yaml
from peakmark.files.new_folder import NewFolder


def objects_of(source: Path, source_format: str, **wishes: Any) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """All objects by split and image, in an order of their own."""
    annotated = FORMATS[source_format].read(source, Wishes(**wishes))
    return {
        (image.split, Path(image.name).stem): sorted((each.name, *each.box_xyxy_px) for each in image.objects)
        for image in annotated.images
    }


_places = st.integers(0, 10**9)
_LEAST_SIDE = 1000
"""A hundredth of a pixel."""
_names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=8)


@st.composite
def _sets(draw: st.DrawFn) -> tuple[tuple[str, ...], tuple[int, int], list[Annotation]]:
    """Classes, the size of an image, and objects whose edges have five decimals of a pixel."""
    names = tuple(draw(st.lists(_names, min_size=1, max_size=3, unique=True)))
    size = draw(st.sampled_from([(80, 60), (1, 1), (641, 479), (7919, 3)]))
    objects = {}
    for _ in range(draw(st.integers(1, 4))):
        edges = []
        for side in size:
            whole = side * 10**5
            low = draw(_places) % (whole - _LEAST_SIDE)
            high = low + _LEAST_SIDE + draw(_places) % (whole - _LEAST_SIDE - low + 1)
            edges.append((low / 10**5, high / 10**5))
        box = (edges[0][0], edges[1][0], edges[0][1], edges[1][1])
        each = Annotation(draw(st.sampled_from(names)), box)
        objects[each] = each
    return names, size, list(objects)


@pytest.mark.parametrize("through", ["yolo", "coco", "voc", "labelme"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=_sets())
def test_a_format_gives_back_every_box_to_the_last_decimal(through, made, tmp_path_factory):
    names, size, objects = made
    folder = tmp_path_factory.mktemp("trip")
    path = write_image(folder / "a.png", size)
    annotated = AnnotatedSet(
        names, [AnnotatedImage("a.png", "train", size[0], size[1], path, list(objects))], Account()
    )
    with NewFolder(folder / "target") as new:
        FORMATS[through].write(annotated, Target(new, TargetNames(annotated.account)))
        new.publish()
    wishes = Wishes(names=names)
    found = FORMATS[through].read(folder / "target", wishes)
    assert found.account.dropped == []
    (back,) = found.images
    order = lambda each: (each.name, each.box_xyxy_px)  # noqa: E731
    assert sorted(back.objects, key=order) == sorted(objects, key=order)


def test_a_set_goes_round_all_formats_and_keeps_splits_names_and_boxes(tmp_path):
    boxes = [(0, 0, 80, 60), (10.5, 20.25, 30, 40), (1, 2, 3, 4)]
    objects = {
        stem: [
            voc_object("cat", box),
            voc_object("dog & <co>".replace("&", "&amp;").replace("<", "&lt;"), (5, 5, 9, 9)),
        ]
        for stem, box in zip("abc", boxes, strict=True)
    }
    splits = {"train": ["a", "b"], "val": ["c"]}
    source = write_voc(tmp_path / "voc", objects | {"empty": []}, splits=splits | {"test": ["empty"]})
    whole, last, last_format = objects_of(source, "voc"), source, "voc"
    assert sum(map(len, whole.values())) == 6
    for number, to in enumerate(["coco", "yolo", "labelme", "yolo", "voc", "labelme", "coco", "voc"]):
        done = convert_set(last, tmp_path / f"{number}-{to}", target_format=to, source_format=last_format)
        assert done.dropped == done.changed == ()
        assert done.before == done.after
        last, last_format = tmp_path / f"{number}-{to}", to
        assert objects_of(last, to) == whole
    assert (last / "JPEGImages/a.png").read_bytes() == (source / "JPEGImages/a.png").read_bytes()


def test_difficult_goes_through_coco_and_crowds_stay_in_coco(tmp_path):
    source = write_voc(tmp_path / "voc", {"a": [voc_object(more="<difficult>1</difficult>"), voc_object("dog")]})
    convert_set(source, tmp_path / "coco", target_format="coco")
    done = convert_set(tmp_path / "coco", tmp_path / "back", target_format="voc")
    assert done.dropped == ()
    assert (tmp_path / "back/Annotations/a.xml").read_text().count("<difficult>1<") == 1
    done = convert_set(tmp_path / "back", tmp_path / "yolo", target_format="yolo")
    assert any("Marked difficult: 1 object, ordinary in the target" in note for note in done.notes)

    content = coco_content(annotations=[coco_object(1, iscrowd=1), coco_object(2, category_id=4)])
    write_coco(tmp_path / "crowd", content)
    convert_set(tmp_path / "crowd", tmp_path / "again", target_format="coco")
    again = json.loads((tmp_path / "again/annotations/instances_train.json").read_text())
    assert [row["iscrowd"] for row in again["annotations"]] == [1, 0]
    assert [category["id"] for category in again["categories"]] == [1, 4], "numbers with holes are kept in COCO"
    done = convert_set(tmp_path / "crowd", tmp_path / "as-yolo", target_format="yolo")
    assert done.dropped_by_kind() == {"crowd": 1}
    assert "annotations[0]" in done.dropped[0].where
    assert (tmp_path / "as-yolo/labels/train/a.txt").read_text().startswith("1 "), "and counted without for YOLO"


def test_names_that_collide_get_names_of_their_own_and_keep_their_labels(tmp_path):
    content = coco_content(
        images=[
            {"id": 1, "file_name": "x.png", "width": 80, "height": 60},
            {"id": 2, "file_name": "x.bmp", "width": 70, "height": 50},
            {"id": 3, "file_name": "images/x.png", "width": 60, "height": 40},
        ],
        annotations=[coco_object(n, image_id=n, bbox=[n, n, 10, 10]) for n in (1, 2, 3)],
    )
    file = write_coco(tmp_path / "coco", content)
    for name, size in (("x.png", (80, 60)), ("x.bmp", (70, 50)), ("images/x.png", (60, 40))):
        write_image(file.parents[1] / "images/train" / name, size)
    for to in ("yolo", "voc", "labelme", "coco"):
        done = convert_set(tmp_path / "coco", tmp_path / f"out-{to}", target_format=to)
        assert [entry.kind for entry in done.changed].count("image renamed") >= (to != "coco")
        found = FORMATS[to].read(tmp_path / f"out-{to}", Wishes())
        by_size = {image.width_px: image.objects[0].box_xyxy_px[0] for image in found.images}
        assert by_size == {80: 1, 70: 2, 60: 3}, to


def test_what_comes_out_as_yolo_is_what_a_training_reads(tmp_path):
    source = write_voc(tmp_path / "voc", {"a": [voc_object()], "b": []}, splits={"train": ["a"], "val": ["b"]})
    done = convert_set(source, tmp_path / "yolo", target_format="yolo")
    spec = read_data_yaml(done.data)
    index = build_index(spec, "train", cache_folder=tmp_path / "cache")
    assert (spec.names, index.warnings) == (("cat",), ())
    assert index.truths_px(0).boxes_xyxy_px.tolist() == [[10, 20, 30, 40]]
    background = build_index(spec, "val", cache_folder=tmp_path / "cache", background_is_enough=True)
    assert background.contents.background_by_empty_file == 1


@pytest.mark.skipif(not BCCD.exists(), reason="the blood-cell data set is not beside this checkout")
def test_the_xml_of_bccd_gives_its_labels_and_names_two_degenerate_boxes(tmp_path):
    names = ("RBC", "WBC", "Platelets")
    wishes = Wishes(names=names, images=BCCD / "images")
    done = convert_set(BCCD / "annotations-voc", tmp_path / "yolo", target_format="yolo", wishes=wishes)
    assert [(entry.kind, Path(entry.where.split(",")[0]).name) for entry in done.dropped] == [
        ("degenerate box", "BloodImage_00343.xml"),
        ("degenerate box", "BloodImage_00338.xml"),
    ]
    assert done.changed == ()
    assert sum(objects for _, objects in done.after.values()) == 4886
    for split in ("train", "val", "test"):
        theirs = {path.name: path.read_text().split() for path in (BCCD / "labels" / split).glob("*.txt")}
        ours = {path.name: path.read_text().split() for path in (tmp_path / "yolo/labels" / split).glob("*.txt")}
        assert ours.keys() == theirs.keys()
        for name, words in theirs.items():
            # They are rounded to six decimals; ours to ten.
            assert [float(word) for word in ours[name]] == pytest.approx([float(word) for word in words], abs=6e-7)


@pytest.mark.skipif(not BCCD.exists(), reason="the blood-cell data set is not beside this checkout")
def test_bccd_goes_from_voc_by_coco_and_yolo_to_voc_without_a_loss(tmp_path):
    first = objects_of(BCCD / "annotations-voc", "voc", images=BCCD / "images")
    wishes = Wishes(images=BCCD / "images")
    steps = [(BCCD / "annotations-voc", "voc", wishes)]
    for to in ("coco", "yolo", "voc"):
        source, source_format, given_ = steps[-1]
        done = convert_set(source, tmp_path / to, target_format=to, source_format=source_format, wishes=given_)
        assert len(done.dropped) == (2 if to == "coco" else 0)
        steps.append((tmp_path / to, to, Wishes()))
    assert objects_of(tmp_path / "voc", "voc") == first
    whole = itertools.chain.from_iterable(first.values())
    assert all(edge == int(edge) for _, *box in whole for edge in box), "its edges are whole pixels, and stay so"
