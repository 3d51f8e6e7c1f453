"""Winner or luck: pairs with other seeds."""

from __future__ import annotations

import math

import pytest

from peakmark.search.verdict import in_words, paired, spread


def test_the_mean_and_its_interval():
    found = spread([0.1, 0.2, 0.3])
    assert found.value == pytest.approx(0.2)
    # Student's t for two degrees of freedom.
    assert found.high - found.value == pytest.approx(4.303 * 0.1 / math.sqrt(3))


def test_what_a_seed_does_to_both_drops_out():
    ones, others = [0.5, 0.3, 0.7], [0.4, 0.21, 0.59]
    lead = paired(ones, others)
    assert lead.low > 0
    assert spread(ones).low < spread(others).value, "apart from each other they say nothing"


@pytest.mark.parametrize(
    ("ones", "others", "says"),
    [
        ([0.5, 0.6], [0.4, 0.5], "a real gain"),
        ([0.4, 0.5], [0.5, 0.6], "a real loss"),
        ([0.4, 0.6], [0.5, 0.5], "may be luck"),
        ([0.5], [0.4], "repeat=2 says how sure"),
        ([0.5, math.nan], [0.4, 0.4], "nothing can be said of the gain"),
    ],
)
def test_it_is_said_in_words(ones, others, says):
    assert says in in_words(paired(ones, others), len(ones))
