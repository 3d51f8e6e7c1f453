"""Is what differs between runs named, is where equal runs part found, and are seeds told from settings?"""

from __future__ import annotations

import dataclasses
import math
import statistics
from pathlib import Path

import pytest
import torch

from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.record.comparison import Comparison
from peakmark.release.comparison.comparing import compare_runs


def compare(*runs: Path) -> Comparison:
    return compare_runs(runs, None)[0]


# --- what differs ---------------------------------------------------------------------------------------------------


def test_only_settings_that_differ_are_listed_those_that_bear_on_the_result_first(make_bare_run):
    one = make_bare_run("a", (0.8,), settings={"workers": 0, "lr0": 0.02, "name": "a"})
    other = make_bare_run(
        "b", (0.7,), settings={"imgsz": 640, "name": "b"}, origins={"lr0": "default", "imgsz": "given"}
    )
    settings = compare(one, other).settings
    assert [each.name for each in settings] == ["imgsz", "lr0", "workers"]  # neither name nor project
    assert [each.bears_on_result for each in settings] == [True, True, False]
    assert settings[1].values == ("0.02", "0.01")
    assert settings[1].defaults == (False, True)


def test_a_setting_that_one_run_does_not_know_is_a_difference(make_bare_run):
    (difference,) = compare(make_bare_run("a", (0.8,), settings={"fog": 1}), make_bare_run("b", (0.7,))).settings
    assert (difference.name, difference.values) == ("fog", ("1", "–"))


def test_a_run_from_before_a_setting_is_as_one_that_leaves_it_off(make_bare_run):
    off, on = {"cls_pw": 0.0}, {"cls_pw": 0.5}
    before, same, other = make_bare_run("a"), make_bare_run("b", settings=off), make_bare_run("c", settings=on)
    assert compare(before, same).settings == ()
    (difference,) = compare(before, other).settings
    assert (difference.name, difference.values, difference.bears_on_result) == ("cls_pw", ("0", "0.5"), True)


def test_data_model_machine_and_libraries_that_differ_are_listed(make_bare_run):
    arithmetic = {"device": "cpu", "precision": "float32", "threads": 2, "channels_last": True}
    other = make_bare_run("b", data={"train": "2" * 64}, versions={"torch": "2.12.0"}, arithmetic=arithmetic)
    found = {each.name: each.values for each in compare(make_bare_run("a"), other).surroundings}
    assert found == {
        "training data": ("111111111111", "222222222222"),
        "threads": ("1", "2"),
        "torch": ("2.13.0", "2.12.0"),
    }


def test_what_an_automatic_optimizer_came_to_is_listed(make_bare_run):
    folder = make_bare_run("b")
    checkpoint = read(folder / "weights/last.pt")
    (segment,) = checkpoint.history.segments
    chosen = dataclasses.replace(segment, recipe={**segment.recipe, "lr0": 0.002})
    history = dataclasses.replace(checkpoint.history, segments=(chosen,))
    save(dataclasses.replace(checkpoint, history=history), folder / "weights/last.pt")
    (found,) = compare(make_bare_run("a"), folder).surroundings
    assert (found.name, found.values) == ("lr0 in use", ("0.01", "0.002"))


# --- equal settings and seed ----------------------------------------------------------------------------------------


def test_runs_with_equal_digests_are_the_same(make_bare_run):
    (said,) = compare(make_bare_run("a"), make_bare_run("b", settings={"workers": 8})).sameness
    assert said.startswith("a and b are the same, bit for bit (digest of everything: ")


def test_runs_with_other_settings_or_seeds_need_not_be_the_same(make_bare_run):
    assert (
        compare(
            make_bare_run("a"), make_bare_run("b", settings={"seed": 1}), make_bare_run("c", settings={"lr0": 1})
        ).sameness
        == ()
    )


