"""What the settings leave open is filled in by stated rules, and what is set stays as it is set."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakmark.settings.fields import Settings
from peakmark.settings.recipe import (
    ENOUGH_UPDATES,
    Recipe,
    few_updates,
    mosaic_is_open,
    recipe,
    weight_decay,
    window_images,
)


def chosen(images: int, **settings: Any) -> Recipe:
    return recipe(Settings(data="-", **settings), classes=2, images=images)


@pytest.mark.parametrize(
    ("images", "epochs", "nbs"),
    [(205, 30, 16), (8, 1, 16), (1_000, 50, 33), (1_000, 96, 64), (118_287, 100, 64)],
)
def test_the_nominal_batch_leaves_a_run_enough_updates(images, epochs, nbs):
    assert chosen(images, epochs=epochs).nbs == nbs


@given(images=st.integers(1, 200_000), epochs=st.integers(1, 500), batch=st.integers(1, 130))
def test_no_run_makes_fewer_updates_for_want_of_a_smaller_batch(images, epochs, batch):
    found = chosen(images, epochs=epochs, batch=batch)
    least = min(64, max(8, batch))
    assert least <= found.nbs <= 64
    assert found.nbs == least or images * epochs / found.nbs >= ENOUGH_UPDATES
    assert abs(window_images(batch, found.nbs) - found.nbs) <= max(batch / 2, batch - found.nbs)
    assert batch > 64 or weight_decay(Settings(data="-", batch=batch), found.nbs) < 0.0008, "not twice what is set"


@pytest.mark.parametrize(("batch", "nbs"), [(2, 8), (8, 8), (12, 12), (16, 16), (48, 48), (64, 64), (100, 64)])
def test_of_a_short_run_it_is_the_batch_between_8_and_64(batch, nbs):
    assert chosen(205, epochs=30, batch=batch).nbs == nbs


@given(images=st.integers(1, 200_000), epochs=st.integers(1, 500), nbs=st.integers(1, 300))
def test_a_nominal_batch_that_is_set_stays(images, epochs, nbs):
    assert chosen(images, epochs=epochs, nbs=nbs).nbs == nbs


@pytest.mark.parametrize(("epochs", "closing"), [(1, 0), (2, 0), (3, 1), (10, 3), (29, 9), (30, 10), (300, 10)])
def test_a_short_run_closes_mosaic_for_a_third_of_it_at_most(epochs, closing):
    assert chosen(100, epochs=epochs).close_mosaic == closing
    assert chosen(100, epochs=epochs, close_mosaic=epochs).close_mosaic == epochs


@pytest.mark.parametrize(
    ("images", "settings", "said"),
    [
        (205, {"epochs": 30, "batch": 64}, "batch=64 leaves this run 120 updates .* batch=16 would make 390"),
        (205, {"epochs": 30}, None),
        (205, {"epochs": 30, "batch": 32, "nbs": 64}, None),  # batch=16 would make no more of them
        (205, {"epochs": 300, "batch": 64}, None),
        (5000, {"epochs": 30, "batch": 64}, None),
    ],
)
def test_a_batch_that_leaves_few_updates_is_told_of(images, settings, said):
    told = few_updates(Settings(data="-", **settings), images)
    assert len(told) == bool(said)
    assert said is None or re.search(said, told[0])


def test_mosaic_closes_as_a_function_of_the_epoch():
    assert [mosaic_is_open(3, 10, epoch) for epoch in range(12)] == [True] * 7 + [False] * 5
