"""Does the band keep quiet at healthy seams, and does it find what is out of line?"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import Counter

import pytest
from tests.beside import PEER

from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History
from peakmark.resume.health.continuity import NAMES, continuity_of


def _shifted(
    history: History, first_epoch: int, *, train: float = 0.0, val: float = 0.0, score: float = 0.0, epochs: int = 10**6
) -> History:
    """The history with its numbers moved from an epoch on, for so many epochs."""

    def move(record: EpochRecord) -> EpochRecord:
        if not first_epoch <= record.epoch < first_epoch + epochs or record.metrics is None:
            return record
        metrics = {**record.metrics, "map50_95": record.metrics["map50_95"] + score}
        assert record.validation is not None
        losses = _plus(record.train, train), _plus(record.validation, val)
        return dataclasses.replace(record, metrics=metrics, train=losses[0], validation=losses[1])

    return dataclasses.replace(history, records=tuple(map(move, history.records)))


def _plus(losses: Losses, by: float) -> Losses:
    return Losses(**{term: value + by for term, value in losses.items()})


def test_healthy_seams_raise_no_alarm(healthy):
    kinds = Counter(
        continuity_of(healthy(45, seed=seed), first_epoch=epoch).kind for seed in range(8) for epoch in range(1, 44)
    )
    assert kinds["broken"] <= 0.02 * kinds.total()
    assert kinds["too early"] == 8 * 4
    assert kinds["continuous"] > 0.8 * kinds.total()


@pytest.mark.parametrize("epoch", [15, 25, 40])
@pytest.mark.parametrize("shift", [{"train": 0.3}, {"train": -0.3}, {"val": 0.3}, {"val": 0.3, "score": -0.1}], ids=str)
def test_a_level_that_jumps_and_stays_is_found(healthy, epoch, shift):
    history = _shifted(healthy(45), epoch, **shift)
    verdict = continuity_of(history, first_epoch=epoch)
    assert verdict.kind == "broken"
    assert continuity_of(history, first_epoch=epoch + 3).kind != "broken"  # it jumped there, and not here


def test_one_number_outside_for_once_is_drifting(healthy):
    history = healthy(30)
    record = history.records[21]
    odd = dataclasses.replace(record, train=dataclasses.replace(record.train, cls=record.train.cls + 0.2))
    history = dataclasses.replace(history, records=(*history.records[:21], odd, *history.records[22:]))
    verdict = continuity_of(history, first_epoch=20)
    assert verdict.kind == "drifting"
    assert verdict.text.startswith("Drifting: train/cls of epoch 22 is 1.5")


def test_two_training_losses_a_little_out_in_one_epoch_are_two_witnesses(healthy):
    history = _shifted(healthy(45, noise=0.001), 30, train=0.17)
    assert continuity_of(history, first_epoch=30, watch=1).kind == "broken"


def test_later_epochs_may_stray_further(healthy):
    history = _shifted(healthy(45, noise=0.001), 32, train=0.15, epochs=1)
    assert continuity_of(history, first_epoch=30).kind == "continuous"
    assert continuity_of(history, first_epoch=32).kind == "broken"


def test_an_alarm_is_beyond_what_the_run_did_lately(healthy):
    """One epoch that stood out is no noise to the median, and yet the run has shown that it can."""
    history = _shifted(healthy(45, noise=0.001), 27, train=0.3, epochs=1)
    assert continuity_of(_shifted(history, 30, train=0.25), first_epoch=30, watch=1).kind == "continuous"
    assert continuity_of(_shifted(history, 30, train=0.4), first_epoch=30, watch=1).kind == "broken"


def test_the_closing_of_mosaic_widens_no_later_band(healthy):
    history = _shifted(healthy(30, noise=0.001, epochs=30, close_mosaic=10), 20, train=-0.6)
    assert continuity_of(_shifted(history, 23, train=0.35), first_epoch=23).kind == "broken"


def test_the_sentence_names_number_epoch_value_and_what_was_expected(healthy):
    history = _shifted(healthy(30, noise=0.001), 20, train=0.5)
    verdict = continuity_of(history, first_epoch=20, watch=1)
    assert "of epoch 21 is 2." in verdict.text
    assert "was expected" in verdict.text
    assert all(name in verdict.text for name in ("train/box", "train/cls", "train/dfl"))
    assert "val/" not in verdict.text
    (box,) = (seen for seen in verdict.observed if seen.name == "train/box")
    assert box.value == history.records[20].train.box
    assert abs(box.expected - (box.value - 0.5)) < 0.05


def test_only_the_watched_epochs_count(healthy):
    history = _shifted(healthy(30), 23, train=0.5)
    assert continuity_of(history, first_epoch=20, watch=3).kind == "continuous"
    assert continuity_of(history, first_epoch=20, watch=4).kind == "broken"
    assert continuity_of(history, first_epoch=30).kind == "too early"


def test_under_five_validated_epochs_there_is_no_verdict(healthy):
    history = _shifted(healthy(30), 25, train=9.0)
    assert continuity_of(healthy(30), first_epoch=4).kind == "too early"
    rarely = healthy(30, validated=lambda epoch: epoch % 6 == 5)
    verdict = continuity_of(_shifted(rarely, 24, train=9.0), first_epoch=24)
    assert verdict.kind == "too early"
    assert "Only 4 of the epochs before the resume were validated" in verdict.text
    assert continuity_of(history, first_epoch=25).kind == "broken"


def test_epochs_that_were_not_validated_are_stepped_over(healthy):
    history = healthy(40, validated=lambda epoch: epoch % 3 == 2)
    verdict = continuity_of(history, first_epoch=30)
    assert verdict.kind == "continuous"
    assert {seen.epoch for seen in verdict.observed if seen.name.startswith("train")} == {30, 31, 32}
    assert {seen.epoch for seen in verdict.observed if not seen.name.startswith("train")} == {32}
    assert continuity_of(_shifted(history, 30, val=0.5), first_epoch=30).kind == "broken"


# --- what is announced, and what can't be compared -------------------------------------------------------------------


def test_an_announced_movement_moves_the_band_on_its_side_only(healthy):
    announced = dict.fromkeys(("train/box", "train/cls", "train/dfl"), (0.0, 0.5))
    up, down = _shifted(healthy(30), 20, train=0.5), _shifted(healthy(30), 20, train=-0.5)
    assert continuity_of(up, first_epoch=20).kind == "broken"
    assert continuity_of(up, first_epoch=20, expected=announced).kind == "continuous"
    assert continuity_of(down, first_epoch=20, expected=announced).kind == "broken"
    assert continuity_of(_shifted(healthy(30), 20, train=1.2), first_epoch=20, expected=announced).kind == "broken"


def test_what_the_plan_says_is_not_compared_is_not(healthy):
    everything = dict.fromkeys(NAMES, (-math.inf, math.inf))
    assert continuity_of(healthy(30), first_epoch=20, expected=everything).kind == "too early"
    without = continuity_of(
        _shifted(healthy(30), 20, score=-9), first_epoch=20, expected={"map50_95": (-math.inf, 0.0)}
    )
    assert without.kind == "continuous"


def test_other_validation_data_is_not_compared(healthy):
    history = _shifted(healthy(30, later=({"from_epoch": 20, "comparable": "another set"},)), 20, val=2, score=-0.3)
    verdict = continuity_of(history, first_epoch=20)
    assert verdict.kind == "continuous"
    assert {seen.name for seen in verdict.observed} == {"train/box", "train/cls", "train/dfl"}
    assert continuity_of(history, first_epoch=26).kind == "continuous"


def test_mosaic_that_closes_on_schedule_raises_no_alarm(healthy):
    """Training losses with and without mosaic are losses of other images."""
    history = _shifted(healthy(30, epochs=30, close_mosaic=10), 20, train=-0.4)
    for first in range(17, 24):
        verdict = continuity_of(history, first_epoch=first)
        assert verdict.kind == "continuous", (first, verdict.text)
        train = {seen.epoch for seen in verdict.observed if seen.name == "train/box"}
        assert train == {epoch for epoch in range(first, first + 3) if (epoch < 20) == (first - 1 < 20)}
    without = _shifted(healthy(30, epochs=30, close_mosaic=10, mosaic=0), 20, train=-0.4)
    assert continuity_of(without, first_epoch=20).kind == "broken"


def test_validations_from_before_the_model_finds_anything_are_no_trend(healthy):
    """Their losses take off in one leap, which no trend can foretell."""
    history = healthy(30)
    early = tuple(
        dataclasses.replace(r, metrics={"map50_95": 0.0}, validation=Losses(5.3, 4.1, 4.1)) for r in history.records[:8]
    )
    history = dataclasses.replace(history, records=early + history.records[8:])
    verdict = continuity_of(history, first_epoch=8)
    assert verdict.kind == "continuous"
    assert {seen.name for seen in verdict.observed} == {"train/box", "train/cls", "train/dfl"}


def test_a_number_that_is_not_finite_is_broken(healthy):
    history = _shifted(healthy(30), 20, val=math.nan, epochs=1)
    assert continuity_of(history, first_epoch=20).kind == "broken"
    assert continuity_of(history, first_epoch=21).kind == "continuous"


@pytest.mark.skipif(not PEER.is_dir(), reason="the peer's curves lie beside the repository, in ../shared/peers")
@pytest.mark.parametrize("name", ["results-uninterrupted.csv", "results-resumed.csv"])
def test_a_peers_healthy_run_raises_no_alarm(healthy, name):
    """Fixed thresholds alone would at 20 of its 29 seams."""
    with open(PEER / name, newline="") as table:
        rows = [{column.strip(): float(value) for column, value in row.items()} for row in csv.DictReader(table)]
    records = tuple(
        dataclasses.replace(
            record,
            train=_losses(row, "train"),
            validation=_losses(row, "val"),
            metrics={"map50_95": row["metrics/mAP50-95(B)"]},
        )
        for record, row in zip(healthy(30).records, rows, strict=True)
    )
    history = dataclasses.replace(healthy(30, epochs=30, close_mosaic=10), records=records)
    kinds = Counter(continuity_of(history, first_epoch=epoch).kind for epoch in range(1, 30))
    assert kinds["broken"] == 0
    assert kinds["drifting"] <= 2


def _losses(row: dict[str, float], kind: str) -> Losses:
    return Losses(*(row[f"{kind}/{part}_loss"] for part in ("box", "cls", "dfl")))
