"""Are standard errors, corrections, leads and ties right where the truth is known?"""

from __future__ import annotations

import numpy as np
import pytest

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.resampling import ResampledMetrics, draw_resamples
from peakmark.evaluate.tables import DetectionTable, TruthTable
from peakmark.evaluate.uncertainty import FEWEST_RESAMPLES, BestOfSeveral, best_of_several, estimate, leads, student_95

EPOCHS, IMAGES, CASES = 15, 100, 300


def judged(truth_E: np.ndarray, seed: int, *, resamples: int = 200) -> tuple[BestOfSeveral, np.ndarray]:
    """Measures epochs whose noise has a part in common, in a world of bell curves."""
    rng = np.random.default_rng((17, seed))

    def noise(draws: int) -> np.ndarray:
        return 0.02 * rng.normal(size=draws) + 0.012 * rng.normal(size=(len(truth_E), draws))

    values_E = truth_E + noise(1)[:, 0]
    several = best_of_several(values_E, values_E[:, None] + noise(resamples), IMAGES)
    assert several is not None
    assert several.best == np.argmax(values_E)
    return several, values_E


WORLDS = {
    "all alike": np.full(EPOCHS, 0.5),
    "a slow rise": 0.5 + 0.001 * np.arange(EPOCHS),
    "a rise and a fall": 0.5 - 0.02 * np.abs(np.arange(EPOCHS) - 8) / EPOCHS,
}


@pytest.mark.parametrize("world", WORLDS)
def test_the_correction_takes_off_what_being_chosen_added(world: str) -> None:
    truth_E = WORLDS[world]
    naive, corrected = [], []
    for case in range(CASES):
        several, values_E = judged(truth_E, case)
        common = (values_E - truth_E).mean()  # what all epochs share says nothing of the choice, and only adds noise
        naive.append(values_E.max() - truth_E[several.best] - common)
        corrected.append(several.corrected.value - truth_E[several.best] - common)
    assert np.mean(naive) > 0.008
    # A quarter is promised. Where all are alike nothing else moves the number, and more can be asked.
    most = 0.12 if world == "all alike" else 0.25
    assert abs(np.mean(corrected)) < most * np.mean(naive)


@pytest.mark.parametrize("world", WORLDS)
def test_intervals_hold_the_truth_as_often_as_they_say(world: str) -> None:
    truth_E = WORLDS[world]
    of_best, of_lead, with_best_tied = [], [], []
    for case in range(CASES):
        several, _ = judged(truth_E, case)
        chosen = truth_E[several.best]
        of_best.append(several.corrected.low <= chosen <= several.corrected.high)
        last = several.ahead[-1]
        if several.best != EPOCHS - 1:
            of_lead.append(last.low <= chosen - truth_E[-1] <= last.high)
        with_best_tied.append(int(np.argmax(truth_E)) in several.tied)
        assert several.best in several.tied
    assert 0.91 <= np.mean(of_best) <= 0.99
    assert 0.90 <= np.mean(of_lead) <= 0.99
    assert np.mean(with_best_tied) >= 0.93


def test_a_clear_best_needs_no_correction_and_has_no_ties() -> None:
    truth_E = np.linspace(0.1, 0.4, EPOCHS)
    truth_E[9] = 0.9
    several, values_E = judged(truth_E, 0)
    assert several.tied == (9,)
    assert several.corrected.value == pytest.approx(values_E[9], abs=0.004)
    assert all(lead.is_above_zero for e, lead in enumerate(several.ahead) if e != 9)
    assert several.ahead[9].value == several.ahead[9].standard_error == 0.0


def test_what_is_hard_for_all_drops_out_of_a_lead() -> None:
    several, _ = judged(np.array([0.5, 0.6]), 1)
    assert several.fitness[1].standard_error == pytest.approx(np.hypot(0.02, 0.012), rel=0.2)
    assert several.ahead[0].standard_error == pytest.approx(0.012 * np.sqrt(2), rel=0.2)


def test_equal_epochs_are_tied_and_the_first_is_best() -> None:
    several = best_of_several([0.5, 0.5, 0.5], np.full((3, 200), 0.5), IMAGES)
    assert several is not None
    assert several.best == 0
    assert several.tied == (0, 1, 2)
    assert several.corrected.value == 0.5
    assert not any(lead.is_above_zero for lead in several.ahead)


def test_resamples_without_a_fitness_are_left_out_and_too_few_say_nothing() -> None:
    rng = np.random.default_rng(0)
    resampled_EB = 0.5 + 0.01 * rng.normal(size=(2, 2 * FEWEST_RESAMPLES))
    some_missing = resampled_EB.copy()
    some_missing[0, :FEWEST_RESAMPLES] = np.nan
    assert best_of_several([0.5, 0.4], some_missing, IMAGES) == best_of_several(
        [0.5, 0.4], resampled_EB[:, FEWEST_RESAMPLES:], IMAGES
    )
    some_missing[1, FEWEST_RESAMPLES] = np.nan
    assert best_of_several([0.5, 0.4], some_missing, IMAGES) is None


