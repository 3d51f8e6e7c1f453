"""Is a run that ends early, and closes mosaic first, the same run wherever it was stopped?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.events import EpochEnded, EpochStarted, MicrobatchDone, RunStarted, ValidationProgress

# No gain is large enough for patience after the first epoch; mosaic is on until the closing epochs.
STUCK = {
    "epochs": 30, "patience": 1, "close_mosaic": 2, "lr0": 1e-6, "min_delta": 0.9, "batch": 2, "nbs": 4, "mosaic": 1.0,
    "optimizer": "SGD", "warmup_epochs": 0, "save_interval": 0,
}  # fmt: skip


def _ignore(event: object) -> None:
    pass


@pytest.fixture(scope="module")
def whole(train_in, tmp_path_factory):
    events: list[Any] = []
    return train_in(tmp_path_factory.mktemp("whole"), observer=events.append, **STUCK), events


@pytest.fixture(scope="module")
def stopped_while_closing(train_in, stop_at, tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("closing"), observer=stop_at(MicrobatchDone, 13), **STUCK)


@pytest.fixture
def closing(stopped_while_closing, runs) -> Path:
    """A run that was stopped inside the first of its closing epochs, in a copy of its own."""
    assert stopped_while_closing.outcome == "interrupted"
    return Path(shutil.copytree(stopped_while_closing.save_dir, runs / "train"))


def test_the_closing_epochs_are_run_and_said(whole):
    results, events = whole
    assert results.outcome == "early_stopped"
    started = [(event.epoch, event.epochs, event.mosaic) for event in events if isinstance(event, EpochStarted)]
    assert started == [(0, 30, True), (1, 30, True), (2, 4, False), (3, 4, False)]
    reasons = [event.decision.reason for event in events if isinstance(event, EpochEnded)]
    assert "so the run stops after 2 epochs more without mosaic" in reasons[1]
    assert "the closing epochs, without mosaic, are done as well" in results.summary["text"]
    assert [stretch["reason"] for stretch in results.summary["segments"]] == ["start", "early stop, closing epochs"]


def test_at_once_means_at_once(whole, train):
    at_once = train(**STUCK, stop_phase="now")
    assert at_once.outcome == "early_stopped"
    histories = [read(run.last).history for run in (at_once, whole[0])]
    losses = [[record.train for record in history.records] for history in histories]
    assert losses[0] == losses[1][:2]


@pytest.mark.parametrize(("kind", "number"), [(MicrobatchDone, 10), (ValidationProgress, 6), (EpochEnded, 2)])
def test_stopped_around_the_closing_epochs_it_is_the_same_run(whole, train, stop_at, facts, kind, number):
    stopped = train(observer=stop_at(kind, number), **STUCK)
    assert stopped.outcome == "interrupted"
    resumed = YOLO().resume(stopped.save_dir, observer=_ignore, workers=2)
    assert resumed.outcome == "early_stopped"
    assert facts(resumed.save_dir) == facts(whole[0].save_dir)


def test_stopped_in_the_closing_epochs_it_is_the_same_run(whole, closing, facts):
    assert YOLO().resume(closing, observer=_ignore, workers=2).outcome == "early_stopped"
    assert facts(closing) == facts(whole[0].save_dir)


def test_a_change_that_is_not_about_stopping_leaves_the_end_where_it_was(closing):
    resumed = YOLO().resume(closing, observer=_ignore, weight_decay=0.001)
    assert resumed.outcome == "early_stopped"
    assert len(read(resumed.last).history.records) == 4


@pytest.mark.parametrize("changes", [{"patience": 100}, {"patience": 100, "schedule": "stretch"}])
def test_a_larger_patience_lets_the_run_go_on(closing, changes):
    resumed = YOLO().resume(closing, observer=_ignore, epochs=6, **changes)
    assert resumed.outcome == "finished"
    assert len(read(resumed.last).history.records) == 6


def test_its_old_plan_laid_out_again_calls_the_end_off(closing, stop_at):
    YOLO().resume(closing, observer=stop_at(EpochEnded, 1), schedule="stretch")
    # Patience counts from there on, is used up at once, and the run closes a second time, an epoch later.
    ends = [(segment.horizon, segment.until) for segment in read(closing / "weights/last.pt").history.segments]
    assert ends == [(30, None), (4, 4), (30, None), (5, 5)]


def test_a_run_that_closed_takes_up_its_old_plan_as_it_says(whole, tmp_path):
    run = Path(shutil.copytree(whole[0].save_dir, tmp_path / "train"))
    events: list[Any] = []
    YOLO().resume(run, observer=events.append)
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    assert any("a larger patience goes on: patience=2 schedule=stretch" in note for note in started.notes)
    events.clear()
    YOLO().resume(run, observer=events.append, patience=0, epochs=7, schedule="stretch")
    assert [event.mosaic for event in events if isinstance(event, EpochStarted)] == [True, False, False]
    shutil.rmtree(run)
