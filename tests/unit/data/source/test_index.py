"""Does the index hold what is on disk, notice every change, and know a copy when it sees one?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.beside import BCCD

from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.data.images import probe
from peakmark.data.index import build_index
from peakmark.data.source import survey as survey_module
from peakmark.errors import DataError

MakeDataset = Callable[..., DatasetSpec]
WriteImage = Callable[..., None]


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are decoded from now on."""
    names: list[str] = []

    def note(path: Path, verify: str, most_px: int) -> object:
        names.append(path.name)
        return probe(path, verify, most_px)  # type: ignore[arg-type]

    monkeypatch.setattr(survey_module, "probe", note)
    return names


def test_entries_and_truths(make_dataset: MakeDataset, tmp_path: Path):
    index = build_index(make_dataset(labels={1: "", 2: "1 0.5 0.5 1 1\n0 0.1 0.1 0.2 0.2\n"}), "train")
    assert len(index) == 3
    entry = index.entry(2)
    assert entry.path == tmp_path / "images/train/02.png"
    assert (entry.width_px, entry.height_px) == (40, 20)
    assert entry.boxes_cxcywh_norm.dtype == np.float32
    assert entry.classes.dtype == np.int64
    np.testing.assert_array_equal(entry.classes, [1, 0])
    np.testing.assert_allclose(index.truths_px(2).boxes_xyxy_px, [[0, 0, 40, 20], [0, 0, 8, 4]], atol=1e-5)
    assert index.truths_px(1).boxes_xyxy_px.shape == (0, 4)
    assert index.entry(1).boxes_cxcywh_norm.shape == (0, 4)
    assert index.warnings == ()


