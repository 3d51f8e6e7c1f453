"""Does the gallery choose what shows each kind of mistake, stay bounded, and say what is right of each image?"""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data.source.indexed_split import Index
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import match
from peakmark.evaluate.tables import detection_table, truth_table
from peakmark.machine.streams import stream
from peakmark.nouns.gallery import PLACES, Gallery
from peakmark.nouns.images import Detections
from peakmark.record.gallery_file import render
from peakmark.validation import gallery as gallery_module
from peakmark.validation.gallery import make_gallery

SIDE_PX = 200
BOX = (20.0, 40.0, 100.0, 120.0)  # corners, in px
BESIDE = (60.0, 40.0, 140.0, 120.0)  # IoU 1/3 with BOX
FAR = (150.0, 150.0, 190.0, 190.0)
CAT, DOG = 0, 1
Labelled = list[tuple[tuple[float, ...], int]]
Found = list[tuple[tuple[float, ...], float, int]]


def index_of(folder: Path, truths: list[Labelled]) -> Index:
    (folder / "a.png").write_bytes(cv2.imencode(".png", np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8))[1].tobytes())
    corners = np.array([box for image in truths for box, _ in image], np.float32).reshape(-1, 4) / SIDE_PX
    centres = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
    return Index(
        split="val", folder=folder, files=("a.png",) * len(truths),
        widths_px=np.full(len(truths), SIDE_PX, np.int32), heights_px=np.full(len(truths), SIDE_PX, np.int32),
        digests=np.zeros((len(truths), 16), np.uint8),
        offsets=np.cumsum([0, *(len(image) for image in truths)]), boxes_cxcywh_norm=centres.astype(np.float32),
        classes=np.array([kind for image in truths for _, kind in image], np.int64),
        unreadable=(), warnings=(), verify="full", labelled=np.ones(len(truths), np.bool_),
    )  # fmt: skip


def made(index: Index, found: list[Found], confidence: float = 0.5, most: int = 120) -> Gallery:
    detections = [
        Detections(
            np.array([box for box, _, _ in image], np.float32).reshape(-1, 4),
            np.array([score for _, score, _ in image], np.float32),
            np.array([kind for _, _, kind in image], np.int64),
        )
        for image in found
    ]
    return make_gallery(index, detections, evidence_of(index, detections), confidence, epoch=3, most=most)


def evidence_of(index: Index, detections: list[Detections]) -> Evidence:
    truths = truth_table([index.truths_px(number) for number in range(len(index))])
    return match(truths, detection_table(detections), images=len(index), classes=2)


def test_an_image_says_where_what_lies_and_of_which_kind_it_is(tmp_path):
    index = index_of(tmp_path, [[(BOX, CAT), (FAR, DOG)]])
    gallery = made(index, [[(BOX, 0.9, CAT), (BOX, 0.7, CAT), (BESIDE, 0.8, DOG), (FAR, 0.2, DOG), (FAR, 0.005, CAT)]])
    [image] = gallery.images
    assert (image.width_px, image.height_px, image.classes, image.left_out) == (SIDE_PX, SIDE_PX, [CAT, DOG], 1)
    assert image.truths == [(1000, 2000, 5000, 6000), (7500, 7500, 9500, 9500)]
    assert [(each.score, each.kind, each.about, each.taken_for) for each in image.found] == [
        (0.9, "right", 0, 0), (0.8, "both", 0, -1), (0.7, "doubled", 0, -1), (0.2, "right", 1, 1),
    ]  # fmt: skip
    assert image.counts == {"both": 1, "doubled": 1, "missed": 1}, "the weak one finds nothing at 0.5"
    assert {kind: count for kind, count in gallery.counts.items() if count} == {"both": 1, "doubled": 1, "missed": 1}
    assert (gallery.images_in_set, gallery.images_with_mistakes, gallery.confidence) == (1, 1, 0.5)


