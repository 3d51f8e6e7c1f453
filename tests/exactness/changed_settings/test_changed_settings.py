"""What does a change of settings at a resume do, and is the run after it as exact as the one before?

Whatever was changed: a run that is stopped once more after the change and resumed is the run that was not.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tests.exactness.changed_settings.changes import WISHES, ignore, state_of, weights_of

from peakmark import YOLO
from peakmark.events import EpochEnded, MicrobatchDone, ResumePlanned, ValidationProgress


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"optimizer": "AdamW", "lr0": 0.001, "cos_lr": True}, id="another optimizer"),
        pytest.param({"batch": 4, "nbs": 8}, id="another batch"),
        pytest.param({"imgsz": 64}, id="another size", marks=pytest.mark.slow),
        pytest.param({"mixup": 0.5, "seed": 5}, id="other draws", marks=pytest.mark.slow),
        pytest.param({"freeze": 3}, id="frozen layers", marks=pytest.mark.slow),
        pytest.param({"epochs": 4, "schedule": "stretch"}, id="stretched", marks=pytest.mark.slow),
        pytest.param({"epochs": 4}, id="held"),
    ],
)
def test_after_a_change_a_stop_still_changes_nothing(inside, copy_of, facts, stop_at, changes):
    straight, stopped = copy_of(inside, "straight"), copy_of(inside, "stopped")
    YOLO().resume(straight, observer=ignore, yes=True, **changes)
    for kind, number in ((MicrobatchDone, 1), (ValidationProgress, 1), (EpochEnded, 1)):
        again = YOLO().resume(stopped, observer=stop_at(kind, number), yes=True, **changes)
        changes = {}
        assert again.outcome == "interrupted"
    assert YOLO().resume(stopped, observer=ignore).outcome == "finished"
    assert facts(stopped) == facts(straight)
    assert weights_of(straight) != weights_of(inside)


def test_a_longer_run_holds_rate_and_phase(whole, copy_of, train):
    run = copy_of(whole)
    assert YOLO().resume(run, observer=ignore, epochs=5).outcome == "finished"
    before, after = state_of(whole).history, state_of(run).history
    assert repr(after.records[:3]) == repr(before.records)  # as text: NaN equals itself there
    assert [record.lr for record in after.records[2:]] == [before.records[2].lr] * 3
    assert [segment.horizon for segment in after.segments] == [3, 3]
    assert [(segment.from_epoch, segment.from_images) for segment in after.segments] == [(0, 0), (3, 0)]
    assert [record.segment for record in after.records] == [0, 0, 0, 1, 1]
    assert len((run / "results.csv").read_text().splitlines()) == 6


def test_a_stretched_run_lays_the_rate_over_all_epochs(whole, copy_of):
    run = copy_of(whole)
    events: list[Any] = []
    YOLO().resume(run, observer=events.append, epochs=4, schedule="stretch")
    (last,) = state_of(run).history.records[3:]
    assert last.lr[0] == pytest.approx(0.01 * (0.01 + 0.99 * (1 - 3 / 4)))
    (told,) = (event for event in events if isinstance(event, ResumePlanned))
    (rate,) = (part for part in told.plan.parts if part.part == "learning rate")
    # A line over 3 epochs ends at 0.34 of lr0; over 4 the fourth epoch has 0.2575.
    assert rate.fate == "changed"
    assert rate.why.startswith("0.0034 -> 0.00258 in the next epoch, times 0.757 (schedule=stretch")


def test_a_run_with_nothing_left_is_longer_by_a_single_word_and_shorter_by_another(inside, copy_of):
    run = copy_of(inside)
    assert YOLO().resume(run, observer=ignore, epochs=2).outcome == "finished"
    state = state_of(run)
    assert (state.position.epoch, len(state.history.records)) == (2, 2)
    assert state.history.segments[-1].horizon == 2  # or the rate would never fall and mosaic never close


def test_an_early_stopped_run_with_more_patience_is_the_run_with_that_patience(train, runs, copy_of):
    impatient = {**WISHES, "epochs": 6, "patience": 1, "lr0": 1e-5, "stop_phase": "now"}
    first = train(**impatient, project=runs / "a").save_dir
    assert json.loads((first / "summary.json").read_text())["outcome"] == "early_stopped"
    patient = train(**{**impatient, "patience": 50}, project=runs / "b").save_dir
    events: list[Any] = []
    assert YOLO().resume(first, observer=events.append, patience=50).outcome == "finished"
    assert weights_of(first) == weights_of(patient)


def test_new_moments_begin_at_a_rate_of_nothing(whole, inside, copy_of):
    run = copy_of(inside)
    events: list[Any] = []
    YOLO().resume(run, observer=events.append, optimizer="AdamW", lr0=0.001)
    (told,) = (event for event in events if isinstance(event, ResumePlanned))
    fates = {part.part: part.fate for part in told.plan.parts}
    assert (fates["weights"], fates["optimizer"]) == ("carried over", "re-initialised")
    state = state_of(run)
    assert state.history.segments[-1].rewarm_epochs == 1
    steps = {float(moments["step"]) for moments in state.optimizer["state"].values()}
    assert steps == {state.position.step - state_of(inside).position.step}


def test_other_numbers_of_images_rescale_the_moments(inside, copy_of, stop_at):
    run = copy_of(inside)
    # Stopped inside the first window after the change: what is saved is the changed state before its first step.
    YOLO().resume(run, observer=stop_at(MicrobatchDone, 1), nbs=8)
    before, after = state_of(inside).optimizer["state"], state_of(run).optimizer["state"]
    assert before.keys() == after.keys()
    for key, moments in before.items():
        assert torch.equal(after[key]["momentum_buffer"], 2 * moments["momentum_buffer"])
