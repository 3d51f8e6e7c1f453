"""Are the operating point, the curves and the confusion matrix what their definitions say?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.operating_point import CONFIDENCES_K, best_operating_point, operating_curves
from peakmark.evaluate.protocol import ALL_SIZES, IOU_50
from peakmark.evaluate.tables import DetectionTable, TruthTable
from peakmark.formula.terms import CLASS_METRIC_NAMES, METRIC_NAMES
from peakmark.machine.streams import stream
from peakmark.nouns.evaluation import PROTOCOL, Evaluation

NAMES = ("cat", "dog", "never labelled")


def evidence_of(
    truths: list[tuple[int, int]], found: Sequence[tuple[float, int, float]], *, crowd: set[int] | None = None
) -> Evidence:
    """Lays truths (place, class) and detections (place, class, score) on a row of places that don't touch.

    A detection 0.1 beside a truth has an IoU of 2/3 with it.
    """

    def boxes(places: Sequence[float]) -> np.ndarray:
        return np.array([[100.0 * place, 0.0, 50.0, 50.0] for place in places]).reshape(-1, 4)

    return match(
        TruthTable(
            image_G=np.zeros(len(truths), dtype=np.int64),
            classes_G=np.array([truth[1] for truth in truths], dtype=np.int64),
            boxes_xywh_px=boxes([truth[0] for truth in truths]),
            crowd_G=np.array([row in (crowd or set()) for row in range(len(truths))], dtype=bool),
            areas_px2_G=np.full(len(truths), 2500.0),
        ),
        DetectionTable(
            image_D=np.zeros(len(found), dtype=np.int64),
            classes_D=np.array([each[1] for each in found], dtype=np.int64),
            boxes_xywh_px=boxes([each[0] for each in found]),
            scores_D=np.array([each[2] for each in found], dtype=np.float32),
        ),
        images=1,
        classes=len(NAMES),
    )


def evaluate(
    truths: list[tuple[int, int]], found: Sequence[tuple[float, int, float]], *, crowd: set[int] | None = None
) -> Evaluation:
    return evaluation_from(evidence_of(truths, found, crowd=crowd), NAMES)


def random_evidence(seed: int, objects: int = 60) -> Evidence:
    rng = stream(seed, "metrics test")
    truths = [(place, int(rng.integers(2))) for place in range(objects)]
    found = [
        (
            int(rng.integers(objects * 2)) + 0.1 * int(rng.integers(2)),
            int(rng.integers(3)),
            round(float(rng.random()), 2),
        )
        for _ in range(objects * 3)
    ]
    return evidence_of(truths, found)


# --- the operating point -------------------------------------------------------------------------------------------


def test_the_operating_point_has_the_best_mean_f1_over_classes_with_truths() -> None:
    # cat: two found above 0.6, a wrong one at 0.3. dog: one found at 0.5. What is never labelled doesn't matter.
    found = [(0, 0, 0.9), (1, 0, 0.6), (7, 0, 0.3), (2, 1, 0.5), (8, 2, 0.99), (9, 2, 0.98)]
    evaluation = evaluate([(0, 0), (1, 0), (2, 1)], found)
    assert 0.3 < evaluation.metrics["confidence"] <= 0.5
    assert [evaluation.metrics[name] for name in ("precision", "recall", "f1")] == [1.0, 1.0, 1.0]


def test_among_equally_good_confidences_the_middle_one_is_taken() -> None:
    evaluation = evaluate([(0, 0)], [(0, 0, 0.8), (5, 0, 0.2)])
    assert evaluation.metrics["confidence"] == 0.501  # every one from 0.201 to 0.800 keeps just the right detection
    assert evaluation.curves.best_confidence == 0.501


def test_a_score_equal_to_the_confidence_is_kept() -> None:
    for step in (1, 251, 700, 1000):
        curves = operating_curves(evidence_of([(0, 0)], [(0, 0, step / 1000)]))
        assert np.flatnonzero(curves.recall_CK[0]).tolist() == list(range(step + 1))


def test_precision_recall_and_f1_agree_with_counting_at_every_confidence() -> None:
    evidence = random_evidence(1)
    curves = operating_curves(evidence)
    right, truths = evidence.right(ALL_SIZES, IOU_50), evidence.truths_per_class(ALL_SIZES)
    for step, confidence in enumerate(CONFIDENCES_K):
        for c in (0, 1):
            kept = (evidence.class_D == c) & (evidence.scores_D >= confidence)
            found, wrong = int((kept & right).sum()), int((kept & ~right).sum())
            assert curves.precision_CK[c, step] == (found / (found + wrong) if found + wrong else 0)
            assert curves.recall_CK[c, step] == found / truths[c]
            assert curves.f1_CK[c, step] == pytest.approx(2 * found / (found + wrong + truths[c]), abs=1e-15)
    assert np.isnan(curves.f1_CK[2]).all()


def test_no_confidence_has_a_better_mean_f1_than_the_operating_point() -> None:
    curves = operating_curves(random_evidence(2))
    means = curves.f1_CK[:2].mean(axis=0)
    assert means[best_operating_point(curves).place] == means.max()
    assert means.max() > means[0]


# --- all numbers ---------------------------------------------------------------------------------------------------


def test_names_of_metrics_are_those_promised_and_in_their_order() -> None:
    evaluation = evaluate([(0, 0)], [(0, 0, 0.5)])
    assert tuple(evaluation.metrics) == METRIC_NAMES
    assert (*evaluation.per_class, "f1") == CLASS_METRIC_NAMES


def test_a_class_without_truths_has_no_numbers_and_spoils_no_mean() -> None:
    evaluation = evaluate([(0, 0), (1, 1)], [(0, 0, 0.9), (5, 2, 0.9)])
    assert evaluation.per_class["map50_95"][:2] == pytest.approx((1.0, 0.0))
    for name in evaluation.per_class:
        assert math.isnan(evaluation.per_class[name][2])
    assert evaluation.metrics["map50"] == pytest.approx(0.5)
    assert evaluation.truths_per_class == (1, 1, 0)


def test_means_over_classes_are_the_metrics() -> None:
    evaluation = evaluation_from(random_evidence(3), NAMES)
    for name in evaluation.per_class:
        assert np.nanmean(evaluation.per_class[name]) == pytest.approx(evaluation.metrics[name], abs=1e-12)
    assert evaluation.curves.precision_CR.shape == (3, 101)
    assert evaluation.curves.precision_CR[:2].mean() == pytest.approx(evaluation.metrics["map50"], abs=1e-12)
    assert evaluation.metrics["map50"] > evaluation.metrics["map75"] > 0


def test_a_set_without_truths_has_no_numbers() -> None:
    evaluation = evaluate([], [(0, 0, 0.9)])
    assert all(math.isnan(value) for value in evaluation.metrics.values())
    assert evaluation.confusion.sum() == 0
    assert (evaluation.truths, evaluation.detections, evaluation.images) == (0, 1, 1)


def test_a_set_without_detections_has_zeros() -> None:
    evaluation = evaluate([(0, 0)], [])
    assert evaluation.metrics["map50_95"] == evaluation.metrics["f1"] == evaluation.metrics["precision"] == 0.0
    assert math.isnan(evaluation.metrics["map_small"])
    assert evaluation.confusion[3].tolist() == [1, 0, 0, 0]


# --- confusion -----------------------------------------------------------------------------------------------------


def test_confusion_has_predictions_in_rows_and_truths_in_columns() -> None:
    truths = [(0, 0), (1, 0), (2, 1), (3, 1)]
    found = [(0, 0, 0.9), (1, 1, 0.9), (2, 1, 0.9), (9, 0, 0.9), (3, 1, 0.01)]
    evaluation = evaluate(truths, found)
    assert evaluation.metrics["confidence"] < 0.9
    kept_the_faint_one = evaluation.metrics["confidence"] <= 0.01
    assert evaluation.confusion.tolist() == [
        [1, 0, 0, 1],
        [1, 1 + kept_the_faint_one, 0, 0],
        [0, 0, 0, 0],
        [0, 1 - kept_the_faint_one, 0, 0],
    ]


def test_a_detection_at_the_operating_point_itself_is_in_the_confusion_matrix() -> None:
    evaluation = evaluate([(0, 0)], [(0, 0, 0.5), (5, 0, 0.499)])
    assert evaluation.metrics["confidence"] == 0.5
    assert evaluation.confusion[0].tolist() == [1, 0, 0, 0]


def test_every_detection_and_truth_is_in_the_confusion_matrix_once() -> None:
    evidence = random_evidence(4)
    evaluation = evaluation_from(evidence, NAMES)
    kept = evidence.scores_D >= np.float32(evaluation.metrics["confidence"])
    assert evaluation.confusion[:3].sum(axis=1).tolist() == np.bincount(evidence.class_D[kept], minlength=3).tolist()
    assert tuple(evaluation.confusion[:, :3].sum(axis=0)) == evaluation.truths_per_class
    assert evaluation.confusion[3, 3] == 0


def test_a_crowd_is_neither_missed_nor_mistaken() -> None:
    found, in_a_crowd, empty_crowd = (0, 0), (1, 0), (2, 0)
    evaluation = evaluate([found, in_a_crowd, empty_crowd], [(0, 0, 0.9), (1, 0, 0.9)], crowd={1, 2})
    assert evaluation.confusion.sum() == evaluation.confusion[0, 0] == 1
    assert evaluation.truths == 1


# --- more objects than COCO looks at detections ---------------------------------------------------------------------


def test_a_hundred_and_fifty_objects_found_perfectly_are_perfect() -> None:
    truths = [(place, 0) for place in range(150)]
    found = [(float(place), 0, 0.9 - place / 1000) for place in range(150)]
    evaluation = evaluate(truths, found)
    of_all = ("map50_95", "map50", "map75", "precision", "recall", "f1", "recall_medium")
    assert {name: evaluation.metrics[name] for name in of_all} == pytest.approx(dict.fromkeys(of_all, 1.0))
    assert evaluation.per_class["map50_95"][0] == pytest.approx(1.0)
    assert evaluation.confusion[0, 0] == 150
    assert evaluation.confusion[-1].sum() == 0
    # COCO's own, which nobody can bring above 2/3 here, stand beside and say what they are.
    assert evaluation.coco["map50_95"] == pytest.approx(67 / 101)
    assert evaluation.metrics["recall_100"] == pytest.approx(2 / 3)
    assert evaluation.protocol.startswith("COCO without its cap")


def test_a_set_without_so_many_objects_has_cocos_own_figures() -> None:
    evaluation = evaluate([(place, 0) for place in range(100)], [(float(place), 0, 0.5) for place in range(150)])
    assert evaluation.protocol == PROTOCOL
    assert evaluation.coco == {name: evaluation.metrics[name] for name in METRIC_NAMES[:12]}


def test_what_coco_leaves_out_counts_at_the_operating_point() -> None:
    """Sixty objects, found behind 120 mistakes: a detector in use shows them all the same."""
    truths = [(place, 0) for place in range(60)]
    mistakes = [(200.0 + n, 0, 0.9) for n in range(120)]
    evaluation = evaluate(truths, mistakes + [(float(place), 0, 0.5) for place in range(60)])
    assert evaluation.metrics["recall"] == 1.0
    assert evaluation.metrics["precision"] == pytest.approx(1 / 3)
    assert evaluation.confusion[0].tolist() == [60, 0, 0, 120]
    assert evaluation.metrics["map50"] == 0.0  # by COCO they are not there
