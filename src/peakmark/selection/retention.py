"""Which epochs are kept as epochN.pt, beside last.pt and best.pt? A pure function of the number of the epoch."""

from __future__ import annotations


def is_kept(epoch: int, save_period: int) -> bool:
    """Whether epoch number `epoch` (0-based) is one of every `save_period`; never where that is 0.

    With save_period=10 the files are epoch10.pt, epoch20.pt and so on, as people count.
    """
    return save_period > 0 and (epoch + 1) % save_period == 0
