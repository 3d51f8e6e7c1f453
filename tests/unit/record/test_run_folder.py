"""Run folders: each run its own, none written over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from peakmark.errors import MachineError, SettingsError
from peakmark.files.lock import RunLock
from peakmark.record.folder import RunFolder, create_run_folder


def test_each_run_gets_its_own_folder(tmp_path):
    made = [create_run_folder(tmp_path / "runs" / "detect", "train", exist_ok=False) for _ in range(3)]
    assert [folder.path.name for folder, _ in made] == ["train", "train2", "train3"]
    assert all(notes == () for _, notes in made)


def test_a_gap_is_filled_and_any_folder_is_left_alone(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train3").mkdir()
    names = [create_run_folder(tmp_path, "train", exist_ok=False)[0].path.name for _ in range(2)]
    assert names == ["train2", "train4"]
    assert list((tmp_path / "train").iterdir()) == []


def test_runs_that_start_together_don_t_share_a_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: create_run_folder(tmp_path, "train", exist_ok=False)[0].path, range(16)))
    assert len(set(made)) == 16


def test_exist_ok_takes_the_name_and_moves_the_earlier_run_aside(tmp_path):
    first, notes = create_run_folder(tmp_path, "exp", exist_ok=True)
    assert notes == ()
    first.weights.mkdir()
    first.last.write_bytes(b"precious")
    (tmp_path / "exp2").mkdir()
    second, notes = create_run_folder(tmp_path, "exp", exist_ok=True)
    assert second.path == first.path
    assert not second.last.exists()
    assert RunFolder(tmp_path / "exp3").last.read_bytes() == b"precious"
    assert len(notes) == 1
    assert "exp3" in notes[0]


def test_exist_ok_takes_an_empty_folder_as_it_is(tmp_path):
    (tmp_path / "exp").mkdir()
    folder, notes = create_run_folder(tmp_path, "exp", exist_ok=True)
    assert folder.path == tmp_path / "exp"
    assert notes == ()


def test_a_folder_that_is_no_run_is_never_moved(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(b"mine")
    with pytest.raises(MachineError, match=r"is no run of Peakmark.*Choose another name"):
        create_run_folder(tmp_path, "images", exist_ok=True)
    assert (tmp_path / "images" / "1.jpg").read_bytes() == b"mine"


def test_a_run_that_is_still_going_is_never_moved(tmp_path):
    folder, _ = create_run_folder(tmp_path, "exp", exist_ok=True)
    with RunLock(folder.path):
        with pytest.raises(MachineError, match="in use"):
            create_run_folder(tmp_path, "exp", exist_ok=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["exp"]
    create_run_folder(tmp_path, "exp", exist_ok=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exp", "exp2"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp/x", "a/"])
def test_a_name_is_no_path(tmp_path, name):
    with pytest.raises(SettingsError, match=r"name=.*project="):
        create_run_folder(tmp_path, name, exist_ok=True)
    assert list(tmp_path.iterdir()) == []


def test_a_project_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(MachineError, match="is a file, not a folder"):
        create_run_folder(tmp_path / "runs" / "detect", "train", exist_ok=False)


def test_the_layout_that_users_know(tmp_path):
    folder = RunFolder(tmp_path)
    places = [
        folder.last,
        folder.best,
        folder.epoch_file(9),
        folder.results_csv,
        folder.journal,
        folder.settings_yaml,
        folder.summary,
    ]
    assert [str(place.relative_to(tmp_path)) for place in places] == [
        "weights/last.pt",
        "weights/best.pt",
        "weights/epoch10.pt",
        "results.csv",
        "journal.jsonl",
        "settings.yaml",
        "summary.json",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_way_back_is_the_state_before_a_change_or_else_the_newest_that_is_kept(tmp_path):
    """Epochs are 0-based here, and 1-based in the names of files."""
    folder = RunFolder(tmp_path)
    folder.weights.mkdir()
    assert folder.way_back(5) is None
    for name in ("epoch2.pt", "best_epoch4.pt", "epoch6.pt", "epoch_of_mine.pt", "before_epoch9.pt"):
        (folder.weights / name).write_bytes(b"")
    assert folder.way_back(5) == folder.best_epoch_file(3)
    assert folder.way_back(3) == folder.epoch_file(1)
    assert folder.way_back(1) is None, "a state from after the break is no way back"
    folder.before_file(5).write_bytes(b"")
    assert folder.way_back(5) == folder.weights / "before_epoch6.pt"