def test_where_runs_part_is_named_with_what_may_be_behind_it(make_bare_run):
    arithmetic = {"device": "cpu", "precision": "float32", "threads": 2, "channels_last": True}
    other = make_bare_run("b", train_loss=3.5, arithmetic=arithmetic, versions={"torch": "2.12.0"})
    (said,) = compare(make_bare_run("a"), other).sameness
    assert "differ from epoch 1 on, first in train/box: 3 against 3.5." in said
    assert said.endswith("What differs, likeliest first: torch (2.13.0 against 2.12.0); threads (1 against 2).")


def test_a_difference_of_validations_alone_is_laid_to_the_validation_data(make_bare_run):
    one = make_bare_run("a", (0.5, 0.8))
    other = make_bare_run("b", (0.5, 0.81), data={"val": "8" * 64, "train": "2" * 64})
    (said,) = compare(one, other).sameness
    assert "differ from epoch 2 on, first in metrics/map50_95: 0." in said
    assert said.endswith("What differs, likeliest first: the validation data.")


def test_files_and_their_order_are_named(make_bare_run):
    rows = [("a.jpg", "1", "1"), ("b.jpg", "2", "2")]
    one = make_bare_run("a", listing={"train": rows})
    for name, listing, words in (
        ("order", rows[::-1], "train: the same files, in another order"),
        ("gone", rows[:1], "train: 1 image removed (b.jpg)"),
    ):
        other = make_bare_run(name, listing={"train": listing}, data={"train": "2" * 64}, train_loss=4)
        (said,) = compare(one, other).sameness
        assert f"the training data ({words})" in said


def test_where_nothing_known_differs_that_is_said(make_bare_run):
    (said,) = compare(make_bare_run("a"), make_bare_run("b", train_loss=3.5)).sameness
    assert "Nothing that is recorded differs" in said
    free = {"deterministic": False}
    (said,) = compare(make_bare_run("c", arithmetic=free), make_bare_run("d", arithmetic=free, train_loss=4)).sameness
    assert "deterministic=False, with which no two runs need be the same" in said


def test_a_run_that_is_further_is_the_same_so_far(make_bare_run):
    (said,) = compare(make_bare_run("a", (0.5, 0.8, 0.7)), make_bare_run("b", (0.5, 0.8))).sameness
    assert "the same in all 2 epochs that both have; a is further (3 epochs against 2 epochs)." in said


def test_states_that_differ_behind_equal_numbers_are_named_by_their_parts(make_bare_run, tiny_checkpoint):
    weights = {
        name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in tiny_checkpoint.model.items()
    }
    (said,) = compare(make_bare_run("a"), make_bare_run("b", model=weights)).sameness
    assert said.endswith("but their states differ: averaged weights.")
    assert not torch.equal(weights["0.weight"], tiny_checkpoint.model["0.weight"])


def test_times_are_no_difference(make_bare_run):
    (said,) = compare(make_bare_run("a", train_s=1.0), make_bare_run("b", train_s=2.0)).sameness
    assert "are the same, bit for bit" in said


def test_what_was_trained_is_compared_before_what_was_validated(make_bare_run):
    (said,) = compare(make_bare_run("a", (0.5,)), make_bare_run("b", (0.6,), train_loss=3.5)).sameness
    assert "first in train/box" in said
    (said,) = compare(make_bare_run("c", (0.5,)), make_bare_run("d", (0.6,), skipped_steps=1)).sameness
    assert "first in skipped_steps: 1 against 0" in said


def test_another_architecture_is_not_the_same_run(make_bare_run):
    compared = compare(make_bare_run("a"), make_bare_run("b", architecture="yolov8s", settings={"seed": 1}))
    assert compared.seeds == ()
    assert compare(make_bare_run("c"), make_bare_run("d", architecture="yolov8s")).sameness == ()


def test_every_known_cause_is_named_likeliest_first(make_bare_run):
    one = make_bare_run("a", arithmetic={"device": "cpu", "precision": "float32", "threads": 1, "device_name": "X"})
    other = make_bare_run(
        "b",
        train_loss=3.5,
        settings={"pretrained": "other.pt"},
        data={"train": "2" * 64},
        versions={"numpy": "2.3"},
        arithmetic={"device": "cpu", "precision": "bfloat16", "threads": 2, "device_name": "Y"},
    )
    (said,) = compare(one, other).sameness
    assert said.endswith(
        "What differs, likeliest first: the training data; pretrained (None against other.pt);"
        " precision (float32 against bfloat16); numpy (2.4 against 2.3); threads (1 against 2);"
        " device_name (X against Y)."
    )


