"""A choice of classes means the same by name and by number, and nothing that isn't there is ever chosen."""

from __future__ import annotations

from typing import Any

import pytest

from peakmark.errors import SettingsError
from peakmark.settings.chosen_classes import class_numbers, in_words
from peakmark.settings.fields import AuditSettings, GateSettings, Settings, ValSettings
from peakmark.settings.parse import parse
from peakmark.settings.plain import from_plain, to_plain

NAMES = ("WBC", "RBC", "Platelets")


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("[0,2]", (0, 2)),
        ("0,2", (0, 2)),
        ([2, 0, 0], (0, 2)),
        (1, (1,)),
        ("[Platelets,WBC]", (0, 2)),
        (["RBC", 0], (0, 1)),
        (None, None),
    ],
)
@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        (Settings, {"data": "d.yaml"}),
        (AuditSettings, {"data": "d.yaml"}),
        (ValSettings, {"model": "m.pt"}),
        (GateSettings, {"model": "m.pt", "require": "map50>=0.5"}),
    ],
)
def test_by_number_or_name_in_any_spelling(kind: Any, needed: dict[str, Any], written: Any, numbers: Any):
    wishes = parse(kind, {**needed, "classes": written}).settings
    assert class_numbers(wishes.classes, NAMES, "the model") == numbers


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ([3], "classes has 3, and the classes of d.yaml are 0 to 2: WBC, RBC, Platelets."),
        (
            ["RBX"],
            "classes has 'RBX', which d.yaml doesn't know; the nearest one is 'RBC'; the classes of d.yaml are 0 to 2:"
            " WBC, RBC, Platelets.",
        ),
        (["cat"], "classes has 'cat', which d.yaml doesn't know; the classes of d.yaml are 0 to 2: WBC, RBC, Platel"),
        ([], "classes=[] chooses no class; leave it out for all of them: the classes of d.yaml are 0 to 2: WBC, "),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(wishes, said):
    with pytest.raises(SettingsError) as caught:
        class_numbers(wishes, NAMES, "d.yaml")
    assert said in str(caught.value)


def test_every_wrong_wish_is_told_at_once():
    with pytest.raises(SettingsError) as caught:
        class_numbers([7, "dog", 0], NAMES, "d.yaml")
    assert "has 7" in str(caught.value)
    assert "'dog'" in str(caught.value)


def test_a_name_of_two_classes_means_both():
    assert class_numbers(["cell"], ("cell", "dust", "cell"), "the model") == (0, 2)


def test_a_choice_is_named_by_number_and_name():
    assert in_words((0, 2), NAMES) == "classes=[0,2] (WBC, Platelets)"


def test_it_goes_into_a_file_and_comes_back():
    wishes = parse(Settings, {"data": "d.yaml", "classes": "RBC,0"}).settings
    assert from_plain(Settings, to_plain(wishes)) == wishes
