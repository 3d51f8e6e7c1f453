"""Is every form of a fitness read as what it says, in one spelling, and everything else refused with the way out?"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakmark.errors import SettingsError
from peakmark.formula.terms import NAMED, Metric, computed
from peakmark.formula.text import as_setting, read_condition, read_formula
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import from_plain, to_plain

VALUES = {"map50": 0.6, "map50_95": 0.4, "precision": 0.8, "recall": 0.5, "f1": 0.6}


def value(text: str) -> float:
    formula = read_formula(as_setting(text))
    assert formula.value is not None
    return float(computed(formula.value, lambda metric: np.asarray(VALUES[metric.name])))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("map50_95", 0.4),
        ("f1", 0.6),
        ("classic", 0.1 * 0.6 + 0.9 * 0.4),
        ("balanced", (0.1 * 0.8 + 0.9 * 0.5) * (1 - abs(0.8 - 0.5))),
        ("{map50: 0.3, recall: 0.7}", 0.3 * 0.6 + 0.7 * 0.5),
        ("{'map50': 1, \"recall\": -.5}", 0.6 - 0.25),
        ("map50 + recall * 2", 1.6),
        ("(map50 + recall) * 2", 2.2),
        ("-recall ** 2", -0.25),
        ("map50 - recall - precision", 0.6 - 0.5 - 0.8),
        ("precision / recall", 1.6),
        ("min(map50, recall, precision) + max(map50, recall)", 0.5 + 0.6),
        ("abs(recall - precision)", 0.3),
        ("+map50", 0.6),
    ],
)
def test_a_formula_is_what_arithmetic_says(text, expected):
    assert value(text) == pytest.approx(expected, abs=1e-15)


def test_weights_in_python_are_those_of_the_command_line():
    assert as_setting({"map50": 0.3, "recall": 0.7}) == as_setting("{map50: 0.3, recall: 0.7}")
    assert as_setting({"map50": 1 / 3}) == f"{1 / 3!r} * map50"


@pytest.mark.parametrize("text", ["map50+recall", " map50  +  recall ", "(map50) + (recall)"])
def test_one_wish_has_one_spelling(text):
    assert as_setting(text) == "map50 + recall"


def test_names_stay_names_and_say_what_they_stand_for():
    assert as_setting("classic") == "classic"
    assert read_formula("classic").words == "classic = 0.1 * map50 + 0.9 * map50_95"
    assert read_formula("map50").words == "map50"
    assert {read_formula(name).text for name in NAMED} == set(NAMED)


def test_a_condition_is_read_with_its_classes():
    formula = read_formula("precision[RBC] where recall['red cell'] >= .95 and confidence < 0.5")
    assert formula.text == "precision[RBC] where recall['red cell'] >= 0.95 and confidence < 0.5"
    assert formula.metrics == (Metric("precision", "RBC"), Metric("recall", "red cell"), Metric("confidence"))
    assert [condition.sign for condition in formula.conditions] == [">=", "<"]
    assert read_formula(formula.text) == formula


def test_a_class_can_be_given_by_its_number():
    assert read_formula("recall[2]").metrics == (Metric("recall", 2),)


@pytest.mark.parametrize("given", [*NAMED, "0.5 * map50 + 0.5 * recall[RBC]", "precision where recall >= 0.9"])
def test_a_formula_comes_back_from_a_file(given):
    settings = parse(Settings, {"data": "-", "fitness": given}).settings
    assert from_plain(Settings, to_plain(settings)) == settings


def judge(metrics):
    return metrics["map50"]


def test_a_python_function_is_stored_by_its_name_and_read_back_as_one():
    text = parse(Settings, {"data": "-", "fitness": judge}).settings.fitness
    assert text == "function judge"
    assert read_formula(text).is_function
    assert as_setting(lambda metrics: 0.0).endswith("<lambda>")
    assert read_formula(as_setting(lambda metrics: 0.0)).is_function


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("map5", "names 'map5', which is no metric; the nearest one is map50"),
        ("map50 - 95", "is -95 to -94, where every metric lies between 0 and 1"),
        ("map50-0.95", "write map50_95 for the metric, or map50 - 0.95 with spaces"),
        ("2 + recall", "is 2 to 3"),
        ("recall where precision >= 95", "always below the right one"),
        ("recall where confidence + 2 > 1", "always above the right one"),
        ("recal * 0.5", "nearest one is recall"),
        ("clasic", "the nearest name is classic, which stands alone: fitness=classic"),
        ("0.5 * classic", "the nearest name is classic, which stands alone"),
        ("xyz", "names 'xyz', which is no metric; there are map50_95, map50,"),
        ("map75[RBC]", "names 'map75', which is no metric of one class; the nearest one is map50"),
        ("recall[0.5]", "[0.5], which names no class"),
        ("recall[a+b]", "which names no class"),
        ("1", "reads no metric"),
        ("confidence", "reads no metric"),
        ("", "can't be read as a formula; write e.g. map50_95"),
        ("map50 +", "can't be read as a formula"),
        ("map50; recall", "can't be read as a formula"),
        ("map50 = 1", "can't be read as a formula"),
        ("map50\0", "can't be read as a formula"),
        ("(" * 300 + "map50", "can't be read as a formula"),
        ("map50" + " " * 500 + "+ 1", "is longer than 500 characters"),
        ("__import__('os')", "holds \"__import__('os')\"; a formula is made of"),
        ("map50.real", "a formula is made of"),
        ("[map50][0]", "a formula is made of"),
        ("recall if map50 else 0", "a formula is made of"),
        ("lambda: map50", "a formula is made of"),
        ("sqrt(map50)", "a formula is made of"),
        ("abs()", "a formula is made of"),
        ("abs(map50, recall)", "gives abs more than one number"),
        ("max(map50, key=recall)", "a formula is made of"),
        ("map50 > 0.5", "a formula is made of"),
        ("True * map50", "a formula is made of"),
        ("'a' * map50", "a formula is made of"),
        ("1e999 * map50", "holds a number that is too large"),
        ("1" + "0" * 400 + " * map50", "holds a number that is too large"),
        ("precision where", "can't be read as a formula"),
        ("precision where recall", "holds 'recall', which is no comparison"),
        ("precision where recall >= 0.9 or recall < 0.1", "which is no comparison"),
        ("precision where 0.9 <= recall <= 1", "which is no comparison"),
        ("precision where recall == 0.9", "which is no comparison"),
        ("precision where recall >= 0.9 where recall >= 0.9", "more than one 'where'"),
        ("map50 where map50 >= 0.9", "nothing in it changes with the confidence"),
        ("-confidence where recall >= 0.9", "may be negative"),
        ("precision - 0.5 where recall >= 0.9", "may be negative"),
        ("{}", "gives no weight to anything"),
        ("{map50: 0}", "gives no weight above or below 0"),
        ("{map50: half}", "gives map50 the weight 'half', which is no number"),
        ("{map50: nan}", "which is no number"),
        ("{map50 0.3}", "holds 'map50 0.3'; weights are written as {map50: 0.3, recall: 0.7}"),
        ("{map50 + recall: 0.3}", "gives a weight to 'map50 + recall', which is no metric"),
        ("{mapx: 0.3}", "names 'mapx', which is no metric"),
        ("function", "names 'function'"),
    ],
)
def test_what_is_no_formula_is_refused_with_the_way_out(text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        as_setting(text)
    with pytest.raises(SettingsError) as told:
        parse(Settings, {"data": "-", "fitness": text})
    assert str(told.value).startswith("fitness=")


@pytest.mark.parametrize("wish", [5, None, ["map50"], {"map50": True}, {"map50": None}, {3: 1}])
def test_what_is_neither_text_nor_weights_is_refused(wish):
    with pytest.raises(ValueError, match=r"formula|weight|metric"):
        as_setting(wish)


@given(st.text(alphabet="map50_95recl*/+-()[]{}:,.'\" whenr<>=&|~@^;\\\n!0", max_size=60))
def test_no_text_is_run_or_crashes_the_reader(text):
    try:
        spelling = as_setting(text)
    except ValueError:
        return
    assert read_formula(spelling).text == spelling


def test_arithmetic_without_an_answer_says_so_in_silence(recwarn):
    for text in ("map50 / (map50 - map50)", "(map50 - 1) ** 0.5", "(map50 - map50) / (map50 - map50)"):
        assert not np.isfinite(value(text))
    assert not recwarn.list


def test_a_single_comparison():
    condition = read_condition("recall[RBC]>=.9")
    assert (condition.text, condition.sign, condition.metrics) == (
        "recall[RBC] >= 0.9",
        ">=",
        (Metric("recall", "RBC"),),
    )
    with pytest.raises(ValueError, match="more than one comparison"):
        read_condition("map50 > 0.1 and recall > 0.2")
    with pytest.raises(ValueError, match="no comparison"):
        read_condition("map50")
