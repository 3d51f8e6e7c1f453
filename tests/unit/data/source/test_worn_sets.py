"""Data sets as people have them: labels beside images, missing, of another task, hidden copies, lines left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data.audit.pool import look_at
from peakmark.data.cache import ImageCache
from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.data.images import ImageFacts, Verify, probe
from peakmark.data.index import build_index
from peakmark.data.source import survey as survey_module
from peakmark.data.source.labels import ParsedLabels, read_labels
from peakmark.data.source.split_notes import rows_of_other_kinds
from peakmark.errors import DataError
from peakmark.events import SplitContents
from peakmark.run.open_data import open_data
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.recipe import VERSION

MakeDataset = Callable[..., DatasetSpec]
WriteImage = Callable[..., None]


def test_contents_are_counted_by_why_an_image_has_no_object(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset(count=5, labels={1: "", 3: "0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n"})
    (tmp_path / "labels/train/02.txt").unlink()
    index = build_index(spec, "train")
    assert index.contents == SplitContents(5, 3, 4, background_by_empty_file=1, without_label_file=1)
    assert index.warnings == ()  # one of five is what the audit calls low
    assert index.select([1, 2]).contents == SplitContents(2, 0, 0, 1, 1)


def test_many_missing_label_files_are_told(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset(count=8)
    for number in range(1, 8):
        (tmp_path / f"labels/train/{number:02d}.txt").unlink()
    (warning,) = build_index(spec, "train").warnings
    assert warning.startswith("train: 7 of 8 images have no label file and are taken as background")
    assert str(tmp_path / "images/train/01.png") in warning


def test_label_files_beside_images_are_told_where_labels_lie_elsewhere(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset(count=10)
    moved = tmp_path / "images/train/03.txt"
    (tmp_path / "labels/train/03.txt").rename(moved)
    (tmp_path / "images/train/classes.txt").write_text("cat\n")
    (warning,) = build_index(spec, "train").warnings
    assert warning.startswith("train: 1 label files lie beside their images and are not used")
    assert f"are in {tmp_path / 'labels/train'}: {moved}. Move them there." in warning
    (tmp_path / "labels/train/03.txt").write_text("")  # now there are two, and they contradict each other
    assert build_index(spec, "train").warnings == (warning,)


def test_capital_letters_of_a_label_files_ending_make_no_difference(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset()
    before = build_index(spec, "train").fingerprint
    (tmp_path / "labels/train/01.txt").rename(tmp_path / "labels/train/01.TXT")
    index = build_index(spec, "train")
    assert (index.fingerprint, index.warnings) == (before, ())
    (tmp_path / "labels/train/01.TXT").rename(tmp_path / "labels/train/x.TXT")
    assert "1 label files have no image" in " ".join(build_index(spec, "train").warnings)


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "__MACOSX", "@eaDir/00.png"])
def test_hidden_copies_are_no_images(make_dataset: MakeDataset, tmp_path: Path, write_image: WriteImage, folder: str):
    spec = make_dataset()
    before = build_index(spec, "train").fingerprint
    write_image(tmp_path / f"images/train/{folder}/00-checkpoint.png")
    index = build_index(spec, "train")
    assert index.fingerprint == before
    assert "1 images in hidden folders or with hidden names are not used" in index.warnings[0]


def test_a_set_below_a_hidden_folder_is_a_set(make_dataset: MakeDataset, tmp_path: Path):
    assert build_index(make_dataset(root=tmp_path / ".sets/a"), "train").warnings == ()


def test_files_that_are_not_read_as_images_are_told(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset()
    for name in ("a.psd", "b", "notes.md", "labels.cache", "Thumbs.db", "._00.png", ".DS_Store"):
        (tmp_path / "images/train" / name).write_bytes(b"x")
    (warning,) = build_index(spec, "train").warnings
    assert "2 files in its folders are not of a kind that is read as an image" in warning
    assert "a.psd" in warning


def test_a_mixed_set_says_which_file_and_line_differ(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset(count=4, labels={2: "0 .5 .5 .1 .1\n0 .1 .1 .2 .1 .2 .2 .1 .2\n"})
    for _ in range(2):  # the second time from memory
        (warning,) = build_index(spec, "train").warnings
        assert warning.startswith("train: 1 of 5 label lines are polygons, the others boxes;")
        assert f"They begin at {tmp_path / 'labels/train/02.txt'}, line 2." in warning


def test_a_pose_set_is_trained_on_its_boxes(make_dataset: MakeDataset, tmp_path: Path):
    make_dataset(count=1, labels={0: "1 .5 .5 .4 .2 .4 .4 2 .6 .6 1\n"})
    (tmp_path / "data.yaml").write_text("train: images/train\nkpt_shape: [2, 3]\nnames: [cat, dog]\n")
    index = build_index(read_dataset(tmp_path / "data.yaml"), "train")
    np.testing.assert_allclose(index.boxes_cxcywh_norm, [[0.5, 0.5, 0.4, 0.2]])
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match=r"say kpt_shape: \[2, 3\]"):
        build_index(read_dataset(tmp_path / "data.yaml"), "train")


def test_bad_lines_are_left_out_counted_and_part_of_the_fingerprint(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset(labels={1: "9 .5 .5 .1 .1\n1 .5 .5 .2 .2\n9 .5 .5 .1 .1\n"})
    with pytest.raises(DataError) as caught:
        build_index(spec, "train")
    first = str(caught.value).splitlines()[0]
    assert first.startswith("train: 2 label lines are wrong, in 1 file (33.33% of 3); nothing was started.")
    assert "bad_labels=drop leaves out the lines, bad_labels=drop_image the images" in first
    lines = build_index(spec, "train", bad_labels="drop")
    images = build_index(spec, "train", bad_labels="drop_image")
    assert (len(lines), len(lines.classes), len(images), len(images.classes)) == (3, 3, 2, 2)
    for index, what in ((lines, "the lines are"), (images, "their 1 images are")):
        assert index.dropped == (("images/train/01.png", 2),)
        assert (
            f"2 label lines of 1 files can't be used; bad_labels={index.bad_labels}: {what} left out"
            in (index.warnings[0])
        )
    (tmp_path / "labels/train/01.txt").write_text("1 .5 .5 .2 .2\n")
    clean = build_index(spec, "train")
    assert len({clean.fingerprint, lines.fingerprint, images.fingerprint}) == 3
    assert build_index(spec, "train", bad_labels="drop").fingerprint == clean.fingerprint


def test_an_image_whose_lines_are_all_left_out_is_counted_apart(make_dataset: MakeDataset):
    index = build_index(make_dataset(labels={0: "", 1: "9 .5 .5 .1 .1\n"}), "train", bad_labels="drop")
    assert index.contents == SplitContents(3, 1, 1, 1, 0, background_by_dropped_lines=1)
    assert str(index.contents).endswith("0 without a label file, 1 whose label lines were all left out")


def test_dropped_lines_are_remembered(make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch):
    spec = make_dataset(labels={1: "9 .5 .5 .1 .1\n"})
    first = build_index(spec, "train", bad_labels="drop")

    def look(*_: object) -> None:
        raise AssertionError("a label file was read again")

    monkeypatch.setattr(survey_module, "read_labels", look)
    again = build_index(spec, "train", bad_labels="drop")
    assert (again.fingerprint, again.warnings) == (first.fingerprint, first.warnings)


def test_too_many_bad_lines_are_read_again_rather_than_remembered(
    make_dataset: MakeDataset, own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(survey_module, "_REMEMBERED_BAD_LINES", 3)
    spec = make_dataset(labels={0: "9 .5 .5 .1 .1\n" * 2, 1: "9 .5 .5 .1 .1\n" * 2})
    first = build_index(spec, "train", bad_labels="drop")
    (memory,) = own_cache.glob("index/*.npz")
    with np.load(memory) as stored:
        assert len(json.loads(stored["bad_lines"].tobytes())) == 1
    read: list[bytes] = []

    def note(content: bytes, class_count: int, keypoints: None) -> ParsedLabels:
        read.append(content)
        return read_labels(content, class_count, keypoints)

    monkeypatch.setattr(survey_module, "read_labels", note)
    assert build_index(spec, "train", bad_labels="drop").fingerprint == first.fingerprint
    assert len(read) == 1


def test_one_class_takes_every_class_number(make_dataset: MakeDataset):
    spec = make_dataset(labels={0: "7 .5 .5 .1 .1\n", 1: "300 .5 .5 .1 .1\n"})
    with pytest.raises(DataError, match="class 7 is out of range"):
        build_index(spec, "train")
    index = build_index(spec, "train", single_class=True)
    assert index.classes.tolist() == [0, 0, 0]


def test_background_alone(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset(labels=dict.fromkeys(range(3), ""))
    for split, said in (("train", "there is nothing to learn from it"), ("val", "no epoch could be judged by it")):
        with pytest.raises(DataError) as caught:
            build_index(spec, split)
        assert f"its 3 label files name no object, all is background, so {said}" in str(caught.value)
    assert build_index(spec, "val", background_is_enough=True).contents.background_by_empty_file == 3
    for number in range(3):
        (tmp_path / f"labels/train/{number:02d}.txt").rename(tmp_path / f"labels/train/{number:02d}.xml")
    with pytest.raises(DataError, match=r"no labels at all; .* There are 3 \.xml files: labels in another format"):
        build_index(spec, "val", background_is_enough=True)


def test_a_list_of_images_from_windows(make_dataset: MakeDataset, tmp_path: Path):
    make_dataset()
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfimages\\train\\01.png\r\nimages\\train\\00.png\r\n")
    (tmp_path / "data.yaml").write_text("train: list.txt\nnames: [a, b]\n")
    index = build_index(read_dataset(tmp_path / "data.yaml"), "train")
    assert index.files == ("images/train/01.png", "images/train/00.png")


def test_an_index_of_an_earlier_version_is_not_used(
    make_dataset: MakeDataset, own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """What counts as a good line has changed: an earlier memory would say of these lines what is no longer so."""
    spec = make_dataset()
    monkeypatch.setattr("peakmark.data.source.survey_store._VERSION", 1)
    build_index(spec, "train")
    monkeypatch.undo()
    monkeypatch.setenv("PEAKMARK_CACHE", str(own_cache))
    looks: list[Path] = []

    def look(path: Path, verify: Verify, most_px: int) -> ImageFacts:
        looks.append(path)
        return probe(path, verify, most_px)

    monkeypatch.setattr(survey_module, "probe", look)
    build_index(spec, "train")
    assert len(looks) == 3


def test_boxes_in_one_split_and_polygons_in_the_other_are_told(make_dataset: MakeDataset, tmp_path: Path):
    make_dataset()
    (tmp_path / "images/val").symlink_to(tmp_path / "images/train")
    (tmp_path / "labels/val").mkdir()
    for number in range(3):
        (tmp_path / f"labels/val/{number:02d}.txt").write_text("0 .1 .1 .2 .1 .2 .2 .1 .2\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    spec = read_dataset(tmp_path / "data.yaml")
    train, val = build_index(spec, "train"), build_index(spec, "val")
    said = "The labels of train are boxes, those of val polygons; of a polygon the box around it is taken."
    settings = parse(Settings, {"data": str(tmp_path / "data.yaml"), "imgsz": 64}).settings
    assert said in open_data(settings, spec, None, VERSION).warnings
    assert rows_of_other_kinds(train.rows, val.rows) == (said,)
    assert rows_of_other_kinds(train.rows, train.rows) == rows_of_other_kinds((0, 0), val.rows) == ()
    assert rows_of_other_kinds((1, 1), val.rows) == ()  # that train is mixed is told by itself


def test_images_of_too_many_pixels_are_left_out_until_the_limit_lets_them_in(make_dataset: MakeDataset, tmp_path: Path):
    spec, file = make_dataset(), tmp_path / "images/train/01.png"
    file.write_bytes(cv2.imencode(".png", np.zeros((50, 60, 3), np.uint8))[1].tobytes())
    small = build_index(spec, "train", max_image_pixels=2_999)
    (left_out,) = small.unreadable
    assert left_out == (
        str(file),
        "it has 3,000 px, more than the 2,999 that are decoded; max_image_pixels=3000 lets it in",
    )
    # What was found under one limit is not remembered for another.
    whole = build_index(spec, "train", max_image_pixels=3_000)
    assert (len(small), len(whole)) == (2, 3)
    assert small.fingerprint != whole.fingerprint
    assert ImageCache(whole, 32).load(1).shape == (27, 32, 3)
    assert look_at({"train": whole}, workers=1).thumbnails.shape[0] == 3
    file.write_bytes(cv2.imencode(".png", np.zeros((50, 61, 3), np.uint8))[1].tobytes())
    with pytest.raises(DataError, match="3,050 px, more than the 3,000"):
        ImageCache(whole, 32).load(1)
