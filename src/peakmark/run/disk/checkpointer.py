"""When does the state go to disk, and under which names? After every epoch, and inside long ones at a window's start.

Files are written in the background from a copy, so that the loop hardly waits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from peakmark.checkpoint.background import BackgroundWriter, Failed, Saved
from peakmark.errors import MachineError
from peakmark.events import CheckpointSaved, Notice, Observer
from peakmark.files.durable import write_text
from peakmark.nouns.run import Decision
from peakmark.record.folder import RunFolder
from peakmark.record.results_csv import render
from peakmark.run.disk.kept_weights import remove_surpassed
from peakmark.selection.retention import kept_best
from peakmark.state.capture import RunFacts, capture
from peakmark.state.state import RunState


class Checkpointer:
    """Keeps a run's state in its folder."""

    def __init__(
        self,
        folder: RunFolder,
        facts: RunFacts,
        writer: BackgroundWriter,
        observe: Observer,
        *,
        keep: int,
        save_interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._facts = facts
        self._writer = writer
        self._observe = observe
        self._keep = keep
        self._kept_once_saved: dict[Path, tuple[int, tuple[int, ...]]] = {}
        """By the file of a kept epoch: its number, and which epochs are kept once it is on the disk."""
        self._save_interval_s = save_interval_s
        self._clock = clock
        self._saved_at = clock()
        self.closed = False

    def keep_epoch(self, state: RunState, decision: Decision) -> None:
        """Saves a finished epoch: last.pt; best.pt where it is the best so far; its own file where it is kept."""
        names = [self._folder.last]
        if decision.is_best:
            names.append(self._folder.best)
        kept = kept_best(state.history, self._keep)
        if self._keep > 1 and decision.epoch in kept:
            names.append(self._folder.best_epoch_file(decision.epoch))
            self._kept_once_saved[names[-1]] = decision.epoch, kept
        if decision.keep:
            names.append(self._folder.epoch_file(decision.epoch))
        self._save(state, *names)
        try:
            write_text(self._folder.results_csv, render(state.history, decision.best_epoch))
        except MachineError as error:
            self._observe(Notice(f"results.csv could not be written and is tried again after the next epoch. {error}"))

    def keep_position(self, state: RunState) -> None:
        """Saves last.pt at a window's start, or between the training and the validation of an epoch."""
        self._save(state, self._folder.last)

    def due(self) -> bool:
        """Whether the last save is long enough ago for one inside the epoch."""
        return self._save_interval_s > 0 and self._clock() - self._saved_at >= self._save_interval_s

    def close(self) -> None:
        """Waits until everything is on disk. Raises MachineError where the last state could not be saved."""
        self.closed = True
        try:
            self._writer.close()
        finally:
            self.report()

    def give_up(self) -> None:
        """Ends without waiting for anything; the files that stand stay whole."""
        self._writer.give_up()

    def report(self) -> None:
        """Tells of the saves that have ended: a backup of best.pt begins when it hears of it."""
        for done in self._writer.finished():
            files = tuple(path.name for path in done.targets)
            match done:
                case Saved():
                    self._observe(CheckpointSaved(files, done.position, done.size_bytes))
                    self._remove_surpassed(done)
                case Failed():
                    again = " and is tried again" if self._folder.last in done.targets else ""
                    text = f"{' and '.join(files)} could not be written{again}; the files before it stand."
                    self._observe(Notice(f"{text} {done.error}", serious=True))

    def _save(self, state: RunState, *names: Path) -> None:
        self._writer.submit(capture(state, self._facts), *names)
        self._saved_at = self._clock()
        self.report()

    def _remove_surpassed(self, done: Saved) -> None:
        """Takes away the files of epochs that are no longer among the best, now that those of the best are there."""
        for path in done.targets:
            if path not in self._kept_once_saved:
                continue
            epoch, kept = self._kept_once_saved.pop(path)
            try:
                remove_surpassed(self._folder, kept, epoch)
            except MachineError as error:
                self._observe(Notice(f"An epoch that is no longer among the best stays on the disk. {error}"))
