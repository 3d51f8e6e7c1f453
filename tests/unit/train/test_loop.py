"""The loop goes through epochs as its parts tell it, and keeps what the history says."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.train.world import WINDOWS, World, world

from peakmark.events import BatchShown, EpochEnded, EpochStarted, MicrobatchDone
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import Position
from peakmark.train.schedule import rates
from peakmark.train.windows import Window


def test_every_image_of_every_epoch_is_trained_once_and_the_end_is_known():
    run = world()
    assert run.run() == "finished"
    assert run.trained == [(epoch, *window) for epoch in range(3) for window in WINDOWS]
    assert run.state.position == Position(3, 0, "train", 9)
    assert [record.epoch for record in run.state.history.records] == [0, 1, 2]
    assert run.closed == 3
    assert [len(run.told(kind)) for kind in (EpochStarted, EpochEnded, MicrobatchDone)] == [3, 3, 15]


def test_rates_and_the_record_follow_the_schedule():
    run = world(optimizer="SGD", warmup_epochs=1)
    run.run()
    segment = run.state.history.segments[0]
    records = run.state.history.records
    assert records[2].lr == rates(run.settings, segment, 2, Window((), 1.0)).per_group()
    assert [found.weights_lr for found in run.rates][-1] == records[2].lr[0]
    assert run.rates[0].weights_lr == 0
    assert records[1].step - records[0].step == 3


def test_the_record_holds_the_means_of_the_epoch():
    run = world()
    run.run()
    assert [record.train for record in run.state.history.records] == [Losses(1.0 + e, 2.0, 3.0) for e in range(3)]
    assert [event.losses.box for event in run.told(MicrobatchDone)] == pytest.approx([1] * 5 + [2] * 5 + [3] * 5)
    assert [event.images_done for event in run.told(MicrobatchDone)][:5] == [4, 8, 12, 16, 20]


@pytest.mark.parametrize(
    ("val_period", "epochs", "expected"), [(1, 3, [0, 1, 2]), (2, 5, [1, 3, 4]), (3, 6, [2, 5]), (9, 4, [3])]
)
def test_validation_comes_every_nth_epoch_and_at_the_last(val_period: int, epochs: int, expected: list[int]):
    run = world(val_period=val_period, epochs=epochs)
    run.run()
    assert run.validated == expected
    for record in run.state.history.records:
        assert (record.metrics is not None) is (record.epoch in expected)
        assert (record.fitness is not None) is (record.epoch in expected)


def test_without_validation_no_epoch_is_best():
    run = world(val=False)
    assert run.run() == "finished"
    assert run.validated == []
    assert [kind for kind, _ in run.kept] == ["last"] * 3


def test_each_epoch_is_kept_after_it_and_best_is_what_the_history_says():
    run = world(epochs=4)
    run.fitnesses = {0: 0.2, 1: 0.5, 2: 0.4, 3: 0.5}
    run.run()
    assert [kind for kind, _ in run.kept] == ["best", "best", "last", "best"]
    assert [position for _, position in run.kept] == [Position(e + 1, 0, "train", 3 * (e + 1)) for e in range(4)]


def test_patience_ends_the_run_and_a_resumed_one_does_not_begin_another_epoch():
    run = world(epochs=20, patience=2, stop_phase="now")
    run.fitnesses = {0: 0.2, 1: 0.5}
    assert run.run() == "early_stopped"
    assert run.validated == [0, 1, 2, 3]
    assert all(run.mosaic.values())
    again = world(epochs=20, patience=2, stop_phase="now")
    again.state = run.state
    assert again.run() == "early_stopped"
    assert again.trained == []


def closing(**changes: Any) -> World:
    """A run that is out of patience after 4 epochs of 20, and has 3 closing epochs to run then."""
    run = world(epochs=20, patience=2, close_mosaic=3, **changes)
    run.fitnesses = {0: 0.2, 1: 0.5, 5: 0.6}
    return run


def test_an_early_stop_first_runs_the_closing_epochs_that_its_plan_would_have_ended_with():
    run = closing()
    assert run.run() == "early_stopped"
    assert run.mosaic == {0: True, 1: True, 2: True, 3: True, 4: False, 5: False, 6: False}
    last = run.state.history.segments[1]
    assert (last.from_epoch, last.horizon, last.until, last.reason) == (4, 7, 7, "early stop, closing epochs")
    assert [record.segment for record in run.state.history.records] == [0] * 4 + [1] * 3
    assert [event.epochs for event in run.told(EpochStarted)] == [20] * 4 + [7] * 3
    decisions = [event.decision for event in run.told(EpochEnded)]
    assert [decision.close for decision in decisions] == [False] * 3 + [True] + [False] * 3
    assert [decision.stop for decision in decisions] == [False] * 6 + [True]
    assert "so the run stops after 3 epochs more without mosaic" in decisions[3].reason
    # Rates are those of the last epochs of a run of 7.
    by_plan = world(epochs=7, patience=0, close_mosaic=3)
    by_plan.run()
    assert [r.lr for r in run.state.history.records[4:]] == [r.lr for r in by_plan.state.history.records[4:]]
    assert run.state.history.records[3].lr != by_plan.state.history.records[3].lr
    # A better epoch among them is the best, and doesn't make the run go on.
    assert decisions[5].is_best


def test_the_closing_epochs_are_gone_on_with_wherever_they_are_stopped():
    whole = closing()
    whole.run()
    for step in range(9, 21):
        run = closing()
        run.stop_at = ("step", step)
        assert run.run() == "interrupted"
        run.stop_at, run.reason = None, None
        assert run.run() == "early_stopped"
        assert (run.trained, run.state.history) == (whole.trained, whole.state.history)


@pytest.mark.parametrize("changes", [{"close_mosaic": 0}, {"mosaic": 0.0, "close_mosaic": 3}, {"close_mosaic": 17}])
def test_where_there_is_nothing_to_close_an_early_stop_stops(changes: dict[str, Any]):
    run = world(epochs=20, patience=2, **changes)
    run.fitnesses = {0: 0.2, 1: 0.5}
    assert run.run() == "early_stopped"
    assert run.validated == [0, 1, 2, 3]
    assert len(run.state.history.segments) == 1


def test_closing_epochs_that_come_next_by_the_plan_are_all_run():
    run = world(epochs=20, patience=2, close_mosaic=16)
    run.fitnesses = {0: 0.2, 1: 0.5}
    assert run.run() == "finished"
    assert run.validated == list(range(20))


def test_first_batches_are_shown_with_and_without_mosaic():
    run = world(epochs=4, close_mosaic=1)
    run.run()
    assert [event.number for event in run.told(BatchShown)] == [0, 1, 2, 3, 4, 5]
    assert [event.batch.epoch for event in run.told(BatchShown)] == [0, 0, 0, 3, 3, 3]
    assert [event.mosaic for event in run.told(EpochStarted)] == [True, True, True, False]