def test_settings_that_were_changed_and_changed_back_are_a_cause(make_bare_run):
    folder = make_bare_run("b", train_loss=3.5)
    checkpoint = read(folder / "weights/last.pt")
    (first,) = checkpoint.history.segments
    changed = dataclasses.replace(checkpoint.history, segments=(first, dataclasses.replace(first, from_epoch=1)))
    save(dataclasses.replace(checkpoint, history=changed), folder / "weights/last.pt")
    (said,) = compare(make_bare_run("a"), folder).sameness
    assert "likeliest first: settings were changed on the way in one of them." in said


# --- seeds ----------------------------------------------------------------------------------------------------------


def test_seeds_of_equal_settings_give_mean_and_spread(make_bare_run):
    runs = [
        make_bare_run(f"s{seed}", (quality,), settings={"seed": seed}) for seed, quality in enumerate((0.7, 0.8, 0.75))
    ]
    compared = compare(*runs)
    fitness = [run.fitness for run in compared.runs if run.fitness is not None]
    (group,) = compared.seeds
    assert group.runs == ("s1", "s2", "s0")
    assert group.mean == pytest.approx(statistics.fmean(fitness))
    assert group.standard_deviation == pytest.approx(statistics.stdev(fitness))
    assert group.behind is None
    assert f"between their 3 seeds the fitness spreads by {group.standard_deviation:.4f}" in compared.text


def test_settings_are_compared_over_seeds_by_welch(make_bare_run):
    groups = {0.01: (0.80, 0.82, 0.78), 0.05: (0.6, 0.5, 0.65)}
    runs = [
        make_bare_run(f"lr{lr0}-{seed}", (quality,), settings={"seed": seed, "lr0": lr0})
        for lr0, qualities in groups.items()
        for seed, quality in enumerate(qualities)
    ]
    compared = compare(*runs)
    best, second = compared.seeds
    assert (best.label, second.label) == ("lr0=0.01", "lr0=0.05")
    of_best = [run.fitness for run in compared.runs if run.name.startswith("lr0.01") and run.fitness]
    of_second = [run.fitness for run in compared.runs if run.name.startswith("lr0.05") and run.fitness]
    errors = [statistics.variance(each) / 3 for each in (of_best, of_second)]
    freedom = sum(errors) ** 2 / sum(error**2 / 2 for error in errors)
    t = {2: 4.303, 3: 3.182}[math.floor(freedom)]
    assert second.behind is not None
    assert second.behind.standard_error == pytest.approx(math.sqrt(sum(errors)))
    assert second.behind.value - second.behind.low == pytest.approx(t * math.sqrt(sum(errors)))
    assert "Over seeds, lr0=0.01 (mean 0." in compared.text
    assert ("a real difference" in compared.text.partition("Over seeds")[2]) == (second.behind.low > 0)


def test_equal_seeds_are_no_replicates(make_bare_run):
    compared = compare(make_bare_run("a"), make_bare_run("b"))
    assert compared.seeds == ()
    assert "Another seed of the same settings may move the fitness as much or more." in compared.text


def test_seeds_on_other_data_or_from_other_weights_are_no_replicates(make_bare_run):
    one = make_bare_run("a", (0.7,))
    for name, changes in (
        ("data", {"data": {"train": "2" * 64}, "settings": {"seed": 1}}),
        ("start", {"settings": {"seed": 1, "pretrained": "x.pt"}}),
    ):
        assert compare(one, make_bare_run(name, (0.8,), **changes)).seeds == ()


def test_a_seed_without_a_number_is_in_no_group(make_bare_run):
    qualities = [(0.7,), (0.8,), (None,)]
    runs = [make_bare_run(f"s{seed}", quality, settings={"seed": seed}) for seed, quality in enumerate(qualities)]
    assert [group.runs for group in compare(*runs).seeds] == [("s1", "s0")]
