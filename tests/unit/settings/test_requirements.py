"""Which requirements are understood, and what is said of those that are not?"""

from __future__ import annotations

import pytest

from peakmark.settings.requirements import as_requirements, read_requirement


@pytest.mark.parametrize(
    ("wish", "spelled"),
    [
        ("map50_95>=0.5", ("map50_95 >= 0.5",)),
        (" map50_95>=0.5 , recall[RBC] > .9,", ("map50_95 >= 0.5", "recall[RBC] > 0.9")),
        (["map50 >= 0.5", "f1 >= 0.4"], ("map50 >= 0.5", "f1 >= 0.4")),
        # As a list of words comes from the command line: cut at every comma.
        (["min(map50", "recall) >= 0.5"], ("min(map50, recall) >= 0.5",)),
        ("recall['a, b'] >= 0.5", ("recall['a, b'] >= 0.5",)),
        ("1 - precision <= 1 / 4", ("1 - precision <= 1 / 4",)),
        ("", ()),
    ],
)
def test_a_wish_has_one_spelling(wish, spelled):
    assert as_requirements(wish) == spelled
    assert as_requirements(spelled) == spelled


def test_the_limit_is_computed():
    assert read_requirement("precision >= 1 - 1/4").limit == 0.75


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ("map5>=0.5", "names 'map5', which is no metric; the nearest one is map50"),
        ("map50", "is no comparison"),
        ("map50 == 1", "is no comparison"),
        ("map50 >= recall", "has recall on its right side, where a number belongs"),
        ("0.5 <= map50", "has map50 on its right side"),
        ("1 >= 0.5", "names no metric"),
        ("map50 >= 0.5 and recall >= 0.5", "one by one"),
        ("__import__('os').system('x') >= 1", "holds "),
        ((1,), "is no requirement"),
        ("map50 >=", "can't be read"),
    ],
)
def test_what_is_none_is_refused_with_what_is_wrong(wish, said):
    with pytest.raises(ValueError, match=said):
        as_requirements(wish)


def test_of_several_all_that_are_wrong_are_told():
    with pytest.raises(ValueError, match=r"^has 'map5>=1', which names 'map5'.*; and has 'rec > x', which"):
        as_requirements("map5>=1, recall>=0.5, rec > x")
