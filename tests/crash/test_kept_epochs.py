"""The best epochs' files, killed at any system call: never fewer than the history asks for, and too many only for now.

What is kept is read as a resume reads it: from the newest good file, and brought in order as a resume does it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from peakmark.checkpoint.catalogue import has_files, newest_good
from peakmark.checkpoint.kept import kept_epochs
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.files import durable
from peakmark.nouns.run import History
from peakmark.record.folder import RunFolder
from peakmark.run.disk.kept_weights import keep_epochs, remove_surpassed, repair_best
from peakmark.selection.retention import kept_best

PROGRAM = Path(__file__).with_name("kept_epochs_that_are_killed.py")
KEEP, EPOCHS = 2, 7


@pytest.fixture(scope="module")
def killed(tiny_checkpoint, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("kept")
    save(tiny_checkpoint, folder / "state.pt")
    done = subprocess.run(
        [sys.executable, PROGRAM, folder, folder / "state.pt"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    calls: dict[str, str] = json.loads(done.stdout)
    assert {"fsync", "replace", "unlink"} <= set(calls.values()), "a step that nobody was killed at"
    return folder, calls


def test_an_unharmed_run_ends_with_the_best_and_the_last(killed):
    folder = RunFolder(killed[0] / "whole")
    assert {path.name for path in folder.weights.iterdir()} == {
        "best.pt", "last.pt", "best_epoch7.pt", "best_epoch4.pt",
    }  # fmt: skip
    best, kept = folder.best, folder.best_epoch_file(6)
    assert best.read_bytes() == kept.read_bytes()
    assert not best.samefile(kept), "spoiling one must not spoil the other"


def test_killed_at_any_call_the_best_epochs_are_there(killed):
    folder, calls = killed
    reached = set()
    for number, call in calls.items():
        run = RunFolder(folder / number)
        if not has_files(run.weights):
            continue
        history = newest_good(run.weights).checkpoint.history
        case = f"killed before {call} number {number}, at epoch {len(history.records)}"
        kept = kept_best(history, KEEP)
        assert set(kept) <= set(kept_epochs(run.weights, history)), case
        assert len(run.best_epoch_files()) <= KEEP + 2, case
        durable.clean_leftovers(run.weights)
        repair_best(run, history)
        keep_epochs(run, history, keep=KEEP, save_period=0)
        assert set(run.best_epoch_files()) == set(kept), case
        for epoch, path in run.best_epoch_files().items():
            assert read(path).weights_epoch == epoch, case
        assert read(run.best).weights_epoch == kept[0], case
        reached.add(len(history.records))
    assert reached == set(range(1, EPOCHS + 1))


def test_a_longer_list_begins_with_what_best_and_last_hold(tiny_checkpoint, tmp_path):
    """keep=1 becomes keep=3: the next epochs take both names, and what they held must not be lost with them."""
    run = RunFolder(tmp_path)
    save(tiny_checkpoint, run.best, run.last)
    keep_epochs(run, tiny_checkpoint.history, keep=1, save_period=0)
    assert run.best_epoch_files() == {}
    keep_epochs(run, tiny_checkpoint.history, keep=3, save_period=0)
    assert set(run.best_epoch_files()) == {1}
    keep_epochs(run, tiny_checkpoint.history, keep=1, save_period=0)
    assert run.best_epoch_files() == {}, "the one that is best.pt needs no second file"


def test_a_kill_between_the_names_of_a_save_costs_no_file_of_save_period(tiny_checkpoint, tmp_path):
    """best.pt comes first of the names, and the run goes on from it: nobody would write epoch2.pt any more."""
    for number, first in enumerate(("best.pt", "best_epoch2.pt")):
        run = RunFolder(tmp_path / str(number))
        save(tiny_checkpoint, run.weights / first)
        for save_period, kept in ((0, False), (3, False), (2, True)):
            keep_epochs(run, tiny_checkpoint.history, keep=3, save_period=save_period)
            assert run.epoch_file(1).exists() is kept
        assert run.epoch_file(1).read_bytes() == (run.weights / first).read_bytes()


def test_files_of_later_epochs_and_of_the_user_stay(tmp_path):
    run = RunFolder(tmp_path)
    for name in ("best_epoch1.pt", "best_epoch2.pt", "best_epoch9.pt", "best_epoch_mine.pt", "epoch1.pt", "best.pt"):
        durable.write_bytes(run.weights / name, b"weights")
    remove_surpassed(run, kept=(1,), epoch=4)
    left = {path.name for path in run.weights.iterdir()}
    assert left == {"best_epoch2.pt", "best_epoch9.pt", "best_epoch_mine.pt", "epoch1.pt", "best.pt"}


def test_without_epochs_nothing_is_taken_away(tmp_path):
    run = RunFolder(tmp_path)
    durable.write_bytes(run.best_epoch_file(3), b"weights")
    keep_epochs(run, History(), keep=3, save_period=0)
    assert set(run.best_epoch_files()) == {3}


def test_a_file_that_can_not_be_taken_away_is_told_and_ends_no_run(killed):
    folder = killed[0] / "refused"
    told = (folder / "told").read_text()
    assert "no longer among the best stays on the disk" in told
    assert "best_epoch2.pt: Operation not permitted" in told
    assert len(RunFolder(folder).best_epoch_files()) > KEEP
