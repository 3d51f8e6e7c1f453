"""Does a run keep the evidence of exactly the epochs that are in its history, whatever happens to it?"""

from __future__ import annotations

from pathlib import Path

import pytest

from peakmark import YOLO
from peakmark.errors import MachineError
from peakmark.events import Event, Notice
from peakmark.files import durable
from peakmark.nouns.run import Position
from peakmark.record.folder import RunFolder
from peakmark.run.disk.evidence_files import remove_evidence_beyond


def kept(folder: Path) -> set[str]:
    return {path.name for path in (folder / "evidence").iterdir()}


def of_epochs(*epochs: int) -> set[str]:
    return {f"epoch{epoch}.npz" for epoch in epochs}


def test_evidence_of_epochs_that_a_resume_went_back_before_is_taken_away(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for epoch in range(5):
        durable.write_bytes(folder.evidence_file(epoch), b"evidence")
    (folder.evidence / "epoch-notes.npz").write_bytes(b"mine")
    durable.stage(folder.evidence_file(2)).write_bytes(b"half of a file that a crash left")
    remove_evidence_beyond(folder, Position(epoch=3, phase="validate"))
    assert kept(tmp_path) == of_epochs(1, 2, 3) | {"epoch-notes.npz"}


def test_where_there_is_no_evidence_nothing_is_taken_away(tmp_path: Path) -> None:
    remove_evidence_beyond(RunFolder(tmp_path), Position(epoch=3))
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_where_its_evidence_can_not_be_written(train, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, data: bytes) -> None:
        if path.suffix == ".npz":
            raise MachineError(f"Can't write {path}: No space left on device. Free some space there.")
        plain(path, data)

    plain = durable.write_bytes
    monkeypatch.setattr(durable, "write_bytes", write)
    told: list[Event] = []
    results = train(observer=told.append, epochs=2)
    assert results.outcome == "finished"
    assert results.best is not None
    texts = [event.text for event in told if isinstance(event, Notice)]
    assert [text for text in texts if "evidence of epoch 1" in text and "Free some space" in text]
    assert [text for text in texts if "evidence of epoch 2" in text]


def test_a_resume_leaves_the_evidence_of_its_history_and_a_branch_takes_it_along(train, runs: Path) -> None:
    first = train(epochs=3, save_period=1)
    assert kept(first.save_dir) == of_epochs(1, 2, 3)
    before = (first.save_dir / "evidence/epoch1.npz").read_bytes()
    (first.save_dir / "evidence/epoch7.npz").write_bytes(b"of a future that did not come")
    YOLO().resume(first.save_dir, observer=lambda event: None, epochs=4)
    assert kept(first.save_dir) == of_epochs(1, 2, 3, 4)
    branch = YOLO().resume(
        first.save_dir / "weights/epoch2.pt", observer=lambda event: None, epochs=3, lr0=0.001, yes=True
    )
    assert branch.save_dir != first.save_dir
    assert kept(branch.save_dir) == of_epochs(1, 2, 3)
    assert (branch.save_dir / "evidence/epoch1.npz").read_bytes() == before
    assert kept(first.save_dir) == of_epochs(1, 2, 3, 4)
