"""Are equal files and near copies told apart, by where they do harm?"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data.audit.duplicates import check_duplicates, find_duplicates, groups_of
from peakmark.data.audit.findings import Finding
from peakmark.data.audit.pool import look_at
from peakmark.data.dataset import read_dataset
from peakmark.data.index import survey_split
from peakmark.data.shapes.shapes import sample_picture


@pytest.fixture
def two_splits(tmp_path: Path) -> Path:
    """16 drawn pictures to train on and 8 to validate on, none twice."""
    for split, numbers in {"train": range(16), "val": range(16, 24)}.items():
        for number in numbers:
            image = cv2.cvtColor(sample_picture("train", number).image, cv2.COLOR_RGB2BGR)
            for kind in ("images", "labels"):
                (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
            (tmp_path / f"images/{split}/{number}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
            (tmp_path / f"labels/{split}/{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.2 0.2 0.1 0.1\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a, b]\n")
    return tmp_path


def check(root: Path) -> dict[str, Finding]:
    spec = read_dataset(root / "data.yaml")
    pool = look_at({split: survey_split(spec, split).index for split in spec.splits}, workers=2)
    findings = check_duplicates(pool, find_duplicates(pool))
    kinds: dict[str, Finding] = {found.kind: found for found in findings}
    assert len(kinds) == len(findings)
    return kinds


def copy(root: Path, source: str, target: str) -> None:
    for kind, suffix in (("images", "jpg"), ("labels", "txt")):
        shutil.copy(root / kind / f"{source}.{suffix}", root / kind / f"{target}.{suffix}")


def test_different_pictures_are_no_duplicates(two_splits: Path):
    assert check(two_splits) == {}


def test_the_same_file_in_two_splits(two_splits: Path):
    copy(two_splits, "train/3", "val/other")
    (found,) = check(two_splits).values()
    assert (found.kind, found.severity, found.count) == ("duplicate across splits", "high", 1)
    assert {image.file.name for image in found.examples[0].images} == {"3.jpg", "other.jpg"}
    assert "1 image of val (11.1%)" in found.text


def test_a_flipped_copy_in_two_splits(two_splits: Path):
    image = cv2.imread(str(two_splits / "images/train/3.jpg"))
    assert image is not None
    flipped = cv2.imencode(".png", np.ascontiguousarray(image[:, ::-1]))[1].tobytes()
    (two_splits / "images/val/new.png").write_bytes(flipped)
    (found,) = check(two_splits).values()
    assert (found.kind, found.severity, found.count) == ("near duplicate across splits", "high", 1)
    assert {image.file.name for image in found.examples[0].images} == {"3.jpg", "new.png"}


def test_a_copy_within_a_split(two_splits: Path):
    copy(two_splits, "train/3", "train/again")
    copy(two_splits, "train/3", "train/once more")
    (found,) = check(two_splits).values()
    assert (found.kind, found.severity, found.count) == ("duplicate", "medium", 2)
    assert len(found.examples) == 1


def test_equal_images_with_other_labels(two_splits: Path):
    copy(two_splits, "train/3", "train/again")
    (two_splits / "labels/train/again.txt").write_text("1 0.2 0.2 0.1 0.1\n0 0.5 0.5 0.2 0.2\n")
    assert "equal images, other labels" not in check(two_splits)
    (two_splits / "labels/train/again.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    assert check(two_splits)["equal images, other labels"].count == 1


def test_what_hangs_together_by_pairs_is_one_group():
    assert groups_of(7, [(5, 1), (2, 6), (1, 2)]) == ((1, 2, 5, 6),)
    assert groups_of(3, []) == ()
