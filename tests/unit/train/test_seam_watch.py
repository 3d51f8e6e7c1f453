"""A break is told at once, everything else at the end of the watch; what is done about it is what was asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from peakmark.events import EpochEnded, SeamJudged
from peakmark.machine.stopping import StopRequest
from peakmark.nouns import Cause, Decision, EpochRecord, History, Losses, Segment
from peakmark.resume.diagnosis import NOTHING_FOUND
from peakmark.train.seam_watch import OnBreak, SeamWatch

SEGMENT = Segment(0, 0, {"mosaic": 0.0, "mixup": 0.0, "close_mosaic": 0}, "start", {}, 40, "one set")
CAUSE = Cause("learning rate jumped", "x10", "lower it", 0.9)
BEFORE = 12


def record(epoch: int, level: float) -> EpochRecord:
    losses = Losses(2 - 0.05 * epoch + level, 1 - 0.02 * epoch + level, 1 + level)
    metrics = {"map50_95": 0.2 + 0.01 * epoch - level / 2}
    return EpochRecord(epoch, 0, epoch, 8, losses, (0.01,), metrics, None, losses, metrics["map50_95"])


class Run:
    """Twelve quiet epochs, then some at another level, watched."""

    def __init__(self, levels: list[float], on_break: OnBreak = "warn", *, proven: bool = False, found: bool = True):
        self.told: list[Any] = []
        self.asked: list[History] = []
        self.stop = StopRequest(None)
        watch = SeamWatch(BEFORE, 3, {}, proven, on_break, self._diagnose(found))
        records = [record(epoch, 0.0) for epoch in range(BEFORE)]
        for number, level in enumerate(levels):
            records.append(record(BEFORE + number, level))
            ended = EpochEnded(records[-1], Decision(0, False, None, None, False, False, None, ""), 40)
            watch(ended, History(tuple(records), (SEGMENT,)), self.told.append, self.stop)

    def _diagnose(self, found: bool) -> Any:
        def diagnose(history: History, verdict: Any) -> tuple[Cause, ...]:
            self.asked.append(history)
            return (CAUSE,) if found else ()

        return diagnose

    @property
    def verdict(self) -> Any:
        (judged,) = self.told
        assert isinstance(judged, SeamJudged)
        return judged.verdict


def test_a_quiet_seam_is_told_of_once_when_the_watch_ends():
    run = Run([0.0, 0.0, 0.0, 3.0, 3.0])
    assert (run.verdict.kind, run.told[0].epoch, run.asked, run.stop.reason) == ("continuous", BEFORE + 2, [], None)
    assert Run([0.0, 0.0]).told == []


def test_a_break_is_told_at_once_with_its_causes():
    run = Run([3.0])
    assert (run.verdict.kind, run.verdict.causes, run.told[0].epoch) == ("broken", (CAUSE,), BEFORE)
    assert NOTHING_FOUND not in run.verdict.text
    assert NOTHING_FOUND in Run([3.0], found=False).verdict.text


@pytest.mark.parametrize(("on_break", "reason"), [("warn", None), ("pause", "paused"), ("stop", "broken")])
def test_what_a_break_does_is_what_was_asked_for(on_break, reason):
    assert Run([3.0, 3.0, 3.0], on_break).stop.reason == reason
    assert Run([0.0, 0.0, 0.0], on_break).stop.reason is None


def test_a_proven_run_cannot_be_broken():
    run = Run([3.0, 3.0, 3.0], "stop", proven=True)
    assert (run.verdict.kind, run.asked, run.stop.reason) == ("continuous", [], None)


def test_the_last_epoch_of_a_run_ends_the_watch():
    last = dataclasses.replace(record(BEFORE, 0.0))
    told: list[Any] = []
    watch = SeamWatch(BEFORE, 3, {}, False, "warn", lambda history, verdict: ())
    records = (*(record(epoch, 0.0) for epoch in range(BEFORE)), last)
    ended = EpochEnded(last, Decision(0, False, None, None, False, False, None, ""), BEFORE + 1)
    watch(ended, History(records, (SEGMENT,)), told.append, StopRequest(None))
    assert [event.verdict.kind for event in told] == ["continuous"]
