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
    ("arguments", "pairs"),
    [
        (["--epochs", "3"], {"epochs": "3"}),
        (["--epochs=3"], {"epochs": "3"}),
        (["--close-mosaic", "0"], {"close_mosaic": "0"}),
        (["--lrf", "-1"], {"lrf": "-1"}),
        (["--img", "64", "epochs=3"], {"img": "64", "epochs": "3"}),
        (["exist_ok"], {"exist_ok": "True"}),
        (["--exist-ok"], {"exist_ok": "True"}),
        (["--exist_ok", "epochs=3"], {"exist_ok": "True", "epochs": "3"}),
        (["--exist-ok", "--epochs", "3"], {"exist_ok": "True", "epochs": "3"}),
        (["--exist-ok", "False"], {"exist_ok": "False"}),
        (["--val", "exist_ok"], {"val": "True", "exist_ok": "True"}),
    ],
)
def test_dashes_and_switches_are_read(arguments, pairs):
    assert read_pairs([*arguments, "batch=2"], {"exist_ok", "val"}) == {**pairs, "batch": "2"}


@pytest.mark.parametrize(
    ("arguments", "named", "pairs"),
    [
        (["runs/a", "--epochs", "3"], ["runs/a"], {"epochs": "3"}),
        (["--img", "64", "runs/a", "runs/b"], ["runs/a", "runs/b"], {"img": "64"}),
        (["runs/a", "--exist-ok", "False"], ["runs/a"], {"exist_ok": "False"}),
        (["runs/a", "exist_ok"], ["runs/a"], {"exist_ok": "True"}),
        (["--exist-ok", "lr0=0.1"], [], {"exist_ok": "True", "lr0": "0.1"}),
    ],
)
def test_words_that_stand_alone_are_runs_where_a_command_takes_any(arguments, named, pairs):
    runs: list[str] = []
    assert read_pairs(arguments, {"exist_ok"}, runs) == pairs
    assert runs == named


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["epochs", "3"], "epochs=3"),
        (["epochs", "=", "3"], "epochs=3"),
        (["epochs=", "3"], "epochs=3"),
        (["lrf", "-1"], "lrf=-1"),
        (["epochs="], "epochs= has no value; write epochs=... or leave it out."),
        (["--epochs"], "--epochs has no value; write epochs=... or leave it out."),
        (["--epochs", "exist_ok"], "--epochs has no value"),
        (["=3"], "no name before the equals sign"),
        (["--=3"], "no name before the equals sign"),
        (["data.yaml"], "was data=data.yaml meant?"),
        (["runs/best.pt"], "was model=runs/best.pt meant?"),
        (["epochs=3", "epochs=4"], "given twice, as 3 and as 4"),
        (["epochs=3", "--epochs", "4"], "given twice, as 3 and as 4"),
        ([""], "no name"),
    ],
)
def test_what_is_no_pair_gets_one_sentence(arguments, says):
    words = [*arguments, "batch=2"]
    with pytest.raises(SettingsError) as caught:
        read_pairs(words, {"exist_ok"} if says.startswith("--epochs has no value") else ())
    sentence = caught.value.violations[0]
    assert says in sentence


def test_all_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        read_pairs(["epochs", "3", "imgsz", "320", "data.yaml"])
    assert len(caught.value.violations) == 3
