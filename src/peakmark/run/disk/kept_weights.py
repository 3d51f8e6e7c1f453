"""Which files hold the best epochs' weights, as the run goes on, is resumed, or is judged by something else?

best.pt is the best epoch's. With keep=3 the three best have files of their own as well, best_epochN.pt, of which
best.pt is a copy. It must not know why another epoch is best.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from peakmark.checkpoint.kept import kept_epoch, kept_epochs
from peakmark.checkpoint.reader import read_weights_epoch
from peakmark.errors import ModelFileError
from peakmark.files import durable
from peakmark.nouns.run import EpochRecord, History
from peakmark.record.folder import RunFolder
from peakmark.selection.best import best_record
from peakmark.selection.retention import is_kept, kept_best
from peakmark.state.segments import judged_again


def remove_surpassed(folder: RunFolder, kept: Collection[int], epoch: int) -> None:
    """Takes away the files of best epochs up to `epoch` that are not among the `kept` ones as of then.

    Only once the files of these are on the disk, and later ones may be already. For who holds the run's lock.
    """
    for number, path in folder.best_epoch_files().items():
        if number <= epoch and number not in kept:
            durable.remove(path)


def keep_epochs(folder: RunFolder, history: History, *, keep: int, save_period: int) -> None:
    """Brings a run's folder to where its history is: kept epochs have a file of their own, others don't.

    After a change of `keep` or of what best means, and after a kill between writing and taking away.
    """
    kept = kept_best(history, keep) if keep > 1 else ()
    for path in (folder.best, folder.last):
        epoch = _epoch_in(path)
        # Both names are taken by other epochs as the run goes on.
        if epoch in kept and not folder.best_epoch_file(epoch).exists():
            durable.copy(path, folder.best_epoch_file(epoch))
    if history.records:
        newest = history.records[-1].epoch
        if is_kept(newest, save_period):
            _complete_names(folder, newest)
        remove_surpassed(folder, kept, newest)


def _complete_names(folder: RunFolder, newest: int) -> None:
    """Gives the newest epoch its epochN.pt, where a kill came between the names of its save.

    Not an older one: its file may have been taken away.
    """
    names = (folder.best, folder.best_epoch_file(newest), folder.last)
    holding = [path for path in names if _epoch_in(path) == newest]
    if holding and not folder.epoch_file(newest).exists():
        durable.copy(holding[0], folder.epoch_file(newest))


def keep_best_by_its_epoch(folder: RunFolder) -> None:
    """Copies best.pt to epochN.pt, so that a new best doesn't take the only file of its epoch."""
    epoch = _epoch_in(folder.best)
    if epoch is not None and not folder.epoch_file(epoch).exists():
        durable.copy(folder.best, folder.epoch_file(epoch))


def repair_best(folder: RunFolder, history: History) -> str | None:
    """Makes best.pt the best epoch's, and says so where it was another's; what it was stays under its epoch's name.

    Where that epoch's weights are nowhere, best.pt stays as it is and the sentence says that.
    """
    best = best_record(history)
    if best is None or _epoch_in(folder.best) == best.epoch:
        return None
    kept = kept_epoch(folder.weights, history, best.epoch)
    if kept is None:
        return f"The weights of the best epoch, {best.epoch + 1}, are in no file of {folder.weights}."
    keep_best_by_its_epoch(folder)
    durable.copy(kept, folder.best)
    return f"best.pt is epoch {best.epoch + 1} now, from {kept.name}."


def judged_by_kept(folder: RunFolder, history: History, fitness_of: Callable[[EpochRecord], float | None]) -> History:
    """Gives the history judged by another fitness, with a best epoch whose weights are in a file that is whole.

    Only the file of what would be best is read in full, and of the next where that one is damaged.
    """
    kept = set(kept_epochs(folder.weights, history))
    while True:
        judged = judged_again(history, fitness_of, kept)
        best = best_record(judged)
        if best is None or kept_epoch(folder.weights, judged, best.epoch) is not None:
            return judged
        kept.remove(best.epoch)


def _epoch_in(path: Path) -> int | None:
    try:
        return read_weights_epoch(path)
    except ModelFileError:
        return None