def test_a_missing_label_file_is_background(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset()
    (tmp_path / "labels/train/01.txt").unlink()
    assert [len(build_index(spec, "train").truths_px(number)) for number in range(3)] == [1, 0, 1]


def test_workers_change_nothing(make_dataset: MakeDataset):
    spec = make_dataset(count=40)
    prints = {
        build_index(spec, "train", workers=workers, cache_folder=Path(os.devnull)).fingerprint for workers in (1, 4)
    }
    assert len(prints) == 1


def test_a_copy_has_the_same_fingerprint(make_dataset: MakeDataset, tmp_path: Path):
    original = make_dataset(root=tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "somewhere/else")
    copy = read_dataset(tmp_path / "somewhere/else/data.yaml")
    assert build_index(copy, "train").fingerprint == build_index(original, "train").fingerprint


@pytest.mark.parametrize("verify", ["full", "fast"])
@pytest.mark.parametrize("change", ["pixels", "label", "class", "name", "image gone", "image damaged", "label gone"])
def test_every_change_is_noticed(
    make_dataset: MakeDataset, tmp_path: Path, write_image: WriteImage, change: str, verify: str
):
    spec = make_dataset()
    before = build_index(spec, "train", verify=verify)  # type: ignore[arg-type]
    image, label = tmp_path / "images/train/01.png", tmp_path / "labels/train/01.txt"
    if change == "pixels":
        write_image(image, number=99)
    elif change == "label":
        label.write_text("1 0.5 0.5 0.25 0.51\n")
    elif change == "class":
        label.write_text("0 0.5 0.5 0.25 0.5\n")
    elif change == "name":
        image.rename(image.with_name("01x.png"))
        label.rename(label.with_name("01x.txt"))
    elif change == "image gone":
        image.unlink()
    elif change == "image damaged":
        image.write_bytes(image.read_bytes()[:-20])
    else:
        label.unlink()
    after = build_index(spec, "train", verify=verify)  # type: ignore[arg-type]
    assert after.fingerprint != before.fingerprint


def test_time_and_spelling_of_labels_are_no_content(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset()
    before = build_index(spec, "train").fingerprint
    (tmp_path / "labels/train/01.txt").write_text("\n1  0.50 .5 0.250 5e-1")
    os.utime(tmp_path / "images/train/00.png", ns=(1, 1))
    assert build_index(spec, "train").fingerprint == before


def test_a_second_start_decodes_only_what_changed(
    make_dataset: MakeDataset, tmp_path: Path, write_image: WriteImage, probed: list[str]
):
    spec = make_dataset(count=5)
    first = build_index(spec, "train")
    assert len(probed) == 5
    second = build_index(spec, "train", progress=None)
    assert len(probed) == 5
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.boxes_cxcywh_norm, first.boxes_cxcywh_norm)

    write_image(tmp_path / "images/train/03.png", number=9, width_px=10)
    write_image(tmp_path / "images/train/99.png", number=10)
    third = build_index(spec, "train")
    assert sorted(probed[5:]) == ["03.png", "99.png"]
    assert third.entry(3).width_px == 10
    assert len(third) == 6


def test_where_nothing_changed_no_row_is_gone_through_and_nothing_written(
    make_dataset: MakeDataset, own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """A million rows one by one would take a minute of every start."""
    spec = make_dataset(count=5)
    first = build_index(spec, "train")
    (memory,) = own_cache.glob("index/*.npz")
    written_at = memory.stat().st_mtime_ns

    def look(*_: object) -> None:
        raise AssertionError("a row was looked at")

    monkeypatch.setattr("peakmark.data.source.survey._look_at_image", look)
    seen: list[tuple[int, int]] = []
    again = build_index(spec, "train", workers=2, progress=lambda done, total: seen.append((done, total)))
    assert again.fingerprint == first.fingerprint
    assert seen == [(5, 5)]
    assert memory.stat().st_mtime_ns == written_at


def test_findings_are_told_again_at_a_second_start(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset(count=4, labels={0: "0 0.5 0.5 0.1 0.1\n" * 2, 1: "0 1 0.5 0.1 0.1\n"})
    (tmp_path / "images/train/03.png").write_bytes(b"")
    first, second = build_index(spec, "train"), build_index(spec, "train")
    assert len(first.warnings) == 3
    assert second.warnings == first.warnings
    assert second.unreadable == first.unreadable == ((str(tmp_path / "images/train/03.png"), "the file is empty"),)


def test_a_damaged_memory_is_made_anew(make_dataset: MakeDataset, own_cache: Path, probed: list[str]):
    spec = make_dataset()
    first = build_index(spec, "train")
    (remembered,) = own_cache.glob("index/*.npz")
    for damaged in (b"", b"nonsense", remembered.read_bytes()[:-100], remembered.read_bytes()[:400]):
        remembered.write_bytes(damaged)
        assert build_index(spec, "train").fingerprint == first.fingerprint
    assert len(probed) == 15


def test_a_cache_folder_that_cannot_be_written_is_said(make_dataset: MakeDataset, tmp_path: Path):
    spec = make_dataset()
    (tmp_path / "file").write_text("")
    index = build_index(spec, "train", cache_folder=tmp_path / "file")
    assert len(index) == 3
    assert "can't be remembered" in index.warnings[0]


def test_mended_labels_need_no_second_decoding(make_dataset: MakeDataset, tmp_path: Path, probed: list[str]):
    spec = make_dataset(labels={1: "7 0.5 0.5 0.1 0.1"})
    for _ in range(2):
        with pytest.raises(DataError, match="class 7 is out of range"):
            build_index(spec, "train")
    (tmp_path / "labels/train/01.txt").write_text("1 0.5 0.5 0.1 0.1")
    assert len(build_index(spec, "train").classes) == 3
    assert len(probed) == 3


def test_another_number_of_classes_checks_labels_again(make_dataset: MakeDataset, tmp_path: Path):
    build_index(make_dataset(), "train")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cat]\n")
    with pytest.raises(DataError, match="class 1 is out of range"):
        build_index(read_dataset(tmp_path / "data.yaml"), "train")


def test_many_bad_lines_show_twenty_and_the_count(make_dataset: MakeDataset):
    spec = make_dataset(labels={0: "9 0.5 0.5 0.1 0.1\n" * 15, 2: "0 nan 0 0 0\n" * 10})
    with pytest.raises(DataError) as caught:
        build_index(spec, "train")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("train: 25 label lines are wrong")
    assert len([line for line in lines if ".txt, line " in line]) == 20
    assert "00.txt, line 15: class 9" in lines[15]
    assert lines[-1] == "  ... and 5 more"


def test_lists_of_images(make_dataset: MakeDataset, tmp_path: Path):
    make_dataset()
    lists = tmp_path / "lists"
    lists.mkdir()
    beside_root, beside_list = "./images/train/02.png", "../images/train/00.png"
    (lists / "some.txt").write_text(f"{beside_root}\n{beside_list}\n\n{tmp_path}/images/train/01.png\n{beside_root}\n")
    (tmp_path / "data.yaml").write_text("train: lists/some.txt\nnames: [a, b]\n")
    index = build_index(read_dataset(tmp_path / "data.yaml"), "train")
    assert [index.path(number).name for number in range(3)] == ["02.png", "00.png", "01.png"]
    assert len(index.classes) == 3
    assert index.warnings == ("train: 1 images are listed more than once; each is taken once.",)


def test_folders_are_walked_in_order_through_links(make_dataset: MakeDataset, tmp_path: Path, write_image: WriteImage):
    spec = make_dataset(count=2)
    write_image(tmp_path / "elsewhere/z.JPG")
    write_image(tmp_path / "images/train/.hidden.png")
    (tmp_path / "images/train/notes.csv").write_text("")
    (tmp_path / "images/train/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/train/round").symlink_to(tmp_path / "images")
    index = build_index(spec, "train")
    assert index.files == ("images/train/00.png", "images/train/01.png", "images/train/linked/z.JPG")


def test_labels_beside_images_and_their_names_file(tmp_path: Path, write_image: WriteImage):
    write_image(tmp_path / "all/a.png")
    (tmp_path / "all/a.txt").write_text("0 0.5 0.5 0.5 0.5")
    (tmp_path / "all/classes.txt").write_text("thing")
    (tmp_path / "all/train.txt").write_text("a.png\n")
    (tmp_path / "data.yaml").write_text("train: all/train.txt\nnames: [thing]\n")
    index = build_index(read_dataset(tmp_path / "data.yaml"), "train")
    assert len(index.classes) == 1
    assert index.warnings == ()


def test_selecting_keeps_images_and_truths_together(make_dataset: MakeDataset):
    texts = {number: f"{number % 2} 0.5 0.5 0.{number + 1} 0.5\n" * (number != 2) for number in range(6)}
    index = build_index(make_dataset(count=6, labels=texts), "train")
    chosen = index.select([4, 2, 0, 4])
    assert len(chosen) == 4
    for number, original in enumerate([4, 2, 0, 4]):
        assert chosen.path(number) == index.path(original)
        np.testing.assert_array_equal(chosen.truths_px(number).boxes_xyxy_px, index.truths_px(original).boxes_xyxy_px)
    assert [index.first(fraction).files for fraction in (1.0, 0.5, 0.01)] == [
        index.files,
        index.files[:3],
        index.files[:1],
    ]
    assert chosen.fingerprint != index.fingerprint


def test_single_class(make_dataset: MakeDataset):
    index = build_index(make_dataset(), "train")
    assert set(index.classes.tolist()) == {0, 1}
    assert set(index.as_single_class().classes.tolist()) == {0}
    assert index.as_single_class().fingerprint != index.fingerprint


def test_progress_counts_every_file(make_dataset: MakeDataset):
    seen: list[tuple[int, int]] = []
    build_index(make_dataset(count=4), "train", workers=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_set_without_labels_can_be_indexed_where_none_are_needed(make_dataset: MakeDataset):
    spec = make_dataset(labels=dict.fromkeys(range(3), ""))
    assert len(build_index(spec, "train", background_is_enough=True)) == 3


def test_a_failing_disk_stops_the_index(make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch):
    spec = make_dataset()

    def fail(_path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(DataError, match="check the disk"):
        build_index(spec, "train", workers=2)


def test_real_data():
    shared = BCCD / "data.yaml"
    if not shared.exists():
        pytest.skip("the blood-cell data set is not beside this checkout")
    spec = read_dataset(shared)
    indexes = [build_index(spec, split, workers=2) for split in ("train", "val", "test")]
    assert [len(index) for index in indexes] == [205, 87, 72]
    assert sum(len(index.classes) for index in indexes) == 4886
    assert spec.names == ("RBC", "WBC", "Platelets")
    assert all(index.warnings == () and index.unreadable == () for index in indexes)
    assert {
        (width, height) for index in indexes for width, height in zip(index.widths_px, index.heights_px, strict=True)
    } == {(640, 480)}
