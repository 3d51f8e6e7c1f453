"""Is a requirement judged on the right number, and never held where nothing was measured?"""

from __future__ import annotations

import json

import numpy as np
import pytest

from peakmark.errors import SettingsError
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.resampling import ResampledMetrics, draw_resamples
from peakmark.evaluate.tables import detection_table, truth_table
from peakmark.evaluate.uncertainty import RESAMPLES, estimate
from peakmark.evaluate.validator import Validated
from peakmark.nouns.images import Detections, Truths
from peakmark.release.gate import At, Ruling, gate_result, open_requirements, rule_on

NAMES = ("cat", "dog", "absent")


def validated_as(truths: list[Truths], detections: list[Detections]) -> Validated:
    evidence = match(truth_table(truths), detection_table(detections), images=len(truths), classes=len(NAMES))
    return Validated(evaluation_from(evidence, NAMES), evidence)


@pytest.fixture(scope="module")
def validated():
    """A set of 40 images with a cat each, found in 30, and a dog in every second, found in half of them."""
    rng = np.random.default_rng(0)
    truths, detections = [], []
    for number in range(40):
        classes = [0, 1] if number % 2 else [0]
        boxes = np.array([[10, 10, 60, 60], [70, 70, 120, 120]][: len(classes)], dtype=np.float32)
        found = [row for row, kind in enumerate(classes) if (number % 4 if kind == 0 else number % 4 == 1)]
        truths.append(Truths(boxes, np.array(classes)))
        scores = np.sort(rng.uniform(0.3, 0.9, len(found)).astype(np.float32))[::-1]
        detections.append(Detections(boxes[found], scores, np.array(classes)[found]))
    return validated_as(truths, detections)


def rule(validated: Validated, requirement: str, at: At = "value") -> Ruling:
    (ruling,) = rule_on(open_requirements([requirement], NAMES), validated, at)
    return ruling


def test_the_value_and_its_interval_are_those_of_the_metric(validated):
    ruling = rule(validated, "map50 >= 0.5")
    evidence = validated.evidence
    resampled = ResampledMetrics(evidence, draw_resamples(evidence.images, RESAMPLES, 0))["map50"]
    expected = estimate(validated.evaluation.metrics["map50"], resampled, evidence.images)
    assert (ruling.value, ruling.low, ruling.high) == (expected.value, expected.low, expected.high)
    assert expected.low < expected.value < expected.high


@pytest.mark.parametrize(
    ("requirement", "shift", "at", "passed"),
    [
        # A limit between the value and an end of its interval: the sign says which end speaks against the model.
        ("map50 >= {}", -0.01, "value", True),
        ("map50 >= {}", -0.01, "lower", False),
        ("map50 > {}", 0.01, "value", False),
        ("map50 <= {}", 0.01, "value", True),
        ("map50 <= {}", 0.01, "lower", False),
        ("map50 < {}", -0.01, "value", False),
        ("map50 >= {}", 0.0, "value", True),
        ("map50 > {}", 0.0, "value", False),
        ("map50 <= {}", 0.0, "value", True),
        ("map50 < {}", 0.0, "value", False),
        ("map50 >= {}", -0.5, "lower", True),
    ],
)
def test_each_sign_at_the_value_and_at_the_end_of_the_interval(validated, requirement, shift, at, passed):
    limit = validated.evaluation.metrics["map50"] + shift
    assert rule(validated, requirement.format(repr(limit)), at).passed is passed


def test_classes_and_arithmetic(validated):
    of_cat, of_dog = validated.evaluation.per_class["map50"][:2]
    assert rule(validated, "map50[cat] >= 0").value == of_cat
    assert rule(validated, "map50[1] >= 0").value == of_dog
    assert rule(validated, "min(map50[cat], map50[dog]) >= 0").value == min(of_cat, of_dog)


@pytest.mark.parametrize("requirement", ["recall[absent] >= 0", "recall[absent] <= 1", "map_large >= 0"])
@pytest.mark.parametrize("at", ["value", "lower"])
def test_what_cannot_be_measured_never_holds(validated, requirement, at):
    ruling = rule(validated, requirement, at)
    assert ruling.value is None
    assert not ruling.passed


def test_a_single_image_has_no_interval_so_nothing_is_sure():
    boxes = np.array([[10, 10, 60, 60]], dtype=np.float32)
    found = Detections(boxes, np.array([0.9], dtype=np.float32), np.array([0]))
    validated = validated_as([Truths(boxes, np.array([0]))], [found])
    assert rule(validated, "map50 >= 0.5").passed
    assert not rule(validated, "map50 >= 0.5", "lower").passed


def test_a_class_that_is_none_is_named_with_those_there_are():
    with pytest.raises(SettingsError, match=r"require=recall\[bird\] >= 0.5: recall\[bird\] is of no class.*cat, dog"):
        open_requirements(["map50 >= 0", "recall[bird] >= 0.5"], NAMES)
    with pytest.raises(SettingsError):
        open_requirements(["recall[3] >= 0.5"], NAMES)


def test_one_that_fails_fails_all_and_json_says_so(validated):
    asked = {"model": "best.pt", "data": "data.yaml", "split": "val"}
    both = open_requirements(["map50 >= 0", "recall[absent] >= 0"], NAMES)
    result = gate_result(both, validated, "value", asked)
    assert not result.passed
    assert [ruling.passed for ruling in result.rulings] == [True, False]
    told = json.loads(result.to_json())
    assert told["rulings"][1]["value"] is None
    assert (told["images"], told["truths"], told["model"]) == (40, 60, "best.pt")
    assert gate_result(both[:1], validated, "value", asked).passed
