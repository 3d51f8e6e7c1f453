"""torchrun starts all processes again where one died: which run goes on then, and what if that can't be noted?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.api.model import together, yolo
from peakmark.api.model.together import LaunchNote
from peakmark.errors import MachineError
from peakmark.events import RunEnded
from peakmark.nouns.run import Position


class ResumedError(Exception):
    """Raised in place of a resume."""


def test_a_resume_goes_on_in_the_run_that_it_had_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A named checkpoint branches into a new folder: a second branch would begin where the first one did."""
    for name in ("train", "branch"):
        (tmp_path / name / "weights").mkdir(parents=True)
    resumed: list[tuple[Path, Any, Any]] = []

    def resume(folder: Any, asked: Any, wishes: Any, audience: Any) -> None:
        resumed.append((folder.path, asked, wishes.changes))
        raise ResumedError

    monkeypatch.setattr(LaunchNote, "begun_before", lambda note: tmp_path / "branch")
    monkeypatch.setattr(yolo, "resume_run", resume)
    with pytest.raises(ResumedError):
        YOLO().resume(tmp_path / "train/weights/epoch3.pt", lr0=0.001)
    assert resumed == [(tmp_path / "branch", None, {})]


def ended(folder: Path) -> RunEnded:
    return RunEnded(folder, "interrupted", Position(0, 0, "train", 0), None, None, None, "", pictures=False)


def test_a_run_that_was_stopped_is_not_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(together, "attempts_before", lambda: 1)
    note = LaunchNote(tmp_path / "notes/1.json")
    assert note.begun_before() is None, "nothing was begun before one died"
    note(ended(tmp_path / "a run of \udcff"))
    with pytest.raises(SystemExit) as left:
        note.begun_before()
    assert left.value.code == 130


def test_a_note_that_cant_be_written_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, text: str) -> None:
        raise MachineError("Can't write: No space left on device.")

    monkeypatch.setattr(together, "write_text", full)
    LaunchNote(tmp_path / "note.json")(ended(tmp_path))
