"""Where does every random number come from? From a key, never from what was drawn before.

A stream is a Philox counter-based generator keyed by seed, purpose and position, so that any draw can be made again
without making the ones before it. Nothing in the package draws from a global generator; a test holds that wall.
"""

from __future__ import annotations

import hashlib

import numpy as np

_KEY_VERSION = b"peakmark-stream-1"
"""Part of every key: changing how keys are made changes every run, so it is done openly, by this number."""


def stream(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Gives the generator for one purpose at one position, e.g. `stream(0, "augment", epoch, index)`.

    Equal arguments give equal draws on every machine; any other argument gives an independent stream.
    """
    # A hash, not arithmetic on the numbers: seed * epoch makes epoch 0 equal for all seeds, and seed + epoch makes
    # seed 1's first epoch seed 0's second.
    text = b"|".join([_KEY_VERSION, purpose.encode(), str(seed).encode(), *(str(number).encode() for number in key)])
    words = np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))
