"""What does a user read when the data is wrong? A clear sentence that names file or line, value and remedy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index
from peakmark.errors import DataError

YAML = "train: images/train\nval: images/val\nnames: [cat, dog]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good data set of two training images and a validation image."""
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for name in ("train/a", "train/b", "val/c"):
        picture, label = tmp_path / f"set/images/{name}.jpg", tmp_path / f"set/labels/{name}.txt"
        for file in (picture, label):
            file.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
        label.write_text("0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.1 0.1\n")
    (tmp_path / "set/data.yaml").write_text(YAML)
    return tmp_path / "set"


def _start(folder: Path) -> tuple[Index, Index]:
    spec = read_dataset(folder / "data.yaml")
    return build_index(spec, "train"), build_index(spec, "val")


def _refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        _start(folder)
    return str(caught.value)


def test_the_good_set_is_taken(folder: Path):
    train, val = _start(folder)
    assert (len(train), len(val)) == (2, 1)
    assert train.warnings == val.warnings == ()


def test_missing_data_yaml(folder: Path):
    (folder / "data.yaml").rename(folder / "dataset.yaml")
    text = _refusal(folder)
    assert f"data={folder / 'data.yaml'}: there is no such file" in text
    assert f"Did you mean {folder / 'dataset.yaml'}?" in text
    assert "Nothing is downloaded: get the data set from its publisher" in text


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("train", "the key train is missing: give the folder of its images"),
        ("val", "the key val is missing: give the folder of its images"),
        ("names", "the key names is missing: list the classes"),
    ],
)
def test_key_missing(folder: Path, key: str, said: str):
    (folder / "data.yaml").write_text("".join(line for line in YAML.splitlines(True) if not line.startswith(key)))
    text = _refusal(folder)
    assert str(folder / "data.yaml") in text
    assert said in text


@pytest.mark.parametrize(
    ("line", "value", "remedy"),
    [
        ("2 0.5 0.5 0.1 0.1", "class 2 is out of range", "add the class to names"),
        ("0 0.5 1.5 0.1 0.1", "the coordinate 1.5 is outside 0 to 1", "not pixels"),
        ("0 0.5 nan 0.1 0.1", "nan is not a finite number", "correct or delete"),
        ("0 0.5 0.5 -0.1 0.1", "the size -0.1 x 0.1 is negative", "must be greater than 0"),
        ("0 0.5 0.5 0.1", "4 columns", "a box has 5 (class cx cy w h)"),
        ("0 0.5 0.5 0.1 abc", "'abc' is not a number", "write plain numbers"),
    ],
)
def test_bad_label_line(folder: Path, line: str, value: str, remedy: str):
    file = folder / "labels/train/b.txt"
    file.write_text(f"0 0.5 0.5 0.5 0.5\n{line}\n")
    text = _refusal(folder)
    assert f"{file}, line 2: " in text
    assert value in text
    assert remedy in text
    assert "nothing was started" in text


def test_label_without_an_image(folder: Path):
    file = folder / "labels/train/lost.txt"
    file.write_text("0 0.5 0.5 0.5 0.5\n")
    train, _ = _start(folder)
    assert train.warnings == (f"train: 1 label files have no image and are not used: {file}.",)


@pytest.mark.parametrize(("share", "reason"), [(0, "the file is empty"), (0.6, "truncated")])
def test_truncated_or_empty_image_is_left_out_counted_and_listed(folder: Path, share: float, reason: str):
    file = folder / "images/train/a.jpg"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    train, _ = _start(folder)
    assert [train.path(number).name for number in range(len(train))] == ["b.jpg"]
    ((listed, why),) = train.unreadable
    assert listed == str(file)
    assert reason in why
    (warning,) = train.warnings
    assert "train: 1 of 2 images can't be read and are left out" in warning
    assert str(file) in warning


def test_every_image_is_bad(folder: Path):
    (folder / "images/val/c.jpg").write_bytes(b"")
    text = _refusal(folder)
    assert "none of its 1 images can be read" in text
    assert "c.jpg (the file is empty)" in text


def test_yaml_that_builds_objects(folder: Path):
    trace = folder / "trace"
    (folder / "data.yaml").write_text(f"{YAML}nc: !!python/object/apply:os.mkdir ['{trace}']\n")
    text = _refusal(folder)
    assert "data.yaml, line 4: this yaml tries to build an object" in text
    assert "take that line out" in text
    assert not trace.exists()


@pytest.mark.parametrize("split", ["train", "val"])
def test_missing_folder(folder: Path, split: str):
    (folder / "images" / split).rename(folder / "images/gone")
    text = _refusal(folder)
    assert f"{split} is {folder / 'images' / split}, but there is no such folder" in text
    assert "correct the path" in text


@pytest.mark.parametrize("split", ["train", "val"])
def test_empty_folder(folder: Path, split: str):
    for file in (folder / "images" / split).iterdir():
        file.unlink()
    text = _refusal(folder)
    assert f"{split} is {folder / 'images' / split}, where there are no images" in text


@pytest.mark.parametrize("split", ["train", "val"])
def test_no_labels_at_all(folder: Path, split: str):
    for file in (folder / "labels" / split).iterdir():
        file.unlink()
    text = _refusal(folder)
    assert f"{split} is {folder / 'images' / split}" in text
    assert "have no labels at all; put .txt files" in text


def test_opencv_adds_no_lines_of_its_own(folder: Path, capfd: pytest.CaptureFixture[str]):
    file = folder / "images/train/a.jpg"
    file.write_bytes(b"\xff\xd8 this is no JPEG \xff\xd9")
    (folder / "images/train/b.jpg").rename(folder / "images/train/b.jp2")
    _start(folder)
    assert capfd.readouterr().err == ""
