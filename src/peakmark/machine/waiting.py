"""How long does a thread of the network wait for the others before it gives its core away?

torch's parallel loops run in threads of libgomp, which by default spin for some ten milliseconds at the end of each
loop. Where other processes want the same cores, a thread that spins keeps the one that it waits for from running: with
two cores in use by others a training step took ten to thirty times as long. Must not import torch: libgomp reads its
settings once, when torch is loaded.
"""

from __future__ import annotations

import os
import sys

_SPINS = "10000"
"""Under a millisecond. A tenth of it makes a step on a quiet machine a tenth slower, thirty times as much is the
default (docs/benchmarks.md, "A busy machine")."""


def wait_briefly() -> None:
    """Shortens the spinning, unless the user says otherwise or torch is loaded already; no result depends on it."""
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