def test_the_picture_is_small_and_one_that_is_gone_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_module, "_SIDE_PX", 50)
    index = index_of(tmp_path, [[(BOX, CAT)], [(BOX, CAT)]])
    index = dataclasses.replace(index, files=("a.png", "gone.png"))
    there, gone = made(index, [[], []]).images
    picture = cv2.imdecode(np.frombuffer(there.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (50, 50, 3)
    assert gone.jpeg == b""


def kinds_of_mistakes(images: int) -> tuple[list[Labelled], list[Found]]:
    """A set of which one image in fifty has a rare mistake, and every other one a missed truth."""
    rare: dict[int, Found] = {
        7: [(BOX, 0.9, DOG)],
        57: [(BOX, 0.9, CAT), (BOX, 0.8, CAT)],
        107: [(BOX, 0.9, CAT), (FAR, 0.8, CAT)],
        157: [(BESIDE, 0.9, CAT)],
    }
    found = [rare.get(number, [(BOX, 0.9, CAT)] if number % 2 else []) for number in range(images)]
    return [[(BOX, CAT)] for _ in range(images)], found


def test_of_a_large_set_every_kind_of_mistake_has_its_turn_and_some_images_are_right(tmp_path):
    truths, found = kinds_of_mistakes(300)
    gallery = made(index_of(tmp_path, truths), found, most=40)
    assert len(gallery.images) == 40
    shown = {kind for image in gallery.images for kind in image.counts}
    assert shown == {"wrong_class", "doubled", "background", "badly_placed", "missed"}
    assert sum(not image.counts for image in gallery.images) == 12
    assert (gallery.images_in_set, gallery.images_with_mistakes) == (300, 154)
    assert gallery.counts["missed"] == 150


def test_without_mistakes_right_images_fill_it(tmp_path):
    gallery = made(index_of(tmp_path, [[(BOX, CAT)]] * 50), [[(BOX, 0.9, CAT)]] * 50, most=30)
    assert len(gallery.images) == 30
    assert gallery.images_with_mistakes == 0


def test_an_image_of_each_pair_of_confused_classes_is_among_them(tmp_path):
    truths: list[Labelled] = [[(BOX, CAT if number != 90 else DOG)] for number in range(100)]
    found: list[Found] = [[(BOX, 0.9, DOG)] if number < 60 else [(BOX, 0.9, CAT)] for number in range(100)]
    gallery = made(index_of(tmp_path, truths), found, most=30)
    assert any(image.classes == [DOG] for image in gallery.images), "the one dog that was taken for a cat"


def test_a_set_without_truths_has_no_costs_and_counts_false_alarms_from_a_half_on(tmp_path):
    gallery = made(index_of(tmp_path, [[], []]), [[(BOX, 0.6, CAT), (FAR, 0.4, CAT)], []], confidence=float("nan"))
    assert gallery.confidence == 0.5
    assert gallery.counts["background"] == 1
    assert gallery.ap50 is None
    assert set(gallery.costs.values()) == {None}


def test_the_file_is_strict_json_that_holds_it_all(tmp_path):
    truths, found = kinds_of_mistakes(60)
    gallery = made(index_of(tmp_path, truths), found)
    text = render(gallery)
    assert "NaN" not in text
    read = json.loads(text)
    assert (read["format"], read["format_version"], read["images_in_set"]) == ("peakmark-gallery", 1, 60)
    for image, own in zip(read["images"], gallery.images, strict=True):
        assert base64.b64decode(image["jpeg"]) == own.jpeg
        assert [tuple(box) for box in image["truths"]] == list(own.truths)
        assert [each[6] for each in image["found"]] == [each.kind for each in own.found]


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_the_images_add_up_to_those_of_the_set_and_boxes_lie_in_the_image(seed, tmp_path):
    rng = stream(seed, "gallery", 0, 0)

    def box() -> tuple[float, ...]:
        left, top = rng.uniform(0, 150, 2)
        return (float(left), float(top), float(left + rng.uniform(20, 50)), float(top + rng.uniform(20, 50)))

    truths = [[(box(), int(rng.integers(2))) for _ in range(4)] for _ in range(8)]
    found: list[Found] = [
        [(tuple(side + float(rng.normal(0, 6)) for side in place), float(rng.random()), int(rng.integers(2)))
         for place, _ in image for _ in range(2)]
        for image in truths
    ]  # fmt: skip
    gallery = made(index_of(tmp_path, truths), found, confidence=0.3)
    for kind, count in gallery.counts.items():
        assert sum(image.counts.get(kind, 0) for image in gallery.images) == count
    for image in gallery.images:
        assert [each.score for each in image.found] == sorted((each.score for each in image.found), reverse=True)
        for corners in (*image.truths, *(each.box for each in image.found)):
            assert all(0 <= place <= PLACES for place in corners)
    mistakes = [sum(image.counts.values()) for image in gallery.images]
    assert mistakes == sorted(mistakes, reverse=True)
