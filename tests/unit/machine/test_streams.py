"""Random streams: equal keys give equal draws, any other key another stream, and the draws never move."""

from __future__ import annotations

import itertools

from peakmark.machine.streams import stream


def test_frozen_draws():
    # Changing these changes every run that anyone ever made; it is done by _KEY_VERSION, openly.
    assert stream(0, "augment", 3, 7).integers(0, 1 << 32, 4).tolist() == [
        1977723579,
        3848921959,
        635297451,
        2915040943,
    ]
    assert stream(0, "order").permutation(8).tolist() == [5, 7, 6, 3, 4, 0, 1, 2]


def test_equal_keys_give_equal_draws_whatever_was_drawn_before():
    first = stream(1, "augment", 2, 3)
    stream(1, "other").random(100)
    assert first.random(5).tolist() == stream(1, "augment", 2, 3).random(5).tolist()


def test_neighbouring_keys_share_nothing():
    keys = [
        (seed, purpose, epoch, index)
        for seed, purpose, epoch, index in itertools.product(range(4), ("a", "b"), range(4), range(4))
    ]
    draws = {tuple(stream(seed, purpose, epoch, index).integers(0, 1 << 62, 2)) for seed, purpose, epoch, index in keys}
    assert len(draws) == len(keys)


def test_numbers_of_a_key_do_not_run_together():
    assert stream(1, "a", 12, 3).random() != stream(1, "a", 1, 23).random()
    assert stream(1, "a").random() != stream(1, "a", 0).random()
    assert stream(1, "a", -1).random() != stream(1, "a", 1).random()
