"""What may be searched: ranges and choices as they are written, and each mistake with what to write instead."""

from __future__ import annotations

import pytest

from peakmark.errors import SettingsError
from peakmark.search.space import USUAL, in_words, read_space

BASE = {"data": "-"}


@pytest.mark.parametrize(
    "text", [USUAL, "lr0=0.0001..0.01 log, batch=8..32, optimizer=SGD|AdamW", "freeze=0|10, mosaic=0..1"]
)
def test_a_space_is_written_as_it_is_read(text):
    space = read_space(text, BASE)
    assert len(space) == text.count("=")
    assert read_space(in_words(space), BASE) == space


def test_python_has_it_as_ranges_and_lists():
    given = {"lr0": (1e-4, 1e-2, "log"), "mosaic": (0, 1), "optimizer": ["SGD", "AdamW"]}
    assert read_space(given, BASE) == read_space("lr0=1e-4..1e-2 log, mosaic=0..1, optimizer=SGD|AdamW", BASE)


def test_whole_numbers_stay_whole():
    (batch, box) = read_space("batch=8..32, box=1..9", BASE)
    assert (batch.is_whole, box.is_whole) == (True, False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lr0", "no range"),
        ("lr0=0.1", "no range"),
        ("lr0=1..0.1", "no range"),
        ("lr0=0..0.1 log", "low end above 0"),
        ("lr0=a..b", "no range"),
        ("lr9=0..1", "lr9 can't be searched"),
        ("workers=0..4", "workers can't be searched"),
        ("seed=0..4", "seed can't be searched"),
        ("mosaic=0..2", "mosaic=2"),
        ("optimizer=SGD|Sophia", "optimizer=Sophia"),
        ("mosaic=0..1, mosaic=0..1", "each setting once"),
    ],
)
def test_a_mistake_is_told(text, says):
    with pytest.raises(SettingsError) as refused:
        read_space(text, BASE)
    assert says in str(refused.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SettingsError) as refused:
        read_space("mosaic=0..2, lr9=0..1", BASE)
    assert len(refused.value.violations) == 2
