"""Settings go into a file and come back, and two of them are told apart."""

import json
from typing import Any

import yaml

from peakmark.settings.difference import Change, difference
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import from_plain, to_plain


def _settings(**given: Any) -> Settings:
    return parse(Settings, {"data": "d.yaml", **given}).settings


def test_plain_values_come_back_equal_through_yaml_and_json():
    settings = _settings(freeze=3, device=0, lr0=1e-5, cache=True, time=2, multi_scale=True, pretrained="a.pt")
    for read, write in ((yaml.safe_load, yaml.safe_dump), (json.loads, json.dumps)):
        assert from_plain(Settings, read(write(to_plain(settings)))) == settings


def test_plain_values_are_plain():
    for value in to_plain(_settings(freeze=[0, 5])).values():
        assert type(value) in (str, int, float, bool, type(None), list)


def test_difference_names_old_new_and_what_it_bears_on():
    old = _settings(epochs=100, freeze=2)
    new = _settings(data="e.yaml", epochs=200, workers=4, name="other", freeze=[0, 1])
    assert difference(old, new) == (
        Change("data", "d.yaml", "e.yaml", "content"),
        Change("epochs", 100, 200, "result"),
        Change("workers", None, 4, "execution"),
        Change("name", "train", "other", "output"),
    )
    assert str(difference(old, new)[1]) == "epochs: 100 -> 200"
    assert difference(old, old) == ()
