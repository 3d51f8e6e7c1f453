"""A run goes to a machine that can't compute as it did: nothing ends in a traceback, and what changes is said."""

from __future__ import annotations

from typing import Any

import pytest

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.events import EpochEnded, Notice, ResumePlanned, RunStarted


@pytest.fixture
def without_bfloat16(train, stop_at, all_cores, monkeypatch):
    """A run in bfloat16, stopped after its first epoch, on a processor that has none of it from here on."""
    monkeypatch.setattr("peakmark.machine.devices._native_bfloat16", lambda: True)
    monkeypatch.setattr("peakmark.machine.devices._mkldnn_has_bfloat16", lambda: True)
    monkeypatch.setattr("peakmark.resume.compare.default_threads", lambda: 1)
    stopped = train(observer=stop_at(EpochEnded, 1), threads=2)
    assert read(stopped.last).arithmetic["precision"] == "bfloat16"
    monkeypatch.setattr("peakmark.machine.devices._native_bfloat16", lambda: False)
    monkeypatch.setattr("peakmark.machine.devices._mkldnn_has_bfloat16", lambda: False)
    return stopped


def test_a_precision_that_is_not_there_is_settled_again_and_said(without_bfloat16, tiny_data, runs):
    told: list[Any] = []
    model = YOLO(without_bfloat16.best)
    (result,) = model.predict(tiny_data.parent / "images/val/00.png", observer=told.append)
    model.val(project=runs, plots=False, observer=told.append)
    said = [event.text for event in told if isinstance(event, Notice) and "which has no bfloat16" in event.text]
    assert len(said) == 2
    assert all("numbers may differ from the log in their third digits" in text for text in said)
    assert result.path.endswith("00.png")

    events: list[Any] = []
    resumed = YOLO().resume(without_bfloat16.save_dir, observer=events.append)
    assert resumed.outcome == "finished"
    plan = next(event.plan for event in events if isinstance(event, ResumePlanned))
    (threads,) = (part for part in plan.parts if part.part == "threads")
    assert (threads.fate, threads.why[:51]) == ("carried over", "2, as the run began, though this process may use 1 ")
    (precision,) = (part for part in plan.parts if part.part == "precision")
    assert precision.why == "bfloat16 -> float32"
    assert "float32 rounds differently from bfloat16" in plan.inexact
    assert next(event.precision for event in events if isinstance(event, RunStarted)) == "float32"
    arithmetic = read(resumed.last).arithmetic
    assert (arithmetic["precision"], arithmetic["threads"]) == ("float32", 2)
