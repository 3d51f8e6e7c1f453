"""A metric in any spelling of the field is that metric, wherever a formula is read, and never arithmetic."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.formula.metric_spellings import with_names
from peakmark.formula.terms import METRIC_NAMES, NAMED, Metric, Number, Operation, bounds, computed
from peakmark.formula.text import as_setting, read_formula
from peakmark.settings.requirements import as_requirements

SPELLINGS = {
    "map50_95": [
        "map50-95", "mAP50-95", "MAP50-95", "mAP50–95", "mAP50:95", "map_50_95", "map@50-95", "mAP@0.5:0.95",
        "mAP@.5:.95", "mAP_0.5:0.95", "map.5-.95", "AP50:95", "AP@[.5:.95]", "AP@[.5:.05:.95]", "AP@[IoU=0.50:0.95]",
        "mAP@[0.5 : 0.95]", "metrics/mAP50-95(B)", "metrics/mAP50-95", "metrics/mAP_0.5:0.95", "map", "mAP", "AP",
    ],
    "map50": ["mAP50", "AP50", "mAP@0.5", "mAP@.5", "map@.50", "mAP@50", "mAP_0.5", "metrics/mAP50(B)", "AP@[IoU=0.5]"],
    "map75": ["mAP75", "AP75", "AP@.75", "mAP@0.75"],
    "map_small": ["APs", "APS", "AP_small", "AP_s", "mAP_small"],
    "map_medium": ["APm", "mAP_medium"],
    "map_large": ["APl", "AP_large"],
    "recall_1": ["AR1", "AR@1"],
    "recall_10": ["AR10", "AR@10"],
    "recall_100": ["AR100", "AR@100"],
    "recall_small": ["ARs", "AR_small"],
    "recall_medium": ["ARm"],
    "recall_large": ["ARl"],
    "precision": ["P", "Precision", "metrics/precision(B)", "mp"],
    "recall": ["R", "Recall", "metrics/recall(B)", "mr"],
    "f1": ["F1", "F1-score", "f1_score", "mF1"],
    "confidence": ["conf", "Confidence"],
}  # fmt: skip
WRITTEN = [(name, spelling) for name, spellings in SPELLINGS.items() for spelling in (name, *spellings)]


@pytest.mark.parametrize(("name", "spelling"), WRITTEN, ids=lambda text: text)
def test_every_spelling_is_the_metric(name, spelling):
    if name != "confidence":
        assert as_setting(spelling) == name
    assert as_setting(f"0.5*{spelling}+recall_large") == f"0.5 * {name} + recall_large"
    assert as_setting({spelling: 0.5, "recall[RBC]": 1}) == f"0.5 * {name} + 1 * recall[RBC]"
    assert as_requirements(f"{spelling}>=0.5") == (f"{name} >= 0.5",)
    assert as_requirements(f"{spelling}<=0.5,recall>0") == (f"{name} <= 0.5", "recall > 0")


def test_the_names_themselves_stay():
    for name in (*METRIC_NAMES, *NAMED):
        assert with_names(name) == name


def test_a_class_of_a_metric_s_name_stays_the_class():
    assert as_setting("mAP50-95[AP50] + recall['mAP50-95']") == "map50_95[AP50] + recall['mAP50-95']"
    assert as_setting("recall[R]") == "recall[R]"


@pytest.mark.parametrize("text", ["map50-recall", "map50 - 0.95", "1 - map50", "abs(precision - recall) - 1"])
def test_arithmetic_stays_arithmetic(text):
    assert as_setting(text).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("text", ["map50 - 95 <= 0.5", "recall >= 95", "map50 * 100 < 0 - 1", "abs(recall - 3) < 1"])
def test_a_requirement_that_no_metric_decides_is_refused(text):
    with pytest.raises(ValueError, match="metrics lie between 0 and 1"):
        as_requirements(text)


@pytest.mark.parametrize(
    "text", ["recall >= 0", "recall <= 1", "recall > 1 - 0.1", "100 * recall >= 95", "recall / map50 >= 95"]
)
def test_a_requirement_at_the_end_of_the_range_is_taken(text):
    assert as_requirements(text)


METRICS = st.builds(Metric, st.sampled_from(METRIC_NAMES))
NUMBERS = st.builds(Number, st.floats(-3, 3))
TWO = ["+", "-", "*", "/", "**", "min", "max"]
ONE = ["abs", "negative", "positive"]
TERMS = st.recursive(
    METRICS | NUMBERS,
    lambda inner: (
        st.builds(Operation, st.sampled_from(TWO), st.tuples(inner, inner))
        | st.builds(Operation, st.sampled_from(ONE), st.tuples(inner))
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(TERMS, st.dictionaries(st.sampled_from(METRIC_NAMES), st.floats(0, 1)))
def test_no_term_leaves_its_bounds(term, values):
    value = float(computed(term, lambda metric: values.get(metric.name, 0.5)))
    low, high = bounds(term)
    if not math.isnan(value):
        assert low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("map50 - 0.5", (-0.5, 0.5)),
        ("0.25 * map50 + 0.75 * recall", (0, 1)),
        ("abs(recall - 0.25)", (0, 0.75)),
        ("min(recall, map50, 0.5) + max(recall, 0.25)", (0.25, 1.5)),
        ("(1 + recall) ** 2 / 4", (0.25, 1)),
        ("1 / recall", (-math.inf, math.inf)),
    ],
)
def test_bounds_are_not_wider_than_they_must_be(text, expected):
    value = read_formula(text).value
    assert value is not None
    assert bounds(value) == expected
