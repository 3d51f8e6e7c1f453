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
from peakmark.files.durable import clean_leftovers
from peakmark.nouns.run import Position

PROGRAM = Path(__file__).with_name("saves_that_fail.py")
OLD_NAMES = ("best.pt", "last.pt")
ORDERS = {
    "ONCE": ("best.pt", "last.pt", "epoch2.pt"),
    "CLONES": ("best.pt", "last.pt", "epoch2.pt"),
    "BACKGROUND": ("best.pt", "epoch2.pt", "last.pt"),
}
"""The ways of saving, and the order in which each changes the names."""
WAYS = tuple(ORDERS)


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


def cases(ended: dict[str, str], way: str, *kinds: str) -> dict[str, str]:
    """Those of a way of saving, of these kinds or of all."""
    named = {case: case.split("-") for case in ended}
    return {case: ended[case] for case, words in named.items() if words[0] == way and (not kinds or words[1] in kinds)}


@pytest.mark.parametrize("way", WAYS)
def test_every_call_was_tried(ended, folder, way):
    assert ended[f"{way}-UNHARMED"] == "done"
    calls = (folder / f"{way}-UNHARMED" / "calls").read_text().splitlines()
    # All that a save asks the system for: if one is missing, it goes another way that nobody tried.
    assert set(calls) >= {"open xb", "write", "fsync", "open rb", "open", "replace", "unlink"}
    killed = cases(ended, way, "KILL")
    assert set(killed.values()) == {"killed"}
    struck = {int(case.split("-")[2]) for case in killed}
    assert {number for number, call in enumerate(calls) if call != "write"} <= struck


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_is_a_sentence_and_nothing_breaks(ended, folder, way):
    refused = cases(ended, way, "ENOSPC", "EIO", "EPERM", "FULL", "LIMIT")
    assert set(refused.values()) <= {"refused", "done"}
    for case, outcome in refused.items():
        if outcome == "refused":
            assert (folder / case / "said").read_text().startswith("Can't write ")
    assert ended[f"{way}-LIMIT"] == "refused"


@pytest.mark.parametrize("way", WAYS)
def test_old_files_stand_or_new_ones_do_whole(ended, folder, way):
    old, new = everything(read(folder / "old.pt")), everything(read(folder / "new.pt"))
    seen = set()
    for case, outcome in cases(ended, way).items():
        found = {path.name: everything(read(path)) for path in (folder / case).glob("[!.]*.pt")}
        assert set(OLD_NAMES) <= set(found), case
        assert set(found.values()) <= {old, new}, case
        is_new = [found.get(name) == new for name in ORDERS[way]]
        tried_again = way == "BACKGROUND" and outcome != "killed"
        if not tried_again:
            # Names change in the order in which they are given: last.pt never knows of a best that best.pt is not.
            assert is_new == sorted(is_new, reverse=True), case
        if outcome == "done":
            assert all(found[name] == new for name in OLD_NAMES), case
            assert all(is_new) or tried_again, case
        seen.add(tuple(is_new))
    stages = {tuple(number < count for number in range(3)) for count in range(4)}
    assert seen >= stages, "each stage between all old and all new must have been reached"


def test_in_the_background_one_refusal_is_made_good_and_a_full_disk_is_told(ended, folder):
    once, for_good = cases(ended, "BACKGROUND", "ENOSPC"), cases(ended, "BACKGROUND", "FULL")
    assert set(once.values()) == {"done"}
    assert set(for_good.values()) >= {"refused"}
    for case in once:
        assert everything(read(folder / case / "last.pt")) == everything(read(folder / "new.pt"))
    for case in (case for case, outcome in for_good.items() if outcome == "refused"):
        assert "Free some space" in (folder / case / "said").read_text()


def test_what_a_crash_leaves_is_cleaned_and_a_refusal_leaves_nothing(ended, folder):
    for case, outcome in ended.items():
        left = clean_leftovers(folder / case)
        names = {path.name for path in (folder / case).iterdir()}
        assert names <= {"best.pt", "last.pt", "epoch2.pt", "said", "calls"}, case
        if outcome != "killed" and "FULL" not in case:
            # Taking the staged file away may itself be what is refused.
            assert len(left) <= 1, case
    assert sum(bool(clean_leftovers(folder / case)) for case in ended) == 0


@pytest.mark.parametrize("way", WAYS)
def test_the_disk_has_it_before_the_name_does(ended, folder, way):
    """Against a power cut: the file is flushed before it gets its first name, the folder after its last."""
    calls = (folder / f"{way}-UNHARMED" / "calls").read_text().splitlines()
    first_name = calls.index("replace")
    written = max(index for index, call in enumerate(calls[:first_name]) if call == "write")
    last_name = max(index for index, call in enumerate(calls) if call == "replace")
    assert "fsync" in calls[written:first_name]
    assert "fsync" in calls[last_name:]
