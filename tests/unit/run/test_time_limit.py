"""How long may a run still go on? The limit is for all of it, over every resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest

from peakmark.nouns.run import EpochRecord, History, Position
from peakmark.record.folder import RunFolder
from peakmark.run.time_limit import left_s, time_notes
from peakmark.settings.fields import Settings
from peakmark.state.state import RunState

HOUR_S = 3600.0
FOLDER = RunFolder(Path("run"))


def settings(time: float | None, epochs: int = 9) -> Settings:
    return Settings.model_validate({"data": "x.yaml", "time": time, "epochs": epochs})


@pytest.fixture
def state(tiny_checkpoint: Any) -> RunState:
    """After two epochs that took half an hour and one hour, and a quarter of one in the third."""
    records: tuple[EpochRecord, ...] = tuple(
        dataclasses.replace(record, train_s=train_h * HOUR_S, validation_s=0.25 * HOUR_S)
        for record, train_h in zip(tiny_checkpoint.history.records, (0.25, 0.75), strict=True)
    )
    nothing = cast(Any, None)
    made = RunState(nothing, nothing, nothing, None, position=Position(2, 4), history=History(records))
    made.open_epoch.train_s = 0.25 * HOUR_S
    return made


def test_what_is_left_is_the_whole_runs(state: RunState):
    assert state.trained_s == 1.75 * HOUR_S
    assert left_s(settings(2), state) == 0.25 * HOUR_S
    assert left_s(settings(3), state) == 1.25 * HOUR_S, "a larger one extends it"
    assert left_s(settings(1), state) == -0.75 * HOUR_S
    assert left_s(settings(None), state) is None


def test_a_resume_says_what_is_left(state: RunState):
    (said,) = time_notes(FOLDER, settings(2), state)
    assert said == "time=2 hours is for the whole run: 1.75 are used, 0.25 are left."


@pytest.mark.parametrize("time", [1, 1.75])
def test_a_limit_that_is_used_up_is_said_with_the_command_that_goes_on(state: RunState, time: float):
    (said,) = time_notes(FOLDER, settings(time), state)
    assert f"time={time:g} hours, is used up" in said
    assert said.endswith(f"peakmark resume run time={2 * time:g}")


def test_nothing_is_said_where_there_is_no_limit_nothing_was_used_or_nothing_is_left_to_do(state: RunState):
    assert time_notes(FOLDER, settings(None), state) == ()
    assert time_notes(FOLDER, settings(1, epochs=2), state) == ()
    state.history, state.open_epoch.train_s = History(), 0.0
    assert time_notes(FOLDER, settings(1), state) == ()
