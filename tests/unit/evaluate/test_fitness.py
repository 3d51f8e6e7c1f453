"""Is a fitness the number that its formula promises: of an evaluation, of a record of the past, of resamples?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from peakmark.errors import SettingsError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.fitness import Fitness, fitness_by
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.operating_point import CONFIDENCES_K
from peakmark.evaluate.resampling import draw_resamples
from peakmark.evaluate.tables import DetectionTable, TruthTable
from peakmark.formula.terms import METRIC_NAMES
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord

OF_DETECTIONS = ("scores_D", "class_D", "rank_D", "matched_DA", "ignored_DA")
NAMES = ("light", "red cell", "never there")
FORMS = (
    "map50_95",
    "classic",
    "balanced",
    "f1",
    "0.3 * map50 + 0.7 * recall",
    "recall[light] * map50_95['red cell']",
    "f1[1] + precision[0] + map50[0]",
    "precision where recall >= 0.5",
    "precision[light] where recall[light] >= 0.6 and confidence > 0.05",
    "confidence where recall['red cell'] >= 0.4",
    "precision * map50 where recall >= 0.3",
    "precision where recall >= 0.999",
)


def evidence(seed: int = 0, images: int = 30) -> Evidence:
    rng = np.random.default_rng(seed)
    truths, detections = 80, 160
    boxes = np.concatenate([rng.uniform(0, 60, (truths, 2)), rng.uniform(10, 140, (truths, 2))], axis=1)
    image_G, class_G = rng.integers(0, images, truths), rng.integers(0, 2, truths)
    source = rng.integers(0, truths, detections)
    scores = rng.permutation(detections) / detections
    moved = boxes[source] + rng.normal(size=(detections, 4)) * 0.2 * (1.1 - scores[:, None]) * 30
    moved[:, 2:] = np.abs(moved[:, 2:]) + 1
    return match(
        TruthTable(image_G, class_G, boxes, np.zeros(truths, bool), boxes[:, 2] * boxes[:, 3]),
        DetectionTable(image_G[source], class_G[source], moved, scores.astype(np.float32)),
        images=images,
        classes=len(NAMES),
    )


def evaluation(seed: int = 0) -> Evaluation:
    return evaluation_from(evidence(seed), NAMES)


def record_of(found: Evaluation) -> EpochRecord:
    return EpochRecord(0, 0, 1, 8, Losses(1, 1, 1), (0.1,), metrics=found.metrics, per_class=found.per_class)


def of(text: str, found: Evaluation) -> float | None:
    return fitness_by(text, NAMES).of_evaluation(found)


@pytest.mark.parametrize("text", FORMS)
def test_evaluation_record_and_evidence_give_the_same_number(text):
    found, fitness = evaluation(), fitness_by(text, NAMES)
    value = fitness.of_evaluation(found)
    assert value is not None
    assert fitness.of_record(record_of(found), evidence) == value
    (again,) = fitness.resampled(evidence(), np.ones((1, 30), np.uint8))
    assert again == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("text", FORMS)
def test_a_resample_has_the_number_of_its_set(text):
    fitness, weights_BI = fitness_by(text, NAMES), draw_resamples(30, 6, 1)
    resampled_B = fitness.resampled(evidence(), weights_BI)
    for weights_I, value in zip(weights_BI, resampled_B, strict=True):
        expected = fitness.of_evaluation(evaluation_from(_copied(evidence(), weights_I), NAMES))
        assert value == pytest.approx(math.nan if expected is None else expected, abs=1e-12, nan_ok=True)
    assert resampled_B.std() > 0


def _copied(found: Evidence, weights_I: np.ndarray) -> Evidence:
    """Puts images of a set into it as often as their weight says."""
    images = np.repeat(np.arange(len(weights_I)), weights_I)
    rows_D = [np.flatnonzero(found.image_D == image) for image in images]
    rows_G = [np.flatnonzero(found.image_G == image) for image in images]
    take_D, take_G = np.concatenate(rows_D), np.concatenate(rows_G)
    return dataclasses.replace(
        found,
        images=len(images),
        image_D=np.repeat(np.arange(len(images)), [len(rows) for rows in rows_D]).astype(np.int32),
        image_G=np.repeat(np.arange(len(images)), [len(rows) for rows in rows_G]).astype(np.int32),
        **{name: getattr(found, name)[take_D] for name in OF_DETECTIONS},
        truth_of_D=np.full(len(take_D), -1, np.int32),
        **{name: getattr(found, name)[take_G] for name in ("class_G", "crowd_G", "ignored_GA")},
    )


# --- along the confidences -----------------------------------------------------------------------------------------


def with_curves(precision: list[float], recall: list[float]) -> Evaluation:
    """An evaluation of one class whose curves have these values, each over an equal stretch of the confidences."""
    stretch = np.minimum(np.arange(len(CONFIDENCES_K)) * len(precision) // len(CONFIDENCES_K), len(precision) - 1)
    found = evaluation()
    curves = dataclasses.replace(
        found.curves,
        precision_CK=np.asarray(precision)[stretch][None],
        recall_CK=np.asarray(recall)[stretch][None],
        f1_CK=np.zeros((1, len(CONFIDENCES_K))),
    )
    return dataclasses.replace(found, curves=curves)


PRECISION, RECALL = [0.2, 0.6, 0.5, 0.9], [1.0, 0.97, 0.95, 0.4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("precision where recall >= 0.95", 0.6),
        ("precision where recall > 0.95", 0.6),
        ("precision where recall >= 0.98", 0.2),
        ("precision where recall >= 0.3", 0.9),
        ("recall where precision >= 0.5", 0.97),
        ("recall where precision >= 0.5 and confidence >= 0.6", 0.95),
        # Nothing meets it: how far the nearest is from it.
        ("precision where recall + precision >= 1.9", -0.33),
        ("precision where recall > 1", -1e-9),
        ("recall where precision >= 0.95", -0.05),
        ("recall where precision >= 0.95 and recall >= 0.9", -0.35),
    ],
)
def test_the_best_of_the_confidences_that_meet_the_condition(text, expected):
    assert fitness_by(text, ("one",)).of_evaluation(with_curves(PRECISION, RECALL)) == pytest.approx(
        expected, abs=1e-12
    )


def test_a_mean_that_is_a_last_bit_short_meets_its_condition():
    just_below = math.nextafter(0.95, 0)
    found = with_curves([0.5, 0.9], [just_below, 0.9])
    assert fitness_by("precision where recall >= 0.95", ("one",)).of_evaluation(found) == 0.5


def test_a_value_that_is_no_number_is_never_the_best():
    found = with_curves([0.5, 0.9], [0.5, 1.0])
    fitness = fitness_by("precision / (1 - recall) where recall >= 0.4", ("one",))
    assert fitness.of_evaluation(found) == pytest.approx(1.0)
    assert fitness_by("precision / (1 - recall) where recall >= 0.9", ("one",)).of_evaluation(found) is None


# --- what has no number --------------------------------------------------------------------------------------------


def test_a_number_that_is_not_there_gives_no_fitness():
    for text in ("recall['never there']", "precision where recall[2] >= 0.5", "map50 / (map50 - map50)"):
        assert of(text, evaluation()) is None
        assert np.isnan(fitness_by(text, NAMES).resampled(evidence(), draw_resamples(30, 3, 0))).all()


def test_a_record_whose_evidence_is_gone_can_be_judged_by_its_numbers_only():
    record = record_of(evaluation())
    assert fitness_by("classic", NAMES).of_record(record, lambda: None) is not None
    assert fitness_by("precision where recall >= 0.5", NAMES).of_record(record, lambda: None) is None
    not_validated = dataclasses.replace(record, metrics=None, per_class=None)
    assert fitness_by("map50", NAMES).of_record(not_validated, evidence) is None


@pytest.mark.parametrize("text", ["recall[blue]", "recall[3]", "recall[-1]", "precision where recall[blue] > 0.5"])
def test_a_class_that_is_not_there_is_refused_with_those_that_are(text):
    with pytest.raises((SettingsError, ValueError), match=r"light, red cell, never there|names no class"):
        fitness_by(text, NAMES)


# --- functions -----------------------------------------------------------------------------------------------------


def careful(metrics):
    return min(metrics["recall[light]"], metrics["f1[red cell]"]) * metrics["map50"]


def by_function(function) -> Fitness:
    return fitness_by("function careful", NAMES, function)


def test_a_function_judges_as_the_same_formula_does():
    mine, formula = by_function(careful), fitness_by("min(recall[light], f1['red cell']) * map50", NAMES)
    found, weights_BI = evaluation(), draw_resamples(30, 20, 0)
    assert mine.of_evaluation(found) == formula.of_evaluation(found)
    assert mine.of_record(record_of(found), lambda: None) == formula.of_evaluation(found)
    assert mine.resampled(evidence(), weights_BI) == pytest.approx(formula.resampled(evidence(), weights_BI), abs=1e-12)


def test_a_function_sees_every_name():
    seen: list[dict[str, float]] = []

    def looks(metrics):
        seen.append(dict(metrics))
        return 0.5

    mine = by_function(looks)
    mine.try_out()
    mine.of_evaluation(evaluation())
    mine.resampled(evidence(), draw_resamples(30, 1, 0))
    assert {frozenset(names) for names in seen} == {frozenset(seen[0])}
    assert set(METRIC_NAMES) | {"recall[light]", "f1[red cell]", "map50_95[never there]"} <= set(seen[0])


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda metrics: metrics["mAP"], "KeyError: 'mAP'"),
        (lambda metrics: "good", "ValueError: could not convert"),
        (lambda metrics: None, "TypeError"),
    ],
)
def test_a_function_that_fails_is_named_with_its_error(function, says):
    with pytest.raises(SettingsError, match=says):
        by_function(function).try_out()


def test_a_function_that_gives_no_number_gives_no_fitness():
    assert by_function(lambda metrics: math.nan).of_evaluation(evaluation()) is None


def test_without_its_function_it_is_refused_with_the_remedy():
    with pytest.raises(SettingsError, match=r"give it again in Python \(fitness=careful\), or choose a formula"):
        fitness_by("function careful", NAMES)


def test_a_resample_that_a_function_fails_on_has_no_fitness():
    def fails_without_light(metrics):
        if math.isnan(metrics["recall[light]"]):
            raise ZeroDivisionError
        return metrics["map50"]

    weights_BI = draw_resamples(30, 2, 0)
    with_light = set(evidence().image_G[evidence().class_G == 0].tolist())
    weights_BI[1, sorted(with_light)] = 0
    values = by_function(fails_without_light).resampled(evidence(), weights_BI)
    assert np.isnan(values).tolist() == [False, True]


@pytest.mark.parametrize("text", [form for form in FORMS if "where" in form and "0.999" not in form])
def test_a_condition_says_at_which_confidence_its_value_is_reached(text):
    found, fitness = evaluation(), fitness_by(text, NAMES)
    confidence = fitness.confidence_of(record_of(found), evidence())
    assert confidence is not None
    # Asked for at this confidence and no other, the value is the same; one step lower it isn't reached yet.
    there = f"{text} and confidence <= {confidence:.6f}"
    assert fitness_by(there, NAMES).of_evaluation(found) == fitness.of_evaluation(found)
    below = fitness_by(f"{text} and confidence <= {confidence - 0.0005:.6f}", NAMES).of_evaluation(found)
    value = fitness.of_evaluation(found)
    assert below is not None
    assert value is not None
    assert below < value


@pytest.mark.parametrize(
    "text", ["map50", "precision where recall + precision >= 2", "precision where recall[2] >= 0.5"]
)
def test_where_nothing_is_met_there_is_no_confidence_for_it(text):
    assert fitness_by(text, NAMES).confidence_of(record_of(evaluation()), evidence()) is None
