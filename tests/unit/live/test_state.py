"""Is what is said of a run at a moment what its folder says, and is nothing of the run touched by looking?"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.told_run import BEGAN, EPOCH_S

from peakmark.events import StepSkipped
from peakmark.files.lock import RunLock, is_alive
from peakmark.live.audits import audit_of
from peakmark.live.finding import key_of, runs_in
from peakmark.live.state import LiveState, decisions_of, said_at_start, state_of, story_of
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read

AFTER_THREE = BEGAN + timedelta(seconds=3 * EPOCH_S)
NOBODY = 2**22 + 1
"""No process has this number: it is beyond the largest that Linux gives."""


def looked_at(run: RunFolder, now: datetime | None = None) -> LiveState:
    return state_of(run, read(run.journal), now)


def test_a_run_under_way_says_pace_and_time_left_and_estimates_where_it_is(make_run):
    made = make_run()
    state = looked_at(made.run, AFTER_THREE + timedelta(seconds=12))
    assert (state.state, state.epochs_done, state.epochs) == ("running", 3, 10)
    assert (state.pace, state.share_of_epoch) == ("0 min 30 s", 40)
    assert state.left == "3:18", "seven epochs of 30 s, 12 s of them over"
    assert state.patience == "4 / 5"
    assert (state.best_epoch, state.line) == ("3", "epoch 3 <i>beats</i> all")


def test_an_epoch_that_takes_longer_than_the_last_is_never_said_to_be_done(make_run):
    state = looked_at(make_run().run, AFTER_THREE + timedelta(hours=1))
    assert state.share_of_epoch == 99
    assert state.left == "3:00", "the epochs after this one"


@pytest.mark.parametrize(
    ("outcome", "word"),
    [("finished", "ended"), ("early_stopped", "ended"), ("interrupted", "waiting"), ("out_of_time", "waiting"),
     ("not_finite", "broken"), ("broken", "broken")],
)  # fmt: skip
def test_an_end_is_what_the_journal_says(make_run, outcome, word):
    made = make_run()
    made.end(outcome)
    state = looked_at(made.run, AFTER_THREE)
    assert (state.state, state.left, state.share_of_epoch) == (word, "", None)


def test_a_run_that_was_killed_is_told_from_one_that_runs_here_or_elsewhere(make_run):
    made = make_run()
    made.held_by(NOBODY)
    assert looked_at(made.run, AFTER_THREE).state == "stopped"
    made.held_by(os.getpid(), host="another-machine")
    assert looked_at(made.run, AFTER_THREE).state == "elsewhere"


def test_a_run_that_was_resumed_after_its_end_runs_again(make_run):
    made = make_run()
    made.end("finished")
    made.run.summary.write_text(json.dumps({"outcome": "finished", "best": {"epoch": 1, "fitness": 0.9}}))
    assert looked_at(made.run, AFTER_THREE).best_epoch == "1"
    made.start()
    state = looked_at(made.run, AFTER_THREE)
    assert (state.state, state.best_epoch) == ("running", "3"), "the summary is that of the end before"


def test_a_run_that_has_only_begun_has_no_pace_yet(make_run):
    state = looked_at(make_run(epochs=0).run, BEGAN)
    assert (state.state, state.epochs_done, state.pace, state.left, state.patience) == ("running", 0, "", "", "")


def test_the_story_is_told_newest_first_and_what_is_serious_is_marked(make_run):
    made = make_run()
    made.tell(StepSkipped(3, 8, "the loss is not finite", ("a.png",), 1))
    skipped, notice = story_of(read(made.run.journal))
    assert (notice.text, notice.is_serious) == ("a <notice>", False)
    assert (skipped.text, skipped.is_serious) == ("the loss is not finite: a.png", True)
    assert [each.epoch for each in decisions_of(read(made.run.journal))] == ["3", "2", "1"]
    assert said_at_start(read(made.run.journal)) == ["151 objects are under 8 px."]


def test_looking_takes_no_lock_and_writes_nothing(make_run):
    made = make_run()
    files = {path: path.stat().st_mtime_ns for path in made.run.path.rglob("*")}
    looked_at(made.run, AFTER_THREE)
    assert {path: path.stat().st_mtime_ns for path in made.run.path.rglob("*")} == files


def test_whoever_holds_a_folder_is_seen_and_not_kept_from_it(tmp_path):
    assert is_alive(tmp_path) is False
    with RunLock(tmp_path):
        assert is_alive(tmp_path) is True
    assert is_alive(tmp_path) is False
    (tmp_path / ".lock-holder").write_bytes(b"\xff process")
    assert is_alive(tmp_path) is False


def test_runs_are_found_below_a_folder_and_by_themselves(make_run, tmp_path):
    one, two = make_run("one").run, make_run("deep/er/two").run
    found = runs_in([tmp_path])
    assert {run.path for run in found.values()} == {one.path, two.path}
    assert [run.path for run in runs_in([one.path, tmp_path / "runs/one"]).values()] == [one.path]
    assert runs_in([tmp_path / "gone"]) == {}
    assert found[key_of(one.path)].path == one.path


def test_the_newest_audit_of_the_same_data_is_shown(make_run):
    made = make_run()
    assert audit_of(made.run.path, "set.yaml") is None
    for name, data, text in (("audit", "set.yaml", "torn"), ("audit2", "other.yaml", "no"), ("audit3", None, "")):
        folder = made.run.path.parent / name
        folder.mkdir()
        findings = [{"severity": "high", "text": text}]
        (folder / "audit.json").write_text(json.dumps({"audit": {"data": data, "findings": findings}}) if data else "{")
    audit = audit_of(made.run.path, "set.yaml")
    assert audit is not None
    assert (audit.folder, audit.findings) == ("audit", [("high", "torn")])


def test_a_folder_that_is_no_run_has_nothing_to_say(tmp_path: Path):
    state = looked_at(RunFolder(tmp_path))
    assert (state.state, state.epochs_done, state.heard) == ("stopped", 0, "")
