"""A break is told at once, everything else at the end of the watch; what is done about it is what was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peakmark.events import EpochEnded, ResumePlanned, RunStarted, SeamJudged
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.losses import Losses
from peakmark.nouns.resume import Cause, ChangePlan, Continuity
from peakmark.nouns.run import Decision, EpochRecord, History, Position, Segment
from peakmark.record.folder import RunFolder
from peakmark.record.journal import Journal
from peakmark.resume.health.continuity import continuity_of
from peakmark.resume.health.diagnosis import NOTHING_FOUND
from peakmark.resume.watch import OnBreak, SeamWatch, looking_at
from peakmark.settings.fields import Settings
from peakmark.settings.plain import to_plain
from peakmark.settings.recipe import recipe

WISHES = Settings(data="x.yaml", mosaic=0.0, close_mosaic=0)
SETTINGS, RECIPE = to_plain(WISHES), recipe(WISHES, classes=2, images=100)
SEGMENT = Segment(0, 0, SETTINGS, "start", dataclasses.asdict(RECIPE), 40, "one set")
CAUSE = Cause("learning rate jumped", "x10", "lower it", 0.9)
BEFORE = 12


def record(epoch: int, level: float) -> EpochRecord:
    losses = Losses(2 - 0.05 * epoch + level, 1 - 0.02 * epoch + level, 1 + level)
    metrics = {"map50_95": 0.2 + 0.01 * epoch - level / 2}
    return EpochRecord(epoch, 0, epoch, 8, losses, (0.01,), metrics, None, losses, metrics["map50_95"])


class Run:
    """Twelve quiet epochs, then some at another level, watched."""

    def __init__(self, levels: list[float], on_break: OnBreak = "warn"):
        self.told: list[Any] = []
        self.stop = StopRequest(None)
        watch = SeamWatch(BEFORE, 3, on_break, self._look)
        records = [record(epoch, 0.0) for epoch in range(BEFORE)]
        for number, level in enumerate(levels):
            records.append(record(BEFORE + number, level))
            ended = EpochEnded(records[-1], Decision(0, False, None, None, False, False, None, ""), 40)
            watch(ended, History(tuple(records), (SEGMENT,)), self.told.append, self.stop)

    def _look(self, history: History) -> Continuity:
        return continuity_of(history, first_epoch=BEFORE, watch=3)

    @property
    def verdict(self) -> Any:
        (judged,) = self.told
        assert isinstance(judged, SeamJudged)
        return judged.verdict


def test_a_quiet_seam_is_told_of_once_when_the_watch_ends():
    run = Run([0.0, 0.0, 0.0, 3.0, 3.0])
    assert (run.verdict.kind, run.told[0].epoch, run.stop.reason) == ("continuous", BEFORE + 2, None)
    assert Run([0.0, 0.0]).told == []


def test_a_break_is_told_at_once():
    run = Run([3.0])
    assert (run.verdict.kind, run.told[0].epoch) == ("broken", BEFORE)


@pytest.mark.parametrize(("on_break", "reason"), [("warn", None), ("pause", "paused"), ("stop", "broken")])
def test_what_a_break_does_is_what_was_asked_for(on_break, reason):
    assert Run([3.0, 3.0, 3.0], on_break).stop.reason == reason
    assert Run([0.0, 0.0, 0.0], on_break).stop.reason is None


def test_the_last_epoch_of_a_run_ends_the_watch():
    last = dataclasses.replace(record(BEFORE, 0.0))
    told: list[Any] = []
    watch = SeamWatch(BEFORE, 3, "warn", lambda history: continuity_of(history, first_epoch=BEFORE))
    records = (*(record(epoch, 0.0) for epoch in range(BEFORE)), last)
    ended = EpochEnded(last, Decision(0, False, None, None, False, False, None, ""), BEFORE + 1)
    watch(ended, History(records, (SEGMENT,)), told.append, StopRequest(None))
    assert [event.verdict.kind for event in told] == ["continuous"]


# --- what the journal of a run says of its seam ---------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Callable[..., Path]:
    """Writes a journal of a run that was started, and resumed as the plans say."""

    def write(*plans: ChangePlan) -> Path:
        path = tmp_path / "journal.jsonl"
        told = Journal(path)
        told(started(Position()))
        for made in plans:
            position = Position(BEFORE, 0, "train", 12)
            told(ResumePlanned(tmp_path, made, position))
            told(started(position))
        return path

    return write


def started(position: Position) -> RunStarted:
    return RunStarted(Path("run"), "yolov8n", 9, ("a",), 8, 2, 40, 32, position, "cpu", "float32", 1, "AdamW")


def histories(level: float) -> History:
    records = [record(epoch, 0.0) for epoch in range(BEFORE)] + [record(BEFORE + k, level) for k in range(3)]
    return History(tuple(records), (SEGMENT,))


def looked_at(path: Path, level: float, found: tuple[Cause, ...] = ()) -> Continuity:
    return looking_at(path, watch=3, found=found, data_changes=())(histories(level))


UNCHANGED = ChangePlan((), (), ())
CHANGED = ChangePlan(("nbs: 64 -> 32",), (), ("settings were changed",))


def test_causes_come_with_a_break_and_where_there_is_none_that_is_said(journal):
    verdict = looked_at(journal(CHANGED), 3.0, (CAUSE,))
    assert (verdict.kind, verdict.causes[0].name) == ("broken", CAUSE.name)
    assert NOTHING_FOUND not in verdict.text
    without = looked_at(journal(CHANGED), 3.0)
    assert (without.kind, without.causes) == ("broken", ())
    assert NOTHING_FOUND in without.text


def test_the_remedy_while_the_run_goes_names_the_command_that_goes_back(journal, tmp_path):
    path = journal(CHANGED)
    before = RunFolder(tmp_path).before_file(BEFORE)
    before.parent.mkdir()
    before.write_bytes(b"")
    (named,) = looked_at(path, 3.0, (CAUSE,)).causes
    assert named.remedy == f"{CAUSE.remedy} From before it: peakmark resume {before}"


def test_a_proven_run_cannot_be_broken(journal):
    assert looked_at(journal(UNCHANGED), 3.0, (CAUSE,)).kind == "continuous"


def test_a_resume_without_a_change_right_after_one_with_is_still_the_changed_one(journal):
    assert looked_at(journal(CHANGED, UNCHANGED), 3.0).kind == "broken"
