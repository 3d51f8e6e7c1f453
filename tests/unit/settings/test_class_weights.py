"""Class weights follow their formula, keep the size of the class loss, and say what they come to."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakmark.settings.class_weights import class_weights, weights_in_words
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.recipe import Recipe, recipe

counts = st.lists(st.integers(0, 10**7), min_size=1, max_size=20).filter(any)
powers = st.floats(0.001, 1)


# 90 objects to 10: frequencies 0.9 and 0.1. Full power: 1.1111 and 10, times 100 / (90 * 1.1111 + 10 * 10) = 0.5.
# Half: 1.05409 and 3.16228, times 100 / (94.868 + 31.623) = 0.790569.
@pytest.mark.parametrize(
    ("power", "objects", "weights"),
    [
        (1.0, (90, 10), (0.555556, 5.0)),
        (0.5, (90, 10), (0.833333, 2.5)),
        (0.5, (10, 0, 90), (2.5, 1.0, 0.833333)),
        (1.0, (7,), (1.0,)),
        (0.3, (5, 5, 5), (1.0, 1.0, 1.0)),
        (1.0, (100, 1), (0.505, 50.5)),
        (0.7, (0, 0), (1.0, 1.0)),
    ],
)
def test_the_values_by_hand(power, objects, weights):
    assert class_weights(power, objects) == pytest.approx(weights, rel=1e-5)


@given(powers, counts)
def test_the_mean_over_the_objects_is_1_and_a_class_without_objects_weighs_1(power, objects):
    weights = class_weights(power, objects)
    assert math.fsum(w * n for w, n in zip(weights, objects, strict=True)) / sum(objects) == pytest.approx(1)
    assert all(weight == 1 for weight, count in zip(weights, objects, strict=True) if not count)


@given(powers, st.lists(st.integers(1, 10**7), min_size=2, max_size=20))
def test_two_classes_differ_by_the_power_of_what_their_numbers_differ_by(power, objects):
    weights = class_weights(power, objects)
    for weight, count in zip(weights, objects, strict=True):
        assert weight / weights[0] == pytest.approx((objects[0] / count) ** power)


@given(counts)
def test_at_full_power_every_class_weighs_the_same_in_all(objects):
    whole = [w * n for w, n in zip(class_weights(1, objects), objects, strict=True) if n]
    assert whole == pytest.approx([sum(objects) / len(whole)] * len(whole))


@given(powers, counts)
def test_the_order_of_the_classes_changes_no_bit(power, objects):
    assert class_weights(power, objects)[::-1] == class_weights(power, objects[::-1])


def test_off_is_no_weights_and_without_numbers_there_are_none():
    assert class_weights(0.0, (90, 10)) == class_weights(0.0, ()) == ()
    with pytest.raises(ValueError, match=r"cls_pw=0.5 needs the number of objects of each class"):
        class_weights(0.5, ())


def test_the_rarest_and_the_commonest_are_named():
    weights = class_weights(0.5, (10, 0, 9000, 90))
    assert weights_in_words(0.5, weights, (1, 0, 9000, 90), ("cat", "dog", "car", "bus")) == (
        f"Weights in the class loss by cls_pw=0.5, rarest and commonest class: cat {weights[0]:.3g} (1 object),"
        f" car {weights[2]:.3g} (9,000 objects)."
    )
    assert weights_in_words(1.0, (1.0, 1.0), (7, 0), ("cat", "dog")) == (
        "cls_pw=1 has no effect: only one class has objects in the training images."
    )


def test_a_recipe_without_weights_keeps_the_keys_that_it_had():
    settings = {"data": "d.yaml", "epochs": 3}
    off = recipe(Settings.model_validate(settings), classes=2, images=100, objects=(90, 10))
    assert "class_weights" not in off.to_plain()
    assert Recipe(**off.to_plain()) == off
    on = recipe(Settings.model_validate({**settings, "cls_pw": 0.5}), classes=2, images=100, objects=(90, 10))
    assert on.to_plain()["class_weights"] == class_weights(0.5, (90, 10))
    assert Recipe(**on.to_plain()) == on


@pytest.mark.parametrize(
    ("given_with", "note"),
    [
        ({"cls": 0}, "cls_pw has no effect, because cls=0: there is no class loss."),
        ({"single_cls": True}, "cls_pw has no effect, because single_cls=True: there is one class."),
    ],
)
def test_where_it_has_no_effect_that_is_said(given_with, note):
    assert note in parse(Settings, {"data": "d.yaml", "cls_pw": 0.5, **given_with}).notes
    assert note not in parse(Settings, {"data": "d.yaml", "cls_pw": 0, **given_with}).notes
