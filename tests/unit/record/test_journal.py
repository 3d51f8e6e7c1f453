"""The journal tells a run's story, survives a kill, and says what a resume went back before."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import MappingProxyType

import pytest

from peakmark.errors import MachineError
from peakmark.events import (
    EpochEnded,
    EpochStarted,
    Event,
    MicrobatchDone,
    Notice,
    ResumePlanned,
    RunEnded,
    RunStarted,
    SeamJudged,
    StepSkipped,
    TimeMeasured,
    ValidationProgress,
)
from peakmark.nouns.losses import Losses
from peakmark.nouns.resume import Cause, ChangePlan, Continuity, Observed, PlannedPart
from peakmark.nouns.run import Decision, EpochRecord, Position
from peakmark.nouns.timings import Timings
from peakmark.record.journal import Journal, mark_superseded, read

LOSSES = Losses(1.0, 1.0, 1.0)
IMAGES = 20


def started(position: Position) -> RunStarted:
    return RunStarted(
        Path("run"), "yolov8n", 9, ("cat",), IMAGES, 2, 3, 32, position, "cpu", "float32", 1, "AdamW",
        MappingProxyType({"versions": {"torch": "2.13.0"}, "data": {"train": "f00d"}}),
    )  # fmt: skip


def epoch_of(epoch: int) -> list[Event]:
    """What a whole epoch tells."""
    record = EpochRecord(epoch, 0, 2 * epoch + 2, IMAGES, LOSSES, (0.1,))
    return [
        EpochStarted(epoch, 3, IMAGES, True),
        MicrobatchDone(epoch, 3, 8, IMAGES, LOSSES, 1, 32, 0),
        Notice(f"in {epoch} after 8"),
        MicrobatchDone(epoch, 3, IMAGES, IMAGES, LOSSES, 1, 32, 0),
        StepSkipped(epoch, IMAGES, "loss", (), 1),
        ValidationProgress(epoch, 1, 2),
        Notice(f"validating {epoch}"),
        EpochEnded(record, Decision(epoch, True, epoch, 0.5, False, False, None, "why"), 3),
        Notice(f"after {epoch}"),
        SeamJudged(Continuity("continuous", "As before."), epoch),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The journal of three epochs that were trained in one go."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal(started(Position()))
    for epoch in range(3):
        for event in epoch_of(epoch):
            journal(event)
    return tmp_path / "journal.jsonl"


def marked(path: Path) -> list[str]:
    return [
        f"{told['event']} {told.get('text') or told.get('last_epoch') or told['epoch']}"
        for told in read(path)
        if told.get("superseded") is True
    ]


REST_OF_1 = [
    "StepSkipped 2", "Notice validating 1", "EpochEnded 2", "Notice after 1", "SeamJudged 2",
]  # fmt: skip
ALL_OF_2 = [
    "Notice in 2 after 8", "StepSkipped 3", "Notice validating 2", "EpochEnded 3", "Notice after 2", "SeamJudged 3",
]  # fmt: skip


@pytest.mark.parametrize(
    ("position", "beyond"),
    [
        (Position(3, 0, "train"), []),
        (Position(2, IMAGES, "validate"), ["EpochEnded 3", "Notice after 2", "SeamJudged 3"]),
        (Position(2, 12, "train"), ALL_OF_2[1:]),
        (Position(2, 8, "train"), ALL_OF_2[1:]),
        (Position(2, 0, "train"), ALL_OF_2),
        (Position(1, IMAGES, "train"), [*REST_OF_1[1:], *ALL_OF_2]),
        (Position(1, 12, "train"), [*REST_OF_1, *ALL_OF_2]),
    ],
    ids=["all done", "not validated", "within", "at the event's own place", "between epochs", "trained", "way back"],
)
def test_events_beyond_the_restored_position_are_marked(path: Path, position: Position, beyond: list[str]):
    before = read(path)
    assert mark_superseded(path, position) == len(beyond)
    assert marked(path) == beyond
    told = [{key: value for key, value in event.items() if key != "superseded"} for event in read(path)]
    assert told == before, "nothing but the mark was changed"


def test_marks_stay_and_what_is_done_again_is_not_marked(path: Path):
    assert mark_superseded(path, Position(2, 8, "train")) == 5
    journal = Journal(path)
    journal(ResumePlanned(Path("run"), ChangePlan((), (), ()), Position(2, 8, "train", 5)))
    journal(started(Position(2, 8, "train", 5)))
    for event in epoch_of(2)[3:]:
        journal(event)
    again = path.read_bytes()
    assert mark_superseded(path, Position(3, 0, "train", 6)) == 0
    assert path.read_bytes() == again
    assert marked(path) == ALL_OF_2[1:]
    assert sum(told["event"] == "EpochEnded" and not told.get("superseded") for told in read(path)) == 3


def test_an_end_that_was_resumed_from_stands_and_a_later_one_does_not(path: Path):
    journal = Journal(path)
    journal(
        RunEnded(Path("run"), "interrupted", Position(3, 4, "train", 9), 1, 0.5, {"map50_95": 0.5}, "Stopped.", False)
    )
    assert read(path)[-1]["best_epoch"] == 2, "counted from 1, as everywhere in the file"
    assert mark_superseded(path, Position(3, 4, "train", 9)) == 0
    assert mark_superseded(path, Position(3, 0, "train", 8)) == 1
    assert marked(path) == ["RunEnded Stopped."]


def test_a_line_that_a_kill_cut_off_is_skipped_and_kept_and_glues_to_nothing(path: Path):
    whole = len(read(path))
    content = path.read_bytes()
    cut = content[: -len(content.splitlines()[-1]) // 2]
    path.write_bytes(cut)
    assert len(read(path)) == whole - 1
    assert mark_superseded(path, Position(2, 0, "train")) == 5
    assert cut.splitlines()[-1] in path.read_bytes().splitlines()
    Journal(path)(Notice("the next"))
    assert read(path)[-1]["text"] == "the next"
    assert len(read(path)) == whole


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[1]", b"\xff\xfe", b'"text"', b"[" * 100_000, b'{"at": 1}', b'{"event": 3}', b"1" * 5000]
)
def test_any_line_may_stand_there(path: Path, line: bytes):
    whole = read(path)
    path.write_bytes(line + b"\n" + path.read_bytes() + line)
    assert read(path) == whole
    mark_superseded(path, Position())
    assert path.read_bytes().count(line) >= 2
    assert len(read(path)) == len(whole)


def test_events_of_another_make_are_left_alone(path: Path):
    path.write_text('{"event": "Told", "epoch": "9"}\n{"event": "Told", "epoch": 9}\n{"event": "EpochEnded"}\n')
    assert mark_superseded(path, Position()) == 0
    assert len(read(path)) == 3


def test_no_journal_is_an_empty_one(tmp_path: Path):
    assert read(tmp_path / "journal.jsonl") == []
    assert mark_superseded(tmp_path / "journal.jsonl", Position()) == 0
    assert not (tmp_path / "journal.jsonl").exists()


def test_a_journal_that_can_t_be_read_is_named(tmp_path: Path):
    with pytest.raises(MachineError, match="journal"):
        read(tmp_path)


def test_a_resume_and_its_seam_are_told_whole(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    part = PlannedPart("learning rate", "changed", "it was set", "losses up by 0.1", dangerous=True)
    expected = MappingProxyType({"train/box": (-0.1, 0.2), "map50_95": (-math.inf, math.inf)})
    plan = ChangePlan(("lr0: 0.01 -> 0.1",), (part,), ("another device",), expected)
    seen = Observed(6, "train/box", 1.5, 1.0, 0.05, 0.1)
    cause = Cause("rate jump", "lr0 is 10 times as high", "go back to lr0=0.01", 0.9)
    journal(ResumePlanned(tmp_path, plan, Position(5, 8, "train", 17)))
    journal(SeamJudged(Continuity("broken", "Broken.", (seen,), (cause,)), 6))
    planned, judged = read(path)
    assert (planned["epoch"], planned["images"], planned["phase"], planned["step"]) == (6, 8, "train", 17)
    assert planned["plan"] == {
        "changes": ["lr0: 0.01 -> 0.1"],
        "parts": [
            {"part": "learning rate", "fate": "changed", "why": "it was set", "moves": "losses up by 0.1",
             "dangerous": True}
        ],
        "inexact": ["another device"],
        "expected": {"train/box": [-0.1, 0.2], "map50_95": [None, None]},
    }  # fmt: skip
    assert (judged["last_epoch"], judged["verdict"]["kind"]) == (7, "broken")
    assert judged["verdict"]["observed"] == [
        {"epoch": 7, "name": "train/box", "value": 1.5, "expected": 1.0, "normal": 0.05, "alarm": 0.1}
    ]
    assert judged["verdict"]["causes"][0]["remedy"] == "go back to lr0=0.01"


def test_a_start_tells_what_it_was_made_with(path: Path):
    assert read(path)[0]["provenance"] == {"versions": {"torch": "2.13.0"}, "data": {"train": "f00d"}}


def test_a_file_s_name_may_be_no_text(tmp_path: Path):
    name = b"caf\xe9.jpg".decode(errors="surrogateescape")
    Journal(tmp_path / "j.jsonl")(StepSkipped(0, 8, "loss", (name, "a\u2028b.jpg"), 1))
    assert read(tmp_path / "j.jsonl")[0]["files"] == [name, "a\u2028b.jpg"]
    assert json.loads((tmp_path / "j.jsonl").read_bytes())["files"][0] == name


def test_where_the_time_went_stays_with_its_place_in_the_run(path):
    timings = Timings({"loading": 1.0, "other": 0.5}, images=8, microbatches=1, updates=1)
    journal = Journal(path)
    journal(MicrobatchDone(3, 4, 8, IMAGES, LOSSES, 1, 32, 0))
    journal(TimeMeasured("1 steps", timings, ("advice",)))
    told = read(path)[-1]
    assert (told["epoch"], told["images"], told["over"]) == (4, 8, "1 steps")
    assert told["seconds"] == {"loading": 1.0, "other": 0.5}
    assert told["advice"] == ["advice"]
