"""The loop stops where it is asked to or fails, always knows where it is, and what is left can be resumed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.unit.train.world import IMAGES, WINDOWS, world

from peakmark.errors import TrainingError
from peakmark.events import Notice, StepSkipped
from peakmark.nouns.losses import Losses
from peakmark.nouns.outcome import Outcome
from peakmark.nouns.run import Decision, Position
from peakmark.state.state import RunState
from peakmark.train.step import Attempt


@pytest.mark.parametrize(("stop_at", "told"), [(None, 3), (("step", 4), 2), (("validation", 1), 2)])
def test_what_is_odd_about_images_is_said_after_each_epoch_and_at_a_stop(stop_at: Any, told: int):
    """Once what was trained is on its way to the disk: whoever watches may raise."""
    run = world()
    run.remarks = ["d", "c", "b", "a"]
    run.stop_at = stop_at
    run.run()
    assert [notice.text for notice in run.told(Notice)] == ["a", "b", "c", "d"][:told]
    assert all(notice.serious for notice in run.told(Notice))


@pytest.mark.parametrize("step", range(9))
def test_a_stop_in_training_leaves_the_windows_start_and_the_rest_follows_from_it(step: int):
    whole, run = world(), world()
    whole.run()
    run.stop_at = ("step", step)
    assert run.run() == "interrupted"
    epoch, window = divmod(step, 3)
    expected = Position(epoch, WINDOWS[window][0], "train", step)
    assert run.state.position == expected
    assert run.kept[-1] == ("position", expected)
    # Where no batch was taken from it, the fake has nothing to close.
    assert run.closed == epoch + (window > 0), "the loader must be sent home"
    run.stop_at, run.reason = None, None
    assert run.run() == "finished"
    assert run.trained == whole.trained
    assert run.state.history == whole.state.history
    assert run.state.position == whole.state.position


@pytest.mark.parametrize("epoch", range(3))
def test_a_stop_in_validation_leaves_trained_but_not_validated_and_the_resume_repeats_it(epoch: int):
    whole, run = world(), world()
    whole.run()
    run.stop_at = ("validation", epoch)
    assert run.run() == "interrupted"
    expected = Position(epoch, IMAGES, "validate", 3 * (epoch + 1))
    assert run.state.position == expected
    assert run.kept[-1] == ("position", expected)
    assert len(run.state.history.records) == epoch
    run.stop_at, run.reason = None, None
    assert run.run() == "finished"
    assert run.trained == whole.trained, "no image may be trained twice"
    assert run.state.history == whole.state.history


def test_a_stop_that_comes_between_epochs_ends_there_but_not_after_the_last():
    run = world()
    run.fitnesses = {}
    original = run.keep_epoch

    def ask(state: RunState, decision: Decision) -> None:
        original(state, decision)
        run.reason = "out_of_time"

    run.keep_epoch = ask  # type: ignore[method-assign]
    assert run.run() == "out_of_time"
    assert run.state.position == Position(1, 0, "train", 3)
    run.state.position = dataclasses.replace(run.state.position, epoch=2)
    run.reason = None
    assert run.run() == "finished"


@pytest.mark.parametrize("reason", ["broken", "paused"])
def test_a_break_in_the_last_epoch_ends_as_one_and_the_resume_completes_the_run(reason: Outcome):
    """Called finished, nobody would look at it."""
    whole, run = world(), world()
    whole.run()
    original = run.keep_epoch

    def ask(state: RunState, decision: Decision) -> None:
        original(state, decision)
        run.reason = reason if state.position.epoch == run.settings.epochs else None

    run.keep_epoch = ask  # type: ignore[method-assign]
    assert run.run() == reason
    assert run.state.position == Position(3, 0, "train", 9)
    run.reason = None
    assert run.run() == "finished"
    assert (run.trained, run.state.history) == (whole.trained, whole.state.history)


def test_a_break_in_the_epoch_that_ends_a_run_early_ends_as_one():
    run = world(epochs=20, patience=2, stop_phase="now")
    run.fitnesses = {0: 0.2, 1: 0.5}
    original = run.keep_epoch

    def ask(state: RunState, decision: Decision) -> None:
        original(state, decision)
        run.reason = "broken" if decision.stop else None

    run.keep_epoch = ask  # type: ignore[method-assign]
    assert run.run() == "broken"
    run.reason = None
    assert run.run() == "early_stopped"
    assert run.validated == [0, 1, 2, 3]


def test_a_save_that_has_ended_is_told_of_while_the_next_epoch_trains():
    """A backup begins when it hears of its best.pt; heard of at the next save only, a killed epoch has none."""
    run = world(epochs=2)
    run.run()
    assert [step for saves, step in run.told_saves if saves == 1] == [4, 5, 6]


def test_a_skipped_step_advances_the_position_is_told_and_counted():
    run = world()
    run.attempts = {4: Attempt("skipped", ((Losses(9, 9, 9), 4),), "the loss", ("bad.png",))}
    assert run.run() == "finished"
    (told,) = run.told(StepSkipped)
    assert told == StepSkipped(1, 16, "the loss", ("bad.png",), 1)
    assert run.state.position.step == 9
    assert [record.skipped_steps for record in run.state.history.records] == [0, 1, 0]
    assert (run.state.skipped_steps, run.state.skipped_in_a_row) == (1, 0)


def test_skipped_steps_in_a_row_end_the_run_with_its_state_kept():
    run = world(max_nonfinite=3)
    skipped = Attempt("skipped", (), "the loss", ("bad.png",))
    run.attempts = {0: skipped, 2: skipped, 3: skipped, 4: skipped}
    with pytest.raises(
        TrainingError, match=r"3 updates in a row were not finite \(the loss, epoch 2, images bad\.png\)"
    ):
        run.run()
    assert run.state.position == Position(1, 16, "train", 5)
    assert run.state.whole
    assert run.closed == 2


def test_a_run_without_a_single_update_is_not_called_finished():
    """Overflows end no run, and fewer skipped updates than max_nonfinite don't either."""
    run = world(epochs=1, max_nonfinite=10)
    run.attempts = dict.fromkeys(range(3), Attempt("skipped", (), "the gradient", ()))
    with pytest.raises(TrainingError, match="Not one of 3 updates was finite, so nothing was learnt"):
        run.run()
    run.attempts.clear()
    run.state.position, run.state.history = Position(), dataclasses.replace(run.state.history, records=())
    assert run.run() == "finished"


