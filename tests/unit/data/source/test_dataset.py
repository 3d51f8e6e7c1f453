"""Is a data.yaml understood as its author meant it?"""

from __future__ import annotations

from pathlib import Path

import pytest

from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.errors import DataError


def _read(folder: Path, text: str, encoding: str = "utf-8") -> DatasetSpec:
    file = folder / "data.yaml"
    file.write_text(text, encoding=encoding)
    return read_dataset(file)


def test_paths_are_relative_to_the_yaml(tmp_path: Path):
    (tmp_path / "images/train").mkdir(parents=True)
    spec = _read(tmp_path, "train: ./images/train\nnames: [a, b]\n")
    assert spec.splits == {"train": (tmp_path.resolve() / "images/train",)}
    assert spec.names == ("a", "b")
    assert spec.root == tmp_path.resolve()


def test_path_key_is_looked_for_beside_the_yaml_and_then_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "work/pictures/train").mkdir(parents=True)
    (tmp_path / "config").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    text = "path: pictures\ntrain: train\nnames: [a]\n"
    assert _read(tmp_path / "config", text).splits["train"] == ((tmp_path / "work/pictures/train").resolve(),)
    (tmp_path / "config/pictures/train").mkdir(parents=True)
    assert _read(tmp_path / "config", text).splits["train"] == ((tmp_path / "config/pictures/train").resolve(),)


def test_exports_that_say_dot_dot_are_found(tmp_path: Path):
    (tmp_path / "set/train/images").mkdir(parents=True)
    spec = _read(tmp_path / "set", "train: ../train/images\nnames: [a]\n")
    assert spec.splits["train"] == ((tmp_path / "set/train/images").resolve(),)


def test_a_split_may_be_a_list(tmp_path: Path):
    spec = _read(tmp_path, "train: [a, b.txt]\nval: c\nnames: [x]\n")
    assert [path.name for path in spec.splits["train"]] == ["a", "b.txt"]
    assert set(spec.splits) == {"train", "val"}


def test_names_as_mapping_in_any_order(tmp_path: Path):
    assert _read(tmp_path, "train: a\nnames: {1: dog, 0: cat}\nnc: 2\n").names == ("cat", "dog")


def test_numbers_are_names_too(tmp_path: Path):
    assert _read(tmp_path, "train: a\nnames: [0, 1, 2]\n").names == ("0", "1", "2")


def test_byte_order_mark_and_foreign_letters(tmp_path: Path):
    assert _read(tmp_path, "names: [Käse]\ntrain: ä\n", encoding="utf-8-sig").names == ("Käse",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: a\n", "names is missing"),
        ("train: a\nnames: []\n", "names is missing"),
        ("train: a\nnames: {0: a, 2: b}\n", "0 to 1 without holes, not 0, 2"),
        ("train: a\nnames: {'1': a}\n", "without holes, not '1'"),
        ("train: a\nnames: {0: a, '0': b}\n", "without holes, not 0, '0'"),
        ("train: a\nnames: [cat, dog, cat]\n", "classes 0 and 2 have the same name, 'cat'"),
        ("train: a\nnames: {0: cat, 1: 'cat '}\n", "classes 0 and 1 have the same name, 'cat'"),
        ("train: a\nnames: [a]\nnc: two\n", "nc is 'two'; it must be the number of classes"),
        ("train: a\nnc: 0\n", "nc is 0; it must be the number of classes"),
        ("train: a\nnc: true\n", "nc is True; it must be the number of classes"),
        ("train: a\nnames: [a]\ntrain: b\n", "the key train is there twice (lines 1 and 3): keep one"),
        ("train: a\nnames: {0: a, 0: b}\n", "the key 0 is there twice (line 2)"),
        ("train: a\nval: b\nvalidation: c\nnames: [a]\n", "the keys val and validation mean the same"),
        ("train: a\nkpt_shape: [17]\nnames: [a]\n", "kpt_shape is [17]; it must be"),
        ("train: " + "[" * 3000 + "\n", "nested too deep"),
        ("train: a\nnames: cat\n", "names must be a list or a mapping"),
        ("train: a\nnames: [yes, no]\n", "class 1 is False, which is not text: put it in quotes"),
        ("train: a\nnames: [a]\nnc: 2\n", "nc is 2, but names has 1 classes"),
        ("names: [a]\n", "train, val and test are all missing"),
        ("train: 3\nnames: [a]\n", "train is 3; it must be a folder"),
        ("path: nowhere\ntrain: a\nnames: [a]\n", "path is 'nowhere', but there is no such folder"),
        ("just text", "this is no data.yaml"),
        ("", "this is no data.yaml"),
        ("train: [a\nnames: b", "line 2: this is not yaml"),
        ("train: a\x00b", "this is not yaml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, text)
    assert said in str(caught.value)
    assert "data.yaml" in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, "path: nowhere\ntrain: 3\nval: {}\nnames: [a]\nnc: 2\n")
    assert len(str(caught.value).splitlines()) == 4


def test_a_missing_file_says_what_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sets").mkdir()
    _read(tmp_path / "sets", "train: a\nnames: [a]\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data=date\.yaml.*Did you mean .*sets/data\.yaml\?.*Nothing is downloaded"):
        read_dataset("date.yaml")


def test_a_folder_is_refused_with_the_yaml_in_it(tmp_path: Path):
    _read(tmp_path, "train: a\nnames: [a]\n")
    with pytest.raises(DataError, match=r"is a folder.*in it: data\.yaml"):
        read_dataset(tmp_path)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="save it as UTF-8"):
        _read(tmp_path, "names: [Käse]\ntrain: a\n", encoding="latin-1")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: {'1': dog, '0': cat}\n", ("cat", "dog")),
        ("names: [cat, dog]\nnc: '2'\n", ("cat", "dog")),
        ("nc: 2\n", ("class_0", "class_1")),
        ("nc: '1'\n", ("class_0",)),
    ],
)
def test_names_as_people_write_them(tmp_path: Path, text: str, names: tuple[str, ...]):
    spec = _read(tmp_path, f"train: a\n{text}")
    assert spec.names == names
    assert bool(spec.notes) == ("names" not in text)


