"""Is each fault of a label found, told apart from what is sound, and shown with its box?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peakmark.data.audit.findings import Finding
from peakmark.data.audit.labels import check_labels
from peakmark.data.dataset import read_dataset
from peakmark.data.index import SurveyedSplit, survey_split

NAMES = ("cat", "dog")
Surveyed = Callable[..., SurveyedSplit]


def only(split: SurveyedSplit) -> Finding:
    (found,) = check_labels(split, NAMES)
    return found


def test_sound_labels_have_no_finding(surveyed: Surveyed):
    near = "0 0.4 0.5 0.2 0.2\n0 0.42 0.5 0.2 0.2\n1 0.45 0.5 0.2 0.2\n"
    assert check_labels(surveyed({0: near, 1: "0 0.5 0.5 0.96 0.96\n", 2: ""}), NAMES) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2 0.5 0.5 0.2 0.2", "class 2 is out of range"),
        ("0 1.5 0.5 0.2 0.2", "the coordinate 1.5 is outside 0 to 1"),
        ("0 0.5 0.5 0 0.2", "no extent"),
        ("0 0.5 0.5 0.2 -0.2", "negative"),
        ("0 0.5 0.5 0.2", "4 columns"),
        ("cat 0.5 0.5 0.2 0.2", "not a number"),
    ],
)
def test_lines_that_no_training_takes_are_listed_and_the_others_stay(surveyed: Surveyed, line: str, says: str):
    split = surveyed({1: f"0 0.5 0.5 0.2 0.2\n{line}\n"})
    found = only(split)
    assert (found.kind, found.severity, found.count) == ("bad label line", "high", 1)
    assert says in found.examples[0].text
    assert "labels/train/01.txt, line 2" in found.examples[0].text
    assert len(split.index.classes) == 3


def test_an_object_labelled_twice(surveyed: Surveyed):
    found = only(surveyed({1: "0 0.3 0.3 0.1 0.1\n1 0.5 0.5 0.4 0.4\n1 0.505 0.5 0.4 0.4\n"}))
    assert (found.kind, found.severity, found.count) == ("doubled box", "medium", 1)
    assert "01.png: two of dog, IoU 0.98" in found.examples[0].text
    (image,) = found.examples[0].images
    assert [round(box[0], 3) for box in image.boxes_cxcywh_norm] == [0.5, 0.505]
    assert image.classes == (1, 1)


def test_an_object_with_two_classes(surveyed: Surveyed):
    found = only(surveyed({2: "0 0.5 0.5 0.4 0.4\n1 0.5 0.5 0.4 0.4\n"}))
    assert (found.kind, found.severity, found.count) == ("same box, two classes", "medium", 1)
    assert "cat and dog" in found.examples[0].text


def test_a_box_of_the_whole_image(surveyed: Surveyed):
    found = only(surveyed({1: "0 0.2 0.2 0.1 0.1\n0 0.5 0.5 0.99 1\n", 0: "", 2: ""}))
    assert (found.kind, found.severity, found.count) == ("box of the whole image", "medium", 1)
    assert found.examples[0].images[0].file.name == "01.png"
    assert found.examples[0].images[0].boxes_cxcywh_norm[0][3] == 1


def test_a_few_faults_among_many_boxes_are_called_low(surveyed: Surveyed):
    grid = "".join(f"0 {0.02 + 0.04 * (i % 24)} {0.02 + 0.04 * (i // 24)} 0.03 0.03\n" for i in range(480))
    split = surveyed({0: grid, 1: "0 0.5 0.5 0.4 0.4\n0 0.5 0.5 0.41 0.41\n"})
    found = {each.kind: each.severity for each in check_labels(split, NAMES)}
    assert found == {"doubled box": "low", "small objects": "low"}  # the grid's are 10 px high at imgsz=640


def test_repeated_lines_and_boxes_over_the_edge(surveyed: Surveyed):
    texts = {0: "0 0.5 0.5 0.2 0.2\n" * 3, 1: "0 0.05 0.5 0.2 0.2\n"}
    found = {each.kind: each for each in check_labels(surveyed(texts), NAMES)}
    assert found.keys() == {"repeated line", "box over the edge"}
    assert (found["repeated line"].count, found["box over the edge"].count) == (2, 1)


def test_a_rare_class(surveyed: Surveyed):
    grid = "".join(f"0 {0.05 + 0.1 * (i % 9)} {0.05 + 0.1 * (i // 9)} 0.05 0.05\n" for i in range(60))
    found = only(surveyed({0: grid, 1: "1 0.5 0.5 0.2 0.2\n", 2: ""}))
    assert (found.kind, found.severity) == ("class imbalance", "low")
    assert "60 times" in found.text
    assert check_labels(surveyed({0: grid, 1: "1 0.5 0.5 0.2 0.2\n1 0.8 0.5 0.2 0.2\n", 2: ""}), NAMES) == []


def test_files_that_are_no_images_or_lack_their_other_half(surveyed: Surveyed, tmp_path: Path):
    surveyed()
    (tmp_path / "images/train/00.png").write_bytes(b"no image")
    (tmp_path / "labels/train/01.txt").unlink()
    (tmp_path / "labels/train/other.txt").write_text("")
    split = survey_split(read_dataset(tmp_path / "data.yaml"), "train")
    found = {each.kind: each for each in check_labels(split, NAMES)}
    assert found.keys() == {"unreadable image", "no label file", "label without image"}
    assert found["unreadable image"].severity == "high"
    assert "00.png" in found["unreadable image"].examples[0].text
    assert "01.png" in found["no label file"].examples[0].text
    assert "other.txt" in found["label without image"].examples[0].text


def test_a_split_without_a_readable_image_is_told_of_all_the_same(surveyed: Surveyed, tmp_path: Path):
    surveyed(count=1)
    (tmp_path / "images/train/00.png").write_bytes(b"")
    split = survey_split(read_dataset(tmp_path / "data.yaml"), "train")
    assert [found.kind for found in check_labels(split, NAMES)] == ["unreadable image"]
