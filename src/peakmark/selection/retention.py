"""Which epochs keep their weights, beside the last? Pure functions of the history and two settings.

It must not know any file, nor who takes away what isn't kept.
"""

from __future__ import annotations

from peakmark.nouns.run import History
from peakmark.selection.best import by_fitness


def is_kept(epoch: int, save_period: int) -> bool:
    """Whether epoch number `epoch` (0-based) is one of every `save_period`; never where that is 0.

    With save_period=10 the files are epoch10.pt, epoch20.pt and so on, as people count.
    """
    return save_period > 0 and (epoch + 1) % save_period == 0


def kept_best(history: History, keep: int) -> tuple[int, ...]:
    """Gives the `keep` best epochs, the best first. Fewer where fewer can be best.

    As long as the open segment stays, an epoch that is not among them never comes back: its weights may go.
    """
    return tuple(record.epoch for record in by_fitness(history)[: max(1, keep)])
