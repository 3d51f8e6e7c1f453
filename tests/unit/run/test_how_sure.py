"""Does a run say how sure its best is, from whatever evidence of its epochs there is?"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import to_bytes
from peakmark.evaluate.fitness import fitness_by
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.tables import DetectionTable, TruthTable
from peakmark.evaluate.uncertainty import BestOfSeveral, best_of_several
from peakmark.events import Notice
from peakmark.files import durable
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History, Segment
from peakmark.record.folder import RunFolder
from peakmark.record.summary import Certainty
from peakmark.run.end.how_sure import how_sure
from peakmark.settings.recipe import VERSION

IMAGES = 30


def evidence_of(quality: float, seed: int) -> Evidence:
    """The same truths for all; the better the quality, the nearer to them lie the detections."""
    world, own = np.random.default_rng(0), np.random.default_rng((1, seed))
    truths = 150
    boxes = np.concatenate([world.uniform(0, 60, (truths, 2)), world.uniform(10, 140, (truths, 2))], axis=1)
    image_G, class_G = world.integers(0, IMAGES, truths), world.integers(0, 2, truths)
    moved = boxes + own.normal(size=boxes.shape) * (1 - quality) * 0.2 * np.tile(boxes[:, 2:], 2)
    return match(
        TruthTable(image_G, class_G, boxes, np.zeros(truths, bool), boxes[:, 2] * boxes[:, 3]),
        DetectionTable(image_G, class_G, moved, own.random(truths).astype(np.float32)),
        images=IMAGES,
        classes=2,
    )


def make_run(path: Path, *qualities: float | None, segments: tuple[Segment, ...] | None = None) -> History:
    """A history and its evidence; None is an epoch that was not validated."""
    records = []
    for epoch, quality in enumerate(qualities):
        record = EpochRecord(epoch, 0, epoch + 1, 8, Losses(1.0, 1.0, 1.0), (0.1, 0.1, 0.1))
        if quality is not None:
            evidence = evidence_of(quality, epoch)
            metrics = evaluation_from(evidence, "ab").metrics
            record = dataclasses.replace(record, metrics=metrics, fitness=metrics["map50_95"])
            durable.write_bytes(RunFolder(path).evidence_file(epoch), to_bytes(evidence))
        records.append(record)
    return History(tuple(records), segments or (Segment(0, 0, {}, "start", {"version": VERSION}, 9, "the same set"),))


def ask(history: History, path: Path) -> tuple[Certainty | None, list[str]]:
    told: list[str] = []
    answer = how_sure(
        history, RunFolder(path), fitness_by("map50_95", "ab"), lambda event: told.append(_text(event)), lambda: None
    )
    return answer, told


def _text(event: Any) -> str:
    assert isinstance(event, Notice)
    return event.text


def answered(history: History, path: Path) -> Certainty:
    answer, told = ask(history, path)
    assert told == []
    assert answer is not None
    return answer


def test_a_best_that_is_ahead_is_said_to_be(tmp_path: Path) -> None:
    history = make_run(tmp_path, 0.5, 0.9, None, 0.86)
    answer = answered(history, tmp_path)
    assert (answer["images"], answer["resamples"]) == (IMAGES, 500)
    assert [each["epoch"] for each in answer["epochs"]] == [2, 4]  # the first is out of reach, the third has no numbers
    best, last = answer["epochs"]
    assert best["fitness"] == answer["fitness"]
    assert best["fitness"]["value"] == history.records[1].fitness
    assert best["fitness"]["low"] < best["fitness"]["value"] < best["fitness"]["high"]
    assert last["ahead"]["low"] > 0
    assert not last["tied"]
    assert "Epoch 2 is ahead of the last, epoch 4, by 0." in answer["text"]
    assert "a real difference" in answer["text"]
    assert "can't be told" not in answer["text"]
    assert set(answer["metrics"]) == {"map50_95", "map50", "precision", "recall"}


def test_a_best_that_is_best_by_chance_is_said_to_be(tmp_path: Path) -> None:
    answer = answered(make_run(tmp_path, *[0.8] * 5), tmp_path)
    ties = [each["epoch"] for each in answer["epochs"] if each["tied"]]
    assert len(ties) >= 4
    assert "Epoch 1 is ahead of the last, epoch 5," in answer["text"]
    assert "that may be chance" in answer["text"]
    assert "It can't be told from epochs" in answer["text"]
    assert answer["corrected"]["value"] < answer["fitness"]["value"]


def test_of_one_pair_it_is_never_said_that_it_differs_for_certain_and_that_it_can_not_be_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval looks at the pair alone, the ties at the choice among all epochs; they may disagree."""
    history = make_run(tmp_path, 0.5, 0.9, None, 0.86)

    def with_both_tied(*given: Any) -> BestOfSeveral:
        several = best_of_several(*given)
        assert several is not None
        return dataclasses.replace(several, tied=(0, 1))

    monkeypatch.setattr("peakmark.run.end.how_sure.best_of_several", with_both_tied)
    answer = answered(history, tmp_path)
    assert answer["epochs"][-1]["ahead"]["low"] > 0
    assert "more than chance between these two, but not with the choice among all epochs counted" in answer["text"]
    assert "It can't be told from epoch 4." in answer["text"]
    assert "a real difference" not in answer["text"]


