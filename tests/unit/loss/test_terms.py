"""The terms of the loss have their names in one place; whoever needs one finds it under its name, in one order."""

from __future__ import annotations

import dataclasses
import math

import pytest

from peakmark.nouns.losses import NO_LOSSES, TERMS, Gains, Losses
from peakmark.settings.description import describe
from peakmark.settings.fields import Settings
from peakmark.state.state import OpenEpoch


def test_losses_are_a_mapping_by_the_names_of_the_terms():
    losses = Losses(1.0, 2.0, 3.0)
    assert dict(losses) == dataclasses.asdict(losses) == {"box": 1.0, "cls": 2.0, "dfl": 3.0}
    assert losses["cls"] == losses.cls == 2.0
    assert len({losses, Losses(**losses), NO_LOSSES}) == 2
    with pytest.raises(KeyError):
        losses["items"]  # an attribute, but no term


def test_every_term_has_a_setting_that_weighs_it():
    settings = Settings(data="data.yaml", box=1.0, cls=2.0, dfl=3.0)
    assert Gains.of(dict(settings)) == Gains(1.0, 2.0, 3.0)
    assert all(describe(Settings)[term].bears_on == "result" for term in TERMS)


def test_an_open_epoch_gives_means_over_its_images_and_comes_back_from_plain_values():
    epoch = OpenEpoch(skipped_steps=1, train_s=0.5)
    assert epoch.losses() == NO_LOSSES
    epoch.add(Losses(1.0, 2.0, 3.0), 3)
    epoch.add(Losses(5.0, 6.0, math.inf), 1)
    assert epoch.losses() == Losses(2.0, 3.0, math.inf)
    plain = epoch.to_plain()
    assert list(plain.items()) == [
        ("box", 8.0), ("cls", 12.0), ("dfl", math.inf), ("images", 4), ("skipped_steps", 1), ("train_s", 0.5)
    ]  # fmt: skip
    assert OpenEpoch.from_plain(plain) == epoch
