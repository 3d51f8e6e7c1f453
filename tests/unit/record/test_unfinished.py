"""A bare resume picks the run that was stopped last, and none that came to its end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from peakmark import YOLO
from peakmark.api.runs import run_to_resume
from peakmark.errors import ModelFileError
from peakmark.events import Event, Notice, RunEnded
from peakmark.files.lock import RunLock
from peakmark.nouns.outcome import Outcome
from peakmark.nouns.run import Position
from peakmark.record.folder import RunFolder
from peakmark.record.journal import Journal
from peakmark.record.unfinished import newest_unfinished, under_way


def make_run(project: Path, name: str, outcome: str | None, *, at: int = 0) -> RunFolder:
    folder = RunFolder(project / name)
    folder.path.mkdir(parents=True)
    folder.settings_yaml.write_text("epochs: 3\n")
    os.utime(folder.settings_yaml, ns=(at, 10**18 + at))
    if outcome is not None:
        folder.summary.write_text(json.dumps({"outcome": outcome}))
    return folder


def tell(folder: RunFolder, event: str, outcome: Outcome = "finished") -> None:
    if event == "RunEnded":
        Journal(folder.journal)(RunEnded(folder.path, outcome, Position(3), 1, 0.5, None, "Done.", True))
    else:
        with folder.journal.open("a") as lines:
            lines.write(json.dumps({"event": event, "epoch": 3, "images": 0}) + "\n")


@pytest.mark.parametrize(
    ("outcome", "picked"),
    [
        (None, True), ("interrupted", True), ("out_of_time", True), ("paused", True),
        ("broken", False), ("finished", False), ("early_stopped", False), ("not_finite", False),
    ],
)  # fmt: skip
def test_which_outcome_can_go_on(tmp_path: Path, outcome: str | None, picked: bool):
    folder = make_run(tmp_path, "train", outcome)
    assert newest_unfinished(tmp_path) == (folder.path if picked else None)


def test_the_newest_is_picked(tmp_path: Path):
    for at, name in enumerate(("train2", "train9", "train3")):
        make_run(tmp_path, name, "interrupted", at=at)
    make_run(tmp_path, "train4", "finished", at=9)
    assert newest_unfinished(tmp_path) == tmp_path / "train3"


def test_a_finished_run_that_was_being_extended_is_unfinished(tmp_path: Path):
    folder = make_run(tmp_path, "train", "finished")
    tell(folder, "RunStarted")
    tell(folder, "RunEnded")
    assert newest_unfinished(tmp_path) is None
    tell(folder, "RunStarted")
    tell(folder, "EpochEnded")
    assert newest_unfinished(tmp_path) == folder.path, "it was killed after more epochs were asked for"
    tell(folder, "RunEnded")
    assert newest_unfinished(tmp_path) is None


def test_a_run_that_is_under_way_was_not_stopped(tmp_path: Path):
    busy = make_run(tmp_path, "train2", None, at=9)
    with RunLock(busy.path):
        with pytest.raises(ModelFileError, match=rf"No run in .* was stopped .*{busy.path} is being trained") as error:
            run_to_resume(None, {"project": tmp_path})
        assert "resume FOLDER" in str(error.value)
        make_run(tmp_path, "train3", "finished", at=10)
        stopped = make_run(tmp_path, "train", "interrupted", at=0)
        assert newest_unfinished(tmp_path) == stopped.path
        assert under_way(tmp_path) == (busy.path,)
        assert run_to_resume(None, {"project": tmp_path}) == (stopped, None)
    assert newest_unfinished(tmp_path) == busy.path
    assert under_way(tmp_path) == ()


def test_a_resume_that_names_no_run_says_which_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    busy, stopped = make_run(tmp_path, "train2", None, at=9), make_run(tmp_path, "train", "interrupted")
    told: list[Event] = []

    def goes_on_with(folder: RunFolder, *_: object) -> None:
        raise ModelFileError(str(folder.path))

    monkeypatch.setattr("peakmark.api.model.yolo.resume_run", goes_on_with)
    for run, said in ((None, 1), (stopped.path, 0)):
        told.clear()
        with RunLock(busy.path), pytest.raises(ModelFileError, match=f"^{stopped.path}$"):
            YOLO().resume(run, observer=told.append, project=tmp_path)
        assert [str(busy.path) in event.text for event in told if isinstance(event, Notice)] == [True] * said


def test_a_damaged_summary_and_foreign_files_stop_nobody(tmp_path: Path):
    folder = make_run(tmp_path, "train", None)
    folder.summary.write_text("{")
    folder.journal.mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    assert newest_unfinished(tmp_path) == folder.path
    assert newest_unfinished(tmp_path / "not there") is None
