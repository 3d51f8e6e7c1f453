"""Best, stopping and keeping: tables of small histories, and what must hold for every history."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History, Segment
from peakmark.selection.best import best_record, fitness_of
from peakmark.selection.decide import decide, until_then
from peakmark.selection.retention import is_kept, kept_best
from peakmark.selection.rules import Rules, rules_of
from peakmark.selection.stopping import out_of_patience, patience_left
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION, recipe

NAN = float("nan")
SEGMENT = Segment(0, 0, {}, "start", {"version": VERSION}, 100, "one set")


def history(*fitnesses: float | None) -> History:
    """An epoch each; None was not validated."""
    losses = Losses(1, 1, 1)
    return History(
        tuple(
            EpochRecord(epoch, 0, epoch, 8, losses, (0.1,), None if fitness is None else {}, fitness=fitness)
            for epoch, fitness in enumerate(fitnesses)
        ),
        (SEGMENT,),
    )


def rules(**changes: Any) -> Rules:
    return replace(Rules(epochs=100, patience=0, min_delta=0.0, closing_epochs=0, save_period=0), **changes)


def decision(*fitnesses: float | None, **changes: Any):
    return decide(history(*fitnesses), rules(**changes))


@pytest.mark.parametrize(
    ("fitnesses", "best"),
    [
        ((), None),
        ((None,), None),
        ((NAN, None), None),
        ((math.inf,), None),
        ((0.0,), 0),
        ((0.0, 0.0), 1),
        ((0.1, 0.2, 0.2, 0.1), 2),
        ((0.1, NAN, 0.05), 0),
        ((NAN, 0.1, 0.2), 2),
        ((None, 0.1, None, 0.3, None), 3),
        ((-0.0, 0.0), 1),
        ((0.0, -0.0, 0.0, None), 2),
        ((0.1, math.nextafter(0.1, 1)), 1),
        ((0.3, math.inf, 0.2), 0),
    ],
)
def test_best(fitnesses, best):
    found = best_record(history(*fitnesses))
    assert (None if found is None else found.epoch) == best


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_from_before_version_3_keeps_the_earlier_of_equals(version):
    told = history(0.1, 0.2, 0.2, 0.0, 0.0)
    told = replace(told, segments=(replace(SEGMENT, recipe={"version": version}),))
    best = best_record(told)
    assert best is not None
    assert best.epoch == 1
    assert kept_best(told, 4) == (1, 2, 0, 3)
    assert kept_best(replace(told, segments=(SEGMENT,)), 4) == (2, 1, 0, 4)


@pytest.mark.parametrize(
    ("fitnesses", "patience", "left", "stops"),
    [
        ((0.5,), 0, None, False),
        ((0.5, 0.1, 0.1, 0.1), 0, None, False),
        ((None, None, None), 1, None, False),
        ((NAN, NAN, NAN), 1, None, False),
        ((0.5,), 2, 2, False),
        ((0.5, 0.1), 2, 1, False),
        ((0.5, 0.1, 0.1), 2, 0, True),
        ((0.5, 0.5, 0.5), 2, 0, True),
        ((0.5, 0.1, 0.6), 2, 2, False),
        # Epochs count, not validations; but only a validated one stops the run.
        ((0.5, None, None), 2, 0, False),
        ((0.5, None, None, 0.1), 2, 0, True),
        ((0.5, None, None, 0.6), 2, 2, False),
        ((0.5, NAN, NAN), 2, 0, False),
    ],
)
def test_patience(fitnesses, patience, left, stops):
    records = history(*fitnesses)
    assert patience_left(records, rules(patience=patience)) == left
    assert out_of_patience(records, rules(patience=patience)) is stops


@pytest.mark.parametrize(
    ("fitnesses", "left"),
    [
        ((0.5, 0.509), 4),
        ((0.5, 0.51), 5),
        # Small gains add up: the third is better by enough than the first.
        ((0.5, 0.504, 0.508), 3),
        ((0.5, 0.504, 0.508, 0.512), 5),
        ((0.5, 0.512, 0.508, 0.520), 3),
        ((0.5, 0.4, 0.409), 3),
    ],
)
def test_patience_takes_only_a_gain_of_min_delta_for_a_better_epoch(fitnesses, left):
    assert patience_left(history(*fitnesses), rules(patience=5, min_delta=0.01)) == left
    highest = max(fitnesses)
    assert decision(*fitnesses, patience=5, min_delta=0.01).best_fitness == highest, "best stays the highest"


@pytest.mark.parametrize(("save_period", "kept"), [(0, []), (1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (5, [5]), (7, [])])
def test_retention_counts_as_people_do(save_period, kept):
    assert [epoch + 1 for epoch in range(6) if is_kept(epoch, save_period)] == kept


@pytest.mark.parametrize(
    ("fitnesses", "options", "reason"),
    [
        ((0.4,), {}, "fitness 0.4000 is the first"),
        ((0.405, 0.412), {}, "fitness 0.4120 beats 0.4050 of epoch 1"),
        ((0.412, 0.398), {}, "fitness 0.3980 does not beat 0.4120 of epoch 1"),
        (
            (0.412, 0.398),
            {"patience": 94},
            "fitness 0.3980 does not beat 0.4120 of epoch 1; 93 epochs of patience left",
        ),
        ((0.4, 0.3), {"patience": 2}, "fitness 0.3000 does not beat 0.4000 of epoch 1; 1 epoch of patience left"),
        (
            (0.4, 0.3),
            {"patience": 1},
            "fitness 0.3000 does not beat 0.4000 of epoch 1; patience is used up, so the run stops",
        ),
        ((0.4, 0.3), {"patience": 1, "epochs": 2}, "fitness 0.3000 does not beat 0.4000 of epoch 1"),
        ((0.4, 0.4), {}, "fitness 0.4000 equals that of epoch 1, and the later one was trained for longer"),
        (
            (0.4, 0.4),
            {"patience": 3},
            "fitness 0.4000 equals that of epoch 1, and the later one was trained for longer;"
            " 2 epochs of patience left",
        ),
        ((0.41231, 0.41234), {}, "fitness 0.41234 beats 0.41231 of epoch 1"),
        ((None,), {}, "not validated, so it cannot be best"),
        (
            (0.4, None),
            {"patience": 1},
            "not validated, so it cannot be best; best so far is 0.4000 of epoch 1; "
            "patience is used up, the next validation decides",
        ),
        ((NAN,), {}, "its fitness is not a number, so it cannot be best"),
        (
            (0.4, 0.405),
            {"patience": 3, "min_delta": 0.01},
            "fitness 0.4050 beats 0.4000 of epoch 1, by less than min_delta=0.01; 2 epochs of patience left",
        ),
        (
            (0.4, 0.405),
            {"patience": 1, "min_delta": 0.01},
            "fitness 0.4050 beats 0.4000 of epoch 1, by less than min_delta=0.01; patience is used up, so the run"
            " stops",
        ),
        ((0.4, 0.405), {"patience": 1}, "fitness 0.4050 beats 0.4000 of epoch 1"),
        (
            (0.4, 0.3),
            {"patience": 1, "closing_epochs": 1},
            "fitness 0.3000 does not beat 0.4000 of epoch 1; patience is used up, so the run stops after 1 epoch more"
            " without mosaic, which it would have closed with (stop_phase=close)",
        ),
    ],
)
def test_reasons(fitnesses, options, reason):
    assert decision(*fitnesses, **options).reason == reason


def test_the_last_epoch_is_not_stopped_early():
    assert decision(0.4, 0.3, epochs=3, patience=1).stop
    assert not decision(0.4, 0.3, epochs=2, patience=1).stop


def test_a_decision_says_all():
    made = decision(0.4, 0.5, 0.3, patience=10, save_period=3)
    assert (made.epoch, made.is_best, made.best_epoch, made.best_fitness) == (2, False, 1, 0.5)
    assert (made.stop, made.keep, made.patience_left) == (False, True, 9)
    assert decision(None).best_epoch is None


fitnesses = st.lists(
    st.one_of(st.none(), st.just(NAN), st.floats(0, 1), st.sampled_from([0.25, 0.5])), min_size=1, max_size=12
)


@pytest.mark.parametrize(
    ("values", "keep", "kept"),
    [
        ((), 3, ()),
        ((None, NAN), 3, ()),
        ((0.4,), 3, (0,)),
        ((0.1, 0.4, 0.3, 0.2), 1, (1,)),
        ((0.1, 0.4, 0.3, 0.2), 3, (1, 2, 3)),
        ((0.1, 0.4, 0.3, 0.2), 9, (1, 2, 3, 0)),
        ((0.3, 0.4, 0.3, 0.3), 2, (1, 3)),  # of equals the later
        ((0.3, None, NAN, 0.4), 3, (3, 0)),
    ],
)
def test_the_best_epochs_are_kept(values, keep, kept):
    assert kept_best(history(*values), keep) == kept


def test_an_epoch_that_is_gone_or_was_validated_on_other_data_is_not_kept():
    whole = history(0.4, 0.3, 0.2)
    segment = whole.segments[0]
    assert kept_best(replace(whole, segments=(replace(segment, gone=(0,)),)), 2) == (1, 2)
    records = (*whole.records[:2], replace(whole.records[2], segment=1))
    other = replace(segment, from_epoch=2, comparable="another set")
    assert kept_best(History(records, (segment, other)), 2) == (2,)


@given(fitnesses, st.integers(1, 5))
def test_what_is_not_kept_never_comes_back(values, keep):
    """The weights of an epoch that falls out are taken away at once, so no later epoch may ask for them."""
    kept_before: set[int] = set()
    for end in range(len(values)):
        kept = kept_best(history(*values[: end + 1]), keep)
        best = best_record(history(*values[: end + 1]))
        assert kept[:1] == (() if best is None else (best.epoch,))
        assert len(kept) == len(set(kept)) <= keep
        assert set(kept) <= kept_before | {end}
        counted = sum(value is not None and not math.isnan(value) for value in values[: end + 1])
        assert len(kept) == min(keep, counted)
        kept_before = set(kept)


@given(fitnesses)
def test_the_best_epoch_is_the_last_of_the_highest(values):
    best = best_record(history(*values))
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    if best is None:
        assert not numbers
    else:
        assert fitness_of(best) == max(numbers)
        assert best.epoch == len(values) - 1 - values[::-1].index(max(numbers))


def test_closing_epochs_are_run_only_where_mosaic_would_still_be_on():
    early = {"patience": 1, "epochs": 100}
    for closing, closes in ((0, False), (1, True), (98, True), (99, False), (100, False)):
        made = decision(0.4, 0.3, closing_epochs=closing, **early)
        assert (made.close, made.stop) == (closes, not closes), closing
    assert not decision(0.4, 0.5, closing_epochs=3, **early).close


def test_in_the_closing_epochs_patience_is_silent_and_the_last_one_ends_the_run():
    ended = history(0.4, 0.3, 0.2, 0.2)
    closing = replace(SEGMENT, from_epoch=2, horizon=4, until=4)
    records = tuple(replace(record, segment=record.epoch // 2) for record in ended.records)
    asked = rules(patience=1, closing_epochs=2)
    told = [decide(History(records[:end], (SEGMENT, closing)), asked) for end in (3, 4)]
    assert [(made.stop, made.close, made.patience_left) for made in told] == [(False, False, None), (True, False, None)]
    whole = History(records, (SEGMENT, closing))
    assert decide(until_then(whole, 1), asked).close, "asked again, the old decision is as it was"


def test_the_rules_are_those_of_the_settings_and_the_recipe():
    wishes = Settings(data="-", epochs=9, patience=3, min_delta=0.1, save_period=4)
    chosen = replace(recipe(wishes, classes=2, images=100), close_mosaic=2)
    assert rules_of(wishes, chosen) == Rules(9, 3, 0.1, 2, 4)
    for change in ({"mosaic": 0.0}, {"stop_phase": "now"}):
        assert rules_of(wishes.model_copy(update=change), chosen).closing_epochs == 0


@given(fitnesses, st.integers(0, 5), st.sampled_from([0.0, 0.1]))
def test_history_decides_epoch_by_epoch(values, patience, min_delta):
    """Who was told `is_best` last is the best of the whole, and no decision needs what comes later."""
    told = [decision(*values[: end + 1], patience=patience, min_delta=min_delta) for end in range(len(values))]
    best = [made.epoch for made in told if made.is_best]
    assert told[-1].best_epoch == (best[-1] if best else None)
    for made in told:
        if made.stop:
            assert patience > 0
            # An epoch that equals the best is the best from then on, but gives no new patience.
            assert min_delta or made.epoch - values.index(made.best_fitness) >= patience