def test_a_best_that_owes_its_lead_to_being_chosen_is_not_called_ahead(tmp_path: Path) -> None:
    text = answered(make_run(tmp_path, *[0.8] * 8), tmp_path)["text"]
    assert "Without what being chosen added to it, epoch 1 is not ahead of the last, epoch 8 (-0.0" in text


def test_a_last_epoch_that_is_best_is_held_against_the_next_best(tmp_path: Path) -> None:
    for number, next_best in enumerate((0.9, 0.6)):  # a near one, and one that is out of reach
        folder = tmp_path / str(number)
        text = answered(make_run(folder, 0.3, next_best, 0.5, 0.93), folder)["text"]
        assert "Epoch 4 is ahead of the next best, epoch 2, by 0." in text


def test_a_single_epoch_has_a_standard_error_and_no_comparison(tmp_path: Path) -> None:
    answer = answered(make_run(tmp_path, 0.8), tmp_path)
    assert answer["fitness"]["standard_error"] > 0
    assert answer["corrected"]["value"] == pytest.approx(answer["fitness"]["value"])
    assert "ahead" not in answer["text"]


def test_the_same_run_gets_the_same_answer(tmp_path: Path) -> None:
    history = make_run(tmp_path, 0.8, 0.82, 0.81)
    assert answered(history, tmp_path) == answered(history, tmp_path)


def test_epochs_that_were_validated_otherwise_are_not_compared(tmp_path: Path) -> None:
    first = Segment(0, 0, {}, "start", {"version": VERSION}, 9, "the same set")
    history = make_run(tmp_path, 0.9, 0.8, 0.79, segments=(first, dataclasses.replace(first, comparable="another")))
    moved = [dataclasses.replace(record, segment=min(record.epoch, 1)) for record in history.records]
    answer = answered(dataclasses.replace(history, records=tuple(moved)), tmp_path)
    assert [each["epoch"] for each in answer["epochs"]] == [2, 3]


def test_without_the_evidence_of_the_best_nothing_is_said_but_why(tmp_path: Path) -> None:
    history = make_run(tmp_path, 0.8, 0.9)
    RunFolder(tmp_path).evidence_file(1).unlink()
    answer, told = ask(history, tmp_path)
    assert answer is None
    (text,) = told
    assert "evidence of epoch 2 is not there" in text


@pytest.mark.parametrize("harm", ["missing", "damaged", "swapped"])
def test_evidence_of_another_epoch_that_is_not_right_leaves_that_epoch_out(tmp_path: Path, harm: str) -> None:
    history = make_run(tmp_path, 0.8, 0.83, 0.82)
    first, best = RunFolder(tmp_path).evidence_file(0), RunFolder(tmp_path).evidence_file(1)
    if harm == "missing":
        first.unlink()
    elif harm == "damaged":
        first.write_bytes(first.read_bytes()[:-50])
    else:
        first.write_bytes(best.read_bytes())
    answer, told = ask(history, tmp_path)
    assert answer is not None
    assert [each["epoch"] for each in answer["epochs"]] == [2, 3]
    (text,) = told
    assert "not compared with the best" in text
    assert "epoch1.npz" in text


def test_a_stop_is_heeded_between_epochs(tmp_path: Path) -> None:
    history = make_run(tmp_path, 0.8, 0.82, 0.81)
    asked = []

    def stop_at_the_second() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        how_sure(history, RunFolder(tmp_path), fitness_by("map50_95", "ab"), lambda event: None, stop_at_the_second)


def test_many_epochs_without_evidence_are_told_of_once(tmp_path: Path) -> None:
    history = make_run(tmp_path, 0.82, 0.81, 0.82, 0.9)
    for epoch in range(3):
        RunFolder(tmp_path).evidence_file(epoch).unlink()
    answer, (text,) = ask(history, tmp_path)
    assert answer is not None
    assert "The same holds for" in text
    assert "ahead" not in answer["text"]


def test_a_run_without_a_best_has_nothing_to_be_sure_of(tmp_path: Path) -> None:
    assert ask(make_run(tmp_path, None, None), tmp_path) == (None, [])


def test_where_nothing_is_found_it_says_so_instead_of_a_difference_of_nothing(tmp_path):
    history = make_run(tmp_path, -40.0, -40.0)
    assert [record.fitness for record in history.records] == [0.0, 0.0]
    answer, told = ask(history, tmp_path)
    assert answer is not None
    assert told == []
    assert answer["text"] == "Fitness 0.0000 in every choice of images: nothing more can be said from these 30 images."
