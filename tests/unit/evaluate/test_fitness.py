"""Does each form of fitness give the number that its words promise?"""

from __future__ import annotations

import math

import pytest

from peakmark.errors import SettingsError
from peakmark.evaluate.fitness import DEFAULT_FITNESS, FITNESS, describe, fitness

METRICS = {"map50_95": 0.4, "map50": 0.6}


@pytest.mark.parametrize(("name", "value"), [("map50_95", 0.4), ("map50", 0.6), ("classic", 0.42)])
def test_each_form_gives_its_number(name: str, value: float) -> None:
    assert fitness(name, METRICS) == pytest.approx(value, abs=1e-15)


def test_every_form_has_a_known_number() -> None:
    assert set(FITNESS) == {"map50_95", "map50", "classic"}
    assert DEFAULT_FITNESS == "map50_95"


@pytest.mark.parametrize("name", FITNESS)
def test_a_metric_without_a_value_gives_no_fitness(name: str) -> None:
    assert fitness(name, {"map50_95": math.nan, "map50": math.nan}) is None


def test_words_name_the_formula_and_the_protocol() -> None:
    assert describe("classic") == "0.1 × mAP50 + 0.9 × mAP50-95 (COCO protocol)"


@pytest.mark.parametrize("ask", [lambda: fitness("f2", METRICS), lambda: describe("f2")])
def test_an_unknown_name_is_refused_with_the_known_ones(ask: object) -> None:
    with pytest.raises(SettingsError, match=r"'f2'.*map50_95, map50, classic"):
        ask()  # type: ignore[operator]
