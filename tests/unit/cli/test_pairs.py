"""Pairs are read, and what is no pair is answered with how to write it."""

import pytest

from peakmark.cli.pairs import read_pairs
from peakmark.errors import SettingsError


def test_a_pair_is_split_at_its_first_equals_sign():
    assert read_pairs(["epochs=3", "data=a=b.yaml", "source=images/*.jpg"]) == {
        "epochs": "3",
        "data": "a=b.yaml",
        "source": "images/*.jpg",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epochs", "3"], "epochs=3"),
        (["--epochs=3"], "epochs=3"),
        (["epochs", "3"], "epochs=3"),
        (["epochs", "=", "3"], "epochs=3"),
        (["epochs=", "3"], "epochs=3"),
        (["--close-mosaic", "0"], "close_mosaic=0"),
        (["lrf", "-1"], "lrf=-1"),
        (["epochs="], "epochs= has no value; write epochs=... or leave it out."),
        (["--exist_ok"], "--exist_ok has no value"),
        (["=3"], "no name before the equals sign"),
        (["data.yaml"], "was data=data.yaml meant?"),
        (["runs/best.pt"], "was model=runs/best.pt meant?"),
        (["epochs=3", "epochs=4"], "given twice, as 3 and as 4"),
        ([""], "no name"),
    ],
)
def test_what_is_no_pair_gets_one_sentence(arguments, says):
    with pytest.raises(SettingsError) as caught:
        read_pairs([*arguments, "batch=2"])
    (sentence,) = caught.value.violations
    assert says in sentence


def test_all_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        read_pairs(["--epochs", "3", "--imgsz", "320", "data.yaml"])
    assert len(caught.value.violations) == 3