def test_an_update_is_whole_once_the_position_has_followed():
    run = world(epochs=1)
    seen: list[tuple[bool, int]] = []
    run.keep_position = lambda state: seen.append((state.whole, state.position.images))  # type: ignore[method-assign]
    run.save_due = True
    run.run()
    assert seen == [(True, 8), (True, 16), (True, 20)]


@pytest.mark.parametrize("where", ["validate", "decide"])
def test_an_epoch_that_can_not_be_closed_stays_open_and_is_closed_by_the_resume(where: str):
    """Whatever fails there, a fitness in Python for instance, the state that is left can be saved and resumed."""
    whole, run = world(), world()
    whole.run()
    working = getattr(run, where)

    def fails(*given: Any) -> Any:
        if (run.state.position.epoch, run.state.position.phase) == (1, "validate"):
            raise ZeroDivisionError
        return working(*given)

    setattr(run, where, fails)
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert run.state.position == Position(1, IMAGES, "validate", 6)
    assert run.state.whole
    assert len(run.state.history.records) == 1
    assert run.state.open_epoch.images == IMAGES
    setattr(run, where, working)
    assert run.run() == "finished"
    assert run.trained == whole.trained
    assert run.state.history == whole.state.history


def test_an_overflow_of_half_precision_is_no_sign_of_trouble():
    run = world(max_nonfinite=1)
    run.attempts = {0: Attempt("skipped", (), "the gradient", (), overflow=True)}
    assert run.run() == "finished"
    assert run.told(StepSkipped) == []
    assert run.state.skipped_steps == 1


def test_long_epochs_are_saved_at_windows():
    run = world(epochs=1)
    run.save_due = True
    run.run()
    assert [(kind, position.images) for kind, position in run.kept] == [
        ("position", 8),
        ("position", 16),
        ("position", 20),
        ("best", 0),
    ]
