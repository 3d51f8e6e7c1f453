"""Are runs ranked by what their evidence holds, and not ranked where their numbers are of different kinds?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peakmark.checkpoint.reader import read as read_checkpoint
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError, SettingsError
from peakmark.evaluate.evidence_file import read, to_bytes
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.resampling import ResampledMetrics, draw_resamples
from peakmark.evaluate.uncertainty import RESAMPLES, estimate
from peakmark.record.comparison import Comparison
from peakmark.release.comparison.comparing import compare_runs


def compare(*runs: Path, fitness: str | None = None) -> Comparison:
    return compare_runs(runs, fitness)[0]


def test_a_run_that_is_really_better_is_said_to_be(make_run):
    compared = compare(make_run("train", (0.5, 0.7)), make_run("train2", (0.5, 0.9), draw=10))
    assert compared.ranked
    assert compared.best is not None
    assert [run.name for run in compared.runs] == ["train2", "train"]
    assert compared.best.best_epoch == 2
    assert compared.runs[1].tied is False
    assert compared.runs[1].behind["fitness"].low > 0
    assert compared.runs[0].behind["fitness"].value == compared.runs[0].behind["recall"].value == 0
    assert compared.text.startswith("train2 is ahead of train by 0.")
    assert "on the same 40 images: a real difference." in compared.text
    assert "which weights are better, not which settings" in compared.text


def test_runs_that_are_as_good_can_not_be_told_apart(make_run):
    compared = compare(make_run("a", (0.8,)), make_run("b", (0.8,), draw=1))
    assert compared.runs[1].tied is True
    assert "can't be told apart" in compared.text
    assert "which may be chance" in compared.text


def test_equal_runs_have_equal_fitness_and_no_doubt(make_run):
    compared = compare(make_run("a"), make_run("b"))
    assert [run.name for run in compared.runs] == ["a", "b"]  # of equals the first that was named
    lead = compared.runs[1].behind["fitness"]
    assert (lead.value, lead.standard_error, compared.runs[1].tied) == (0, 0, True)
    assert "a and b have exactly the same fitness on the same 40 images" in compared.text


def test_the_intervals_of_two_are_those_made_by_hand(make_run):
    folders = [make_run("a", (0.8,)), make_run("b", (0.75,), draw=1)]
    compared = compare(*folders)
    best, other = [read(folder / "evidence/epoch1.npz") for folder in folders]
    assert best is not None
    assert other is not None
    weights_BI = draw_resamples(40, RESAMPLES, 0)
    for name in ("map50_95", "map50", "precision", "recall"):
        logged = [run.metrics[name] for run in compared.runs]
        resampled = [ResampledMetrics(each, weights_BI)[name] for each in (best, other)]
        by_hand = dataclasses.asdict(estimate(logged[0] - logged[1], resampled[0] - resampled[1], 40))
        assert dataclasses.asdict(compared.runs[1].behind[name]) == pytest.approx(by_hand, abs=1e-12)
        alone = dataclasses.asdict(estimate(logged[1], resampled[1], 40))
        assert dataclasses.asdict(compared.runs[1].measured[name]) == pytest.approx(alone, abs=1e-12)
    assert compared.runs[1].behind["fitness"] == compared.runs[1].behind["map50_95"]


def test_of_many_the_best_and_those_that_may_be_it_are_named(make_run):
    qualities = {"a": 0.5, "b": 0.8, "c": 0.805, "d": 0.6}
    compared = compare(*(make_run(name, (each,), draw=ord(name)) for name, each in qualities.items()))
    assert [run.tied for run in compared.runs[1:]] == [True, False, False]
    assert "has the highest fitness of 4 runs, 0." in compared.text
    assert "it is really ahead of d and a, but can't be told from" in compared.text
    # Intervals that hold for all pairs at once are wider than those of one pair.
    lead = compared.runs[1].behind
    assert lead["fitness"].high - lead["fitness"].low > 1.2 * 2 * 2.02 * lead["fitness"].standard_error


@pytest.mark.parametrize(
    ("data", "size", "protocol", "reason"),
    [
        ("8" * 64, "320 px", "of ten", "different validation images (a: 777777777777, b: 888888888888)"),
        ("7" * 64, "640 px", "of ten", "different image sizes (a: 320 px, b: 640 px)"),
        ("7" * 64, "320 px", "another", "different protocols"),
    ],
)
def test_runs_that_were_validated_otherwise_are_not_ranked(make_run, data, size, protocol, reason):
    other = f"validation data {data}, {size}, COCO: the protocol, {protocol}"
    compared = compare(make_run("a", (0.5,)), make_run("b", (0.9,), comparable=other))
    assert not compared.ranked
    assert compared.best is None
    assert [run.name for run in compared.runs] == ["a", "b"]  # as they were named, though the second is higher
    assert all(not run.behind and run.tied is None for run in compared.runs)
    assert all(run.measured["fitness"].standard_error > 0 for run in compared.runs)
    assert compared.text.startswith("These runs are not ranked: they were validated with ")
    assert reason in compared.text
    assert "peakmark val" in compared.text


def test_other_classes_or_other_objects_are_no_kind_to_rank(make_run):
    one = make_run("a", (0.8,))
    assert "different classes" in compare(one, make_run("b", (0.9,), names=("cat", "cow"))).text
    said = compare(one, make_run("c", (0.9,), world=1)).text
    assert "their evidence does not hold the same objects" in said


def test_what_one_run_lacks_is_left_out_and_said(make_run):
    full, without = make_run("full", (0.9,)), make_run("without", (0.6,), evidence=False)
    compared = compare(full, without)
    assert compared.ranked
    assert compared.runs[1].tied is None
    assert not compared.runs[1].behind
    assert compared.runs[0].measured
    assert "Whether that is more than chance can't be said" in compared.text
    assert any("is not there" in note for note in compared.runs[1].notes)
    third = compare(full, without, make_run("third", (0.5,), draw=3)).text
    assert "it is really ahead of third" in third
    assert "its lead over without is can't be said" in third


def test_evidence_that_is_damaged_or_of_another_epoch_is_not_used(make_run):
    good = make_run("good", (0.9,))
    damaged, foreign = make_run("damaged", (0.6,)), make_run("foreign", (0.7,))
    (damaged / "evidence/epoch1.npz").write_bytes(b"PK\x03\x04 no more")
    (foreign / "evidence/epoch1.npz").write_bytes((good / "evidence/epoch1.npz").read_bytes())
    notes = {run.name: " ".join(run.notes) for run in compare(good, damaged, foreign).runs}
    assert "can't be read as evidence" in notes["damaged"]
    assert "is not the evidence of what was logged" in notes["foreign"]
    assert notes["good"] == ""


def test_a_run_without_a_best_comes_last_and_two_of_them_are_not_ranked(make_run):
    none, some = make_run("none", (None, None)), make_run("some", (0.5,))
    compared = compare(none, some, make_run("more", (0.8,)))
    assert [run.name for run in compared.runs] == ["more", "some", "none"]
    assert compared.runs[-1].best_epoch is None
    assert "No epoch was validated" in " ".join(compared.runs[-1].notes)
    assert "none" not in compared.text
    assert "fewer than two of them have a best epoch" in compare(none, some).text


def test_a_run_that_has_not_ended_says_so(make_run):
    open_run = make_run("open", ended=False)
    notes = " ".join(compare(open_run, make_run("b")).runs[0].notes)
    assert "has not ended: what is said of it holds after 3 epochs" in notes


def test_other_fitness_is_said_and_the_common_default_taken(make_run):
    one = make_run("a", (0.8,), settings={"fitness": "classic"})
    other = make_run("b", (0.9,))
    compared = compare(one, other)
    assert compared.fitness == "map50_95"
    assert compared.notes == ("Compared by map50_95, though best epochs were chosen by another fitness: classic in a.",)
    both = compare(one, make_run("c", (0.7,), settings={"fitness": "classic"}))
    assert both.fitness == "classic"
    assert both.notes == ()
    by_hand = 0.1 * both.runs[0].metrics["map50"] + 0.9 * both.runs[0].metrics["map50_95"]
    assert both.runs[0].fitness == pytest.approx(by_hand)
    asked = compare(one, other, fitness="map50")
    assert asked.runs[0].fitness == asked.runs[0].metrics["map50"]
    assert "classic in a; map50_95 in b" in asked.notes[0]


def test_any_fitness_of_a_training_can_be_asked_for(make_run):
    one, other = make_run("a", (0.8,)), make_run("b", (0.7,), draw=1)
    compared = compare(one, other, fitness="precision where recall >= 0.5")
    assert 0 < (compared.runs[0].fitness or 0) <= 1
    assert compared.runs[1].behind["fitness"].standard_error > 0
    of_class = compare(one, other, fitness="recall[cat]")
    assert of_class.runs[0].fitness == of_class.runs[0].per_class["recall"][0]
    with pytest.raises(SettingsError, match="cow"):
        compare(one, other, fitness="recall[cow]")
    in_python, _ = compare_runs((one, other), "function twice", lambda metrics: 2 * metrics["map50"])
    assert in_python.runs[0].fitness == 2 * in_python.runs[0].metrics["map50"]


def test_what_only_evidence_can_answer_is_not_known_without_it(make_run):
    runs = [make_run("a", (0.8,)), make_run("b", (0.7,)), make_run("c", (0.9,), evidence=False)]
    compared = compare(*runs, fitness="precision where recall >= 0.5")
    assert [run.name for run in compared.runs][2] == "c"
    assert compared.runs[2].fitness is None
    assert "is not there" in compared.runs[2].notes[0]


def test_runs_that_were_judged_by_a_function_are_compared_by_the_default(make_run):
    judged = {"settings": {"fitness": "function mine"}}
    compared = compare(make_run("a", (0.8,), **judged), make_run("b", (0.7,), **judged))
    assert compared.fitness == "map50_95"
    assert "function mine in a, b" in compared.notes[0]


def test_names_that_are_no_runs_or_the_same_are_refused(make_run, tmp_path):
    one, other = make_run("a"), make_run("b")
    with pytest.raises(ModelFileError, match="Name two runs or more"):
        compare(one)
    with pytest.raises(ModelFileError, match="nothing: this is no run"):
        compare(one, tmp_path / "nothing")
    with pytest.raises(ModelFileError, match="are the same run"):
        compare(one, one / "weights/best.pt")
    thrice = compare(one, other, one / "weights/last.pt")
    assert len(thrice.runs) == 2
    assert "are the same run" in thrice.notes[0]


def test_a_damaged_run_is_left_out_and_two_that_are_left_are_compared(make_run):
    runs = [make_run(name) for name in "abc"]
    (runs[1] / "weights/last.pt").write_bytes(b"nothing")
    compared = compare(*runs)
    assert [run.name for run in compared.runs] == ["a", "c"]
    assert compared.notes[0].startswith("b is left out. No checkpoint in ")
    with pytest.raises(ModelFileError, match="Fewer than two runs can be read"):
        compare(*runs[:2])


def test_runs_of_one_name_are_told_by_their_folders(make_run):
    compared = compare(make_run("mine/train"), make_run("yours/train"))
    assert [run.name for run in compared.runs] == ["mine/train", "yours/train"]


def test_a_change_on_the_way_is_said(make_run):
    folder = make_run("changed")
    checkpoint = read_checkpoint(folder / "weights/last.pt")
    first = checkpoint.history.segments[0]
    second = dataclasses.replace(first, from_epoch=1, reason="lr0: 0.01 -> 0.001")
    records = tuple(dataclasses.replace(each, segment=int(each.epoch > 0)) for each in checkpoint.history.records)
    history = dataclasses.replace(checkpoint.history, segments=(first, second), records=records)
    save(dataclasses.replace(checkpoint, history=history), folder / "weights/last.pt")
    notes = compare(folder, make_run("b")).runs[0].notes
    assert notes == ("Its settings were changed in epoch 2: lr0: 0.01 -> 0.001.",)


def test_json_is_strict_and_whole(make_run):
    compared = compare(make_run("a", (0.8,)), make_run("b", (0.9,), draw=1))
    written: dict[str, Any] = json.loads(compared.to_json())
    assert (written["format"], written["format_version"], written["best"]) == ("peakmark-comparison", 1, "b")
    of_b, of_a = written["comparison"]["runs"]
    assert of_a["behind"]["fitness"]["low"] < of_a["behind"]["fitness"]["value"]
    assert set(of_b["digests"]) == {"model", "training_weights", "optimizer", "everything"}
    assert len(of_b["per_class"]["map50_95"]) == len(of_b["classes"]) == 2
    refused = compare(make_run("c", (None,)), make_run("d", (None,)))
    assert json.loads(refused.to_json())["best"] is None


def test_resamples_do_not_change_from_call_to_call(make_run):
    runs = make_run("a", (0.8,)), make_run("b", (0.8,), draw=1)
    assert compare(*runs).to_json() == compare(*runs).to_json()
    assert np.isfinite(compare(*runs).runs[1].behind["fitness"].high)


def test_one_image_says_nothing_of_chance(make_run):
    one = make_run("a", (0.8,))
    evidence = read(one / "evidence/epoch1.npz")
    assert evidence is not None
    on_one_image = dataclasses.replace(
        evidence, images=1, image_D=np.zeros_like(evidence.image_D), image_G=np.zeros_like(evidence.image_G)
    )
    checkpoint = read_checkpoint(one / "weights/last.pt")
    metrics = evaluation_from(on_one_image, ("cat", "dog")).metrics
    record = dataclasses.replace(checkpoint.history.records[0], metrics=metrics)
    history = dataclasses.replace(checkpoint.history, records=(record,))
    save(dataclasses.replace(checkpoint, history=history), one / "weights/last.pt")
    (one / "evidence/epoch1.npz").write_bytes(to_bytes(on_one_image))
    notes = {run.name: run.notes for run in compare(one, make_run("b", (0.7,))).runs}
    assert notes["a"] == ("One validation image says nothing of how sure its numbers are.",)
