"""A save that is killed or refused at any system call: what stood before stands, or the new file does, whole."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.machine.durable import clean_leftovers
from peakmark.nouns import Position

PROGRAM = Path(__file__).with_name("saves_that_fail.py")
OLD_NAMES = ("best.pt", "last.pt")


@pytest.fixture(scope="module")
def folder(tiny_checkpoint, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("saves")
    save(tiny_checkpoint, folder / "old.pt")
    save(replace(tiny_checkpoint, position=Position(epoch=2, images=4, step=4)), folder / "new.pt")
    return folder


@pytest.fixture(scope="module")
def ended(folder) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, PROGRAM, folder, folder / "new.pt"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def test_every_call_was_tried(ended):
    assert ended["UNHARMED"] == "done"
    assert sum(case.startswith("KILL") for case in ended) > 20
    assert {outcome for case, outcome in ended.items() if case.startswith("KILL")} == {"killed"}


def test_a_refusal_is_a_sentence_and_nothing_breaks(ended, folder):
    refused = {case for case, outcome in ended.items() if case.split("-")[0] in ("ENOSPC", "EIO", "EPERM", "LIMIT")}
    assert {ended[case] for case in refused} == {"refused", "done"}
    for case in refused:
        if ended[case] == "refused":
            assert (folder / case / "said").read_text().startswith("Can't write ")
    assert ended["LIMIT"] == "refused"


def test_old_files_stand_or_new_ones_do_whole(ended, folder):
    old, new = everything(read(folder / "old.pt")), everything(read(folder / "new.pt"))
    seen = set()
    for case, outcome in ended.items():
        found = {path.name: everything(read(path)) for path in (folder / case).glob("[!.]*.pt")}
        assert set(OLD_NAMES) <= set(found), case
        assert set(found.values()) <= {old, new}, case
        # Names change in the order in which they are given.
        is_new = [found.get(name) == new for name in ("best.pt", "last.pt", "epoch2.pt")]
        assert is_new == sorted(is_new, reverse=True), case
        if outcome == "done":
            assert all(is_new), case
        seen.add(tuple(is_new))
    assert len(seen) == 4, "each stage between all old and all new must have been reached"


def test_what_a_crash_leaves_is_cleaned_and_a_refusal_leaves_nothing(ended, folder):
    for case, outcome in ended.items():
        left = clean_leftovers(folder / case)
        names = {path.name for path in (folder / case).iterdir()}
        assert names <= {"best.pt", "last.pt", "epoch2.pt", "said", "calls"}, case
        if outcome != "killed":
            # Taking the staged file away may itself be what is refused.
            assert len(left) <= 1, case
    assert sum(bool(clean_leftovers(folder / case)) for case in ended) == 0


def test_the_disk_has_it_before_the_name_does(ended, folder):
    """Against a power cut: the file is flushed before it gets its first name, the folder after its last."""
    calls = (folder / "UNHARMED" / "calls").read_text().splitlines()
    last_write = max(index for index, call in enumerate(calls) if call == "write")
    first_name = calls.index("replace")
    last_name = max(index for index, call in enumerate(calls) if call == "replace")
    assert "fsync" in calls[last_write:first_name]
    assert "fsync" in calls[last_name:]