def test_an_interval_of_few_images_is_wider_as_student_has_it() -> None:
    resampled_B = np.tile([-1.0, 1.0], 50)
    for images, student in ((10, 2.262), (30, 2.045), (100, 1.984)):
        number = estimate(0.5, resampled_B, images)
        assert number.standard_error == pytest.approx(np.sqrt(images / (images - 1)))
        assert number.high - number.value == pytest.approx(student * number.standard_error, rel=0.003)
        assert number.value - number.low == pytest.approx(number.high - number.value)


def of_quality(quality: float, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    truths = 120
    boxes = np.concatenate([rng.uniform(0, 60, (truths, 2)), rng.uniform(10, 140, (truths, 2))], axis=1)
    image_G, class_G = rng.integers(0, 40, truths), rng.integers(0, 2, truths)
    moved = boxes + rng.normal(size=boxes.shape) * (1 - quality) * 0.2 * np.tile(boxes[:, 2:], 2)
    scores = rng.random(truths).astype(np.float32)
    return match(
        TruthTable(image_G, class_G, boxes, np.zeros(truths, bool), boxes[:, 2] * boxes[:, 3]),
        DetectionTable(image_G, class_G, moved, scores),
        images=40,
        classes=2,
    )


def test_other_sets_of_the_same_kind_spread_as_the_standard_error_says() -> None:
    values = [evaluation_from(of_quality(0.1, seed), "ab").metrics["map50_95"] for seed in range(120)]
    errors = [
        ResampledMetrics(of_quality(0.1, seed), draw_resamples(40, 200, seed))["map50_95"].std() for seed in range(12)
    ]
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


# --- several that are not epochs of one run --------------------------------------------------------------------------


def test_the_lead_over_one_other_is_the_plain_paired_estimate() -> None:
    rng = np.random.default_rng(5)
    resampled_RB = rng.normal(size=(2, 400))
    found = leads([0.3, 0.5], resampled_RB, IMAGES, best=1)
    assert found is not None
    assert found == (estimate(0.5 - 0.3, resampled_RB[1] - resampled_RB[0], IMAGES), estimate(0, np.zeros(400), IMAGES))


@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_leads_over_several_hold_all_at_once_whichever_is_picked(spread: float) -> None:
    truth_R = 0.5 + spread * np.arange(8)
    all_hold, each_alone_holds = [], []
    for case in range(CASES):
        rng = np.random.default_rng((23, case))
        values_R = truth_R + 0.02 * rng.normal() + 0.012 * rng.normal(size=8)
        resampled_RB = values_R[:, None] + 0.02 * rng.normal(size=400) + 0.012 * rng.normal(size=(8, 400))
        best = int(np.argmax(values_R))
        found = leads(list(values_R), resampled_RB, IMAGES, best)
        assert found is not None
        true_leads = truth_R[best] - truth_R
        all_hold.append(all(lead.low <= true <= lead.high for lead, true in zip(found, true_leads, strict=True)))
        alone = [estimate(lead.value, resampled_RB[best] - resampled_RB[r], IMAGES) for r, lead in enumerate(found)]
        each_alone_holds.append(all(e.low <= true <= e.high for e, true in zip(alone, true_leads, strict=True)))
    assert np.mean(all_hold) > 0.93
    assert np.mean(each_alone_holds) < 0.8


def test_leads_of_equals_are_nought_and_too_few_resamples_say_nothing() -> None:
    resampled_RB = np.tile(np.random.default_rng(0).normal(size=300), (3, 1))
    found = leads([0.4, 0.4, 0.4], resampled_RB, IMAGES, best=0)
    assert found is not None
    assert all((lead.value, lead.low, lead.high) == (0, 0, 0) for lead in found)
    resampled_RB[1, FEWEST_RESAMPLES - 1 :] = np.nan
    assert leads([0.4, 0.4, 0.4], resampled_RB, IMAGES, best=0) is None


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.706), (2, 4.303), (2.9, 4.303), (4.99, 2.776), (5, 2.571), (9, 2.262), (86, 1.988)]
)
def test_students_t_is_that_of_the_tables(freedom: float, t: float) -> None:
    assert student_95(freedom) == pytest.approx(t, rel=0.01)


def test_a_surer_interval_is_a_wider_one() -> None:
    """At 95 % for one of three, each interval must hold in 98.33 %: 2.39 standard errors, where 100 images are many."""
    resampled_B = np.random.default_rng(0).normal(size=500)
    plain, surer = (estimate(0.0, resampled_B, 100, confidence=each) for each in (0.95, 1 - 0.05 / 3))
    assert plain.high / plain.standard_error == pytest.approx(1.984, abs=0.002)
    assert surer.high / surer.standard_error == pytest.approx(2.436, abs=0.002)
    assert surer.standard_error == plain.standard_error
