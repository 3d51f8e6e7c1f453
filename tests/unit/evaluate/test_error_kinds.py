"""Is each mistake of the kind that TIDE's paper says, and is its cost what can be worked out by hand?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.evaluate.test_matching import detections_of, truths_of

from peakmark.evaluate.error_kinds import COSTS, KINDS, ErrorKinds, find_error_kinds
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.protocol import ALL_SIZES, IOU_50
from peakmark.machine.streams import stream

Row = tuple[int, int, list[float], float]
BOX = [10.0, 10.0, 40.0, 40.0]
HALF_BESIDE = [30.0, 10.0, 40.0, 40.0]  # IoU 1/3 with BOX
FAR = [300.0, 300.0, 40.0, 40.0]
CAT, DOG = 0, 1


def errors_of(truths: list[tuple[int, int, list[float]]], *found: Row, crowd: list[bool] | None = None) -> ErrorKinds:
    tables = truths_of(*truths, crowd=crowd), detections_of(*found)
    return find_error_kinds(*tables, match(*tables, images=3, classes=2))


def kinds(errors: ErrorKinds) -> list[str]:
    return [KINDS[kind] if kind >= 0 else "not counted" for kind in errors.kind_D]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ((0, CAT, BOX, 0.9), "right"),
        ((0, DOG, BOX, 0.9), "wrong_class"),
        ((0, CAT, HALF_BESIDE, 0.9), "badly_placed"),
        ((0, DOG, HALF_BESIDE, 0.9), "both"),
        ((0, CAT, FAR, 0.9), "background"),
        ((1, CAT, BOX, 0.9), "background"),  # in another image
    ],
)
def test_a_detection_alone_is_of_the_kind_that_the_paper_says(found, kind):
    assert kinds(errors_of([(0, CAT, BOX)], found)) == [kind]


def test_of_two_on_one_truth_the_weaker_is_doubled():
    errors = errors_of([(0, CAT, BOX)], (0, CAT, BOX, 0.6), (0, CAT, [10, 10, 40, 30], 0.9))
    assert kinds(errors) == ["right", "doubled"]
    assert errors.truth_D.tolist() == [0, 0]


def test_a_double_stays_one_where_another_class_lies_as_near():
    errors = errors_of([(0, CAT, BOX), (0, DOG, BOX)], (0, CAT, BOX, 0.9), (0, CAT, BOX, 0.8))
    assert kinds(errors) == ["right", "doubled"]


def test_the_larger_overlap_decides_between_two_truths():
    errors = errors_of([(0, CAT, HALF_BESIDE), (0, DOG, BOX)], (0, CAT, BOX, 0.9))
    assert kinds(errors) == ["wrong_class"]
    assert errors.truth_D.tolist() == [1]


def test_an_overlap_under_a_tenth_is_background():
    assert kinds(errors_of([(0, CAT, BOX)], (0, CAT, [45.0, 10.0, 40.0, 40.0], 0.9))) == ["background"]  # IoU 0.067


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    errors = errors_of([(0, CAT, BOX)], (0, CAT, BOX, 0.9), crowd=[True])
    assert kinds(errors) == ["not counted"]
    assert not errors.missed(0.0).any()


def test_a_truth_is_missed_where_no_mistake_is_about_it_and_that_depends_on_the_confidence():
    truths = [(0, CAT, BOX), (1, CAT, BOX), (2, CAT, BOX)]
    errors = errors_of(truths, (0, CAT, BOX, 0.9), (1, DOG, BOX, 0.5), (2, CAT, FAR, 0.9))
    assert errors.missed(0.0).tolist() == [False, False, True]
    assert errors.missed(0.6).tolist() == [False, True, True]
    assert errors.missed(0.95).tolist() == [True, True, True]


def costs(errors: ErrorKinds) -> dict[str, float]:
    return {name: round(cost, 6) for name, cost in errors.costs.items() if abs(cost) > 1e-9}


# Precision is interpolated at 101 levels of recall: of two truths, 51 of them (0 to 0.5) belong to the first.
HALF = 51 / 101


def test_nothing_is_wrong_and_nothing_costs():
    errors = errors_of([(0, CAT, BOX)], (0, CAT, BOX, 0.9))
    assert errors.ap50 == pytest.approx(1)
    assert costs(errors) == {}


def test_a_wrong_class_costs_what_its_truth_would_bring():
    # cat: 1 of 2 found. dog: no truths, so not in the mean, whatever is taken for one.
    errors = errors_of([(0, CAT, BOX), (1, CAT, BOX)], (0, CAT, BOX, 0.9), (1, DOG, BOX, 0.8))
    assert errors.ap50 == pytest.approx(HALF)
    assert costs(errors) == {"wrong_class": round(1 - HALF, 6)}


def test_a_badly_placed_one_costs_its_truth_and_the_precision_of_the_weaker_ones():
    truths = [(0, CAT, BOX), (1, CAT, BOX)]
    errors = errors_of(truths, (0, CAT, HALF_BESIDE, 0.9), (1, CAT, BOX, 0.8))
    assert errors.ap50 == pytest.approx(HALF / 2)
    assert costs(errors) == {"badly_placed": round(1 - HALF / 2, 6)}


def test_setting_right_what_another_found_already_only_takes_it_away():
    errors = errors_of([(0, CAT, BOX)], (0, CAT, HALF_BESIDE, 0.9), (0, CAT, BOX, 0.8))
    assert kinds(errors) == ["badly_placed", "right"]
    assert errors.ap50 == pytest.approx(0.5)
    assert costs(errors) == {"badly_placed": 0.5}


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [((0, DOG, HALF_BESIDE, 0.95), "both"), ((1, DOG, BOX, 0.95), "background")],
)
def test_what_can_only_be_taken_away_costs_precision(wrong, kind):
    errors = errors_of([(0, CAT, BOX), (2, DOG, BOX)], (0, CAT, BOX, 0.9), (2, DOG, BOX, 0.8), wrong)
    assert errors.ap50 == pytest.approx(0.75)
    assert costs(errors) == {kind: 0.25}


def test_a_double_costs_the_precision_of_the_weaker_ones():
    errors = errors_of([(0, CAT, BOX), (1, CAT, BOX)], (0, CAT, BOX, 0.9), (0, CAT, BOX, 0.8), (1, CAT, BOX, 0.7))
    assert costs(errors) == {"doubled": round((1 - HALF) / 3, 6)}


def test_a_missed_truth_costs_its_recall():
    errors = errors_of([(0, CAT, BOX), (1, CAT, BOX)], (0, CAT, BOX, 0.9))
    assert costs(errors) == {"missed": round(1 - HALF, 6)}


def test_a_model_that_finds_nothing_misses_everything():
    errors = errors_of([(0, CAT, BOX)])
    assert errors.ap50 == 0
    assert costs(errors) == {"missed": 1}


def test_a_set_without_truths_has_no_costs():
    errors = errors_of([], (0, CAT, BOX, 0.9))
    assert kinds(errors) == ["background"]
    assert math.isnan(errors.ap50)
    assert all(math.isnan(errors.costs[name]) for name in COSTS)


def test_in_any_set_the_right_ones_are_those_of_the_evidence_and_no_cost_is_below_zero():
    rng = stream(5, "error kinds", 0, 0)
    for _ in range(20):
        truths = truths_of(*((int(rng.integers(3)), int(rng.integers(2)), box(rng)) for _ in range(12)))
        rows = [(int(rng.integers(3)), int(rng.integers(2)), box(rng), float(rng.random())) for _ in range(40)]
        rows += [(row[0], row[1], row[2], float(rng.random())) for row in zip_of(truths, rng)]
        detections = detections_of(*rows)
        evidence = match(truths, detections, images=3, classes=2)
        errors = find_error_kinds(truths, detections, evidence)
        assert ((errors.kind_D == 0) == evidence.right(ALL_SIZES, IOU_50)).all()
        assert errors.ap50 == pytest.approx(evaluation_from(evidence, ("cat", "dog")).metrics["map50"])
        assert all(cost >= -1e-12 for cost in errors.costs.values())
        assert (errors.detections.scores_D == evidence.scores_D).all()


def test_at_a_higher_confidence_the_others_keep_their_kind():
    rng = stream(6, "error kinds", 0, 0)
    truths = truths_of(*((int(rng.integers(3)), int(rng.integers(2)), box(rng)) for _ in range(12)))
    rows = [(int(rng.integers(3)), int(rng.integers(2)), box(rng), float(rng.random())) for _ in range(80)]
    whole = find_error_kinds(truths, detections_of(*rows), match(truths, detections_of(*rows), images=3, classes=2))
    few = detections_of(*(row for row in rows if row[3] >= 0.5))
    part = find_error_kinds(truths, few, match(truths, few, images=3, classes=2))
    kept = whole.detections.scores_D >= np.float32(0.5)
    assert (whole.kind_D[kept] == part.kind_D).all()
    assert (whole.truth_D[kept] == part.truth_D).all()


def box(rng: np.random.Generator) -> list[float]:
    return [float(value) for value in (*rng.integers(0, 60, 2), *rng.integers(20, 50, 2))]


def zip_of(truths, rng: np.random.Generator) -> list[tuple[int, int, list[float]]]:
    """Detections on the truths: some of another class, some a little beside."""
    columns = zip(truths.image_G, truths.classes_G, truths.boxes_xywh_px, strict=True)
    return [
        (int(image), int(kind) ^ int(rng.random() < 0.2), [float(value) for value in place + rng.normal(0, 4, 4)])
        for image, kind, place in columns
    ]