@pytest.mark.parametrize("key", ["val", "validation", "valid"])
def test_val_under_its_other_names(tmp_path: Path, key: str):
    assert _read(tmp_path, f"train: a\n{key}: b\nnames: [x]\n").splits["val"] == (tmp_path.resolve() / "b",)


def test_an_empty_split_is_none(tmp_path: Path):
    assert set(_read(tmp_path, "train: a\nval: ''\ntest: ''\npath: ''\nnames: [x]\n").splits) == {"train"}


def test_a_pose_set_says_how_long_its_rows_are(tmp_path: Path):
    spec = _read(tmp_path, "train: a\nkpt_shape: [4, 3]\nnames: [x]\n")
    assert spec.keypoints == (4, 3)
    assert "its key points are not used" in spec.notes[0]


def _train_of(folder: Path, value: str) -> DatasetSpec:
    (folder / "set/train/images").mkdir(parents=True)
    return _read(folder / "set", f"train: {value}\nnames: [a]\n")


def test_backslashes_are_slashes(tmp_path: Path):
    spec = _train_of(tmp_path, ".\\train\\images")
    assert spec.splits["train"] == (tmp_path.resolve() / "set/train/images",)
    assert spec.notes == ()


@pytest.mark.parametrize("value", ["Hats-1/train/images", "C:\\Users\\me\\set\\train\\images"])
def test_a_place_that_is_taken_for_another_is_said(tmp_path: Path, value: str):
    spec = _train_of(tmp_path, value)
    found = tmp_path.resolve() / "set/train/images"
    assert spec.splits["train"] == (found,)
    assert spec.notes == (f"train is {value}, which is not on this machine; {found} is taken for it.",)


def test_the_folder_of_the_yaml_by_its_name_on_windows(tmp_path: Path):
    (tmp_path / "set/train").mkdir(parents=True)
    spec = _read(tmp_path / "set", "path: D:\\data\\set\ntrain: train\nnames: [a]\n")
    assert spec.root == (tmp_path / "set").resolve()
    assert spec.splits["train"] == (tmp_path.resolve() / "set/train",)


def test_a_place_that_is_nowhere_is_not_guessed(tmp_path: Path):
    for value in ("E:\\else\\pictures", "Hats-1/pictures", "/nowhere/train/images"):
        folder = tmp_path / str(len(value))
        assert not _train_of(folder, value).splits["train"][0].exists()


def test_aliases_and_merged_mappings_are_no_repetition(tmp_path: Path):
    spec = _read(tmp_path, "base: &b {nc: 1}\nmore: {<<: *b, nc: 2}\nagain: *b\ntrain: a\nnames: [x]\n")
    assert spec.names == ("x",)
