"""Does best.pt hold the best epoch's weights, after what best means was changed or a file was taken away?

It must not know why another epoch is best.
"""

from __future__ import annotations

from peakmark.checkpoint.kept import kept_epochs
from peakmark.checkpoint.reader import read_weights_epoch
from peakmark.errors import ModelFileError
from peakmark.machine import durable
from peakmark.nouns import History
from peakmark.record.folder import RunFolder
from peakmark.selection.best import best_record


def keep_best_by_its_epoch(folder: RunFolder) -> None:
    """Gives best.pt a second name, epochN.pt, so that a new best doesn't take its only one."""
    epoch = _epoch_in_best(folder)
    if epoch is not None and not folder.epoch_file(epoch).exists():
        durable.link(folder.best, folder.epoch_file(epoch))


def mend_best(folder: RunFolder, history: History) -> str | None:
    """Has best.pt name the file of the best epoch, and says so where that was another; what it named stays.

    Where that epoch's weights are nowhere, best.pt stays as it is and the sentence says that.
    """
    best = best_record(history)
    if best is None or _epoch_in_best(folder) == best.epoch:
        return None
    kept = kept_epochs(folder.weights, history).get(best.epoch)
    if kept is None:
        return f"The weights of the best epoch, {best.epoch + 1}, are in no file of {folder.weights}."
    keep_best_by_its_epoch(folder)
    durable.link(kept, folder.best)
    return f"best.pt is epoch {best.epoch + 1} now, from {kept.name}."


def _epoch_in_best(folder: RunFolder) -> int | None:
    try:
        return read_weights_epoch(folder.best)
    except ModelFileError:
        return None
