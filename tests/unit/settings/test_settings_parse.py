"""What a user writes becomes settings, or every mistake becomes a sentence at once."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peakmark.errors import SettingsError
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.description import describe
from peakmark.settings.fields import PredictSettings, Settings, ValSettings
from peakmark.settings.parse import parse

KINDS: list[type[SettingsModel]] = [Settings, ValSettings, PredictSettings]
NEEDED = {"data": "d.yaml", "model": "m"}


def _settings(**given: Any) -> Settings:
    return parse(Settings, {"data": "d.yaml", **given}).settings


def _mistakes(kind: type[SettingsModel] = Settings, **given: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        parse(kind, given)
    return caught.value.violations


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("epochs", "3", 3),
        ("lr0", "1e-3", 0.001),
        ("lr0", "None", None),
        ("val", "False", False),
        ("val", "true", True),
        ("freeze", "3", (0, 1, 2)),
        ("freeze", "[9, 0]", (0, 9)),
        ("freeze", None, ()),
        ("freeze", 22, tuple(range(22))),
        ("device", 0, "cuda:0"),
        ("device", "1", "cuda:1"),
        ("device", "CPU", "cpu"),
        ("device", "None", None),
        ("cache", "True", "ram"),
        ("cache", False, "off"),
        ("multi_scale", "True", 0.5),
        ("multi_scale", False, 0.0),
        ("multi_scale", "0.25", 0.25),
        ("save_period", "-1", 0),
        ("save_period", 5, 5),
        ("pretrained", "False", None),
        ("optimizer", "adamw", "AdamW"),
        ("optimizer", "SGD", "SGD"),
        ("name", 2024, "2024"),
        ("time", "0.5", 0.5),
        ("device", [0], "cuda:0"),
        ("device", "[1]", "cuda:1"),
        ("device", ["cpu"], "cpu"),
        ("device", "cpu:0", "cpu"),
        ("device", "", None),
        ("epochs", "1e2", 100),
        ("epochs", 1e2, 100),
        ("epochs", None, 100),
        ("name", None, "train"),
        ("seed", "None", 0),
        ("imgsz", [640], 640),
        ("imgsz", "640,640", 640),
        ("imgsz", [480, 640], 640),
        ("imgsz", "[480, 640]", 640),
        ("freeze", "0,1,2", (0, 1, 2)),
        ("freeze", "0,", (0,)),
        ("perspective", 0.01, 0.01),
        ("scale", "1.0", 1.0),
        ("pretrained", "True", None),
    ],
)
def test_values_in_every_spelling(name, written, value):
    found = getattr(_settings(**{name: written}), name)
    assert found == value
    assert type(found) is type(value)


def test_all_mistakes_are_told_at_once_each_with_its_remedy():
    mistakes = _mistakes(
        epochs="0", lr0="nan", epoch=3, fl_gamma=0.5, momentum=1, val="maybe", fitness="x", box=0, cls=0, dfl=0
    )
    assert mistakes == (
        "epoch is no setting; the nearest one is epochs: write epochs=3.",
        "fl_gamma=0.5 can't be taken: Peakmark has no focal loss; leave it out.",
        "data is missing; write data=... (a data.yaml, or shapes for the embedded sample data).",
        "epochs=0 is out of range; epochs is a whole number from 1.",
        "val=maybe can't be used; val is True or False.",
        "fitness=x names 'x', which is no metric; there are map50_95, map50, map75, map_small, map_medium, map_large,"
        " recall_1, recall_10, recall_100, recall_small, recall_medium, recall_large, precision, recall, f1 and"
        " confidence.",
        "lr0=nan can't be used; lr0 is a number above 0, up to 1.",
        "momentum=1 is out of range; momentum is a number from 0 to below 1.",
        "box=0, cls=0 and dfl=0 leave no loss to learn from; give at least one a weight above 0.",
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("lr0", True, "lr0 is a number"),
        ("epochs", True, "epochs is a whole number from 1"),
        ("epochs", 2.5, "whole number"),
        ("batch", 0, "out of range"),
        ("batch", -2, "as many as fit into the memory"),
        ("imgsz", "large", "whole number"),
        ("device", "0,cpu", "have to be GPUs, each once"),
        ("device", [1, 1], "have to be GPUs, each once"),
        ("device", "tpu", "is no device"),
        ("device", "mps", "no run has been checked to be exact; write device=cpu"),
        ("batch", 1.7, "whole number"),
        ("imgsz", [640, 480, 3], "whole number"),
        ("cache", "gpu", "none of auto, False, ram, disk and device"),
        ("freeze", 23, "layers 0 to 21 can be frozen"),
        ("freeze", "[0,x]", "no list of layer numbers"),
        ("freeze", -2, "start at 0"),
        ("name", [1], "name is text"),
        ("mosaic", "inf", "from 0 to 1"),
        ("optimizer", "lion", "one of auto, SGD, Adam, AdamW"),
        ("save_period", True, "whole number"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(name, value, says):
    (mistake,) = _mistakes(data="d.yaml", **{name: value})
    assert mistake.startswith(f"{name}=")
    assert says in mistake


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        (Settings, "mosiac", "the nearest one is mosaic"),
        (Settings, "qqqqqq", "none comes near it"),
        (Settings, "vid_stride", "belongs to peakmark predict"),
        (PredictSettings, "epochs", "belongs to peakmark train"),
    ],
)
def test_an_unknown_name_gets_the_right_one(kind, name, says):
    needed = {name: value for name, value in NEEDED.items() if name in kind.model_fields}
    (mistake,) = _mistakes(kind, **needed, **{name: "1"})
    assert mistake.startswith(f"{name} is no setting")
    assert says in mistake


@pytest.mark.parametrize("kind", KINDS)
def test_image_size_is_rounded_up_and_said(kind):
    given_values = {name: value for name, value in NEEDED.items() if name in kind.model_fields}
    parsed = parse(kind, {**given_values, "imgsz": "321"})
    assert parsed.settings.imgsz == 352
    assert parsed.origins["imgsz"] == "adjusted"
    assert parsed.notes[0] == "imgsz=321 is not a multiple of 32; 352 is used instead."


def test_origins_tell_given_from_default():
    parsed = parse(Settings, {"data": "d.yaml", "epochs": "100"})
    assert parsed.origins["epochs"] == parsed.origins["data"] == "given"
    assert parsed.origins["batch"] == "default"
    assert parsed.notes == ()


@pytest.mark.parametrize(
    ("given_values", "says"),
    [
        ({"val": False}, "no epoch can be best"),
        ({"val": False, "patience": 5, "fitness": "map50"}, "fitness and patience have no effect"),
        ({"epochs": 3, "warmup_epochs": 4}, "ends before the learning rate is reached"),
        ({"epochs": 5, "close_mosaic": 5}, "so mosaic is never on"),
        ({"mosaic": 0, "close_mosaic": 3}, "close_mosaic has no effect"),
        ({"save_period": 200}, "no epochN.pt will be kept"),
        ({"val_period": 200}, "only the last epoch is validated"),
        ({"val_period": 10, "patience": 5}, "the first validation that isn't better ends the run"),
        ({"warmup_epochs": 0, "warmup_bias_lr": 0.1}, "warmup_bias_lr has no effect"),
    ],
)
def test_consequences_are_told_before_they_happen(given_values, says):
    notes = parse(Settings, {"data": "d.yaml", **given_values}).notes
    assert any(says in note for note in notes), notes


def test_two_starting_points_are_refused():
    (mistake,) = _mistakes(data="d.yaml", model="best.pt", pretrained="other.pt")
    assert "both bring weights" in mistake


def test_settings_can_not_be_changed_after_the_check():
    with pytest.raises(Exception, match="frozen"):
        _settings().epochs = 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_told_completely(kind):
    for name, description in describe(kind).items():
        assert description.meaning, name
        assert description.bears_on in ("result", "content", "execution", "output")
        if description.default == "None":
            assert description.unset, f"{name}: what None comes to is not said"


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(),
    st.text("ab1.-[],= é", max_size=6),
    st.lists(st.integers(-2, 30), max_size=4),
    st.sampled_from(["nan", "[1,2]", "-1", "1e309", "True", "", "٣", "[,]", "[[0]]", "1" * 5000]),
)
GIVEN = st.sampled_from(KINDS).flatmap(
    lambda kind: st.tuples(st.just(kind), st.dictionaries(st.sampled_from(list(kind.model_fields)), VALUES, max_size=6))
)


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(GIVEN)
def test_no_value_escapes_as_anything_but_a_settings_error(kind_and_given):
    kind, given_values = kind_and_given
    told, parsed = "", None
    try:
        parsed = parse(kind, given_values)
    except SettingsError as error:
        told = str(error)
    assert not any(raw in told for raw in ("Input should", "Value error", "pydantic"))
    if parsed is not None:
        assert all(math.isfinite(value) for _, value in parsed.settings if isinstance(value, float))
