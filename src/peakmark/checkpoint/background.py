"""How are checkpoints saved while the training goes on?

One save is in flight, in a thread of its own, and at most one more waits: so memory holds two snapshots (and, while the
disk refuses, the two that it owes), and the disk is never far behind. It must not know when to save or what is best: it
is handed snapshots and names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.writer import save as save_checkpoint
from peakmark.errors import MachineError
from peakmark.nouns.run import Position

Save = Callable[..., int]
"""`save(checkpoint, *targets, go_on=...) -> size in bytes`, as in `writer.py`."""
_LAST_MOMENT_S = 1.0
"""For a save that is given up: it ends at its next write, unless the disk doesn't answer."""


class GivenUp(BaseException):  # no Exception: it is not the disk that refuses
    """Nobody waits for this save any more."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A save that is done and on the disk."""

    targets: tuple[Path, ...]
    position: Position
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A save that the disk refused; what stood under these names still stands."""

    targets: tuple[Path, ...]
    position: Position
    error: MachineError


@dataclass(frozen=True, slots=True)
class _Job:
    checkpoint: Checkpoint
    targets: tuple[Path, ...]


class BackgroundWriter:
    """Saves checkpoints in a thread, in the order in which they were handed in.

    A checkpoint that waits under no other name than `last` gives way to a newer one; a best or a kept one never does.
    If the disk refuses, the training goes on: what last.pt and best.pt should hold is tried again with the next save,
    the best under its other names as well. An epoch that is kept but not the best is not tried again, or the snapshots
    would fill the memory.
    """

    def __init__(self, last: Path, best: Path, save: Save = save_checkpoint) -> None:
        self._last = last
        self._best = best
        self._save = save
        self._thread: threading.Thread | None = None
        self._given_up = False
        # Everything below is shared with the thread, and read and written under this lock only.
        self._changed = threading.Condition()
        self._waiting: _Job | None = None
        self._running = False
        self._closing = False
        self._owed: dict[Path, Checkpoint] = {}
        self._done: list[Saved | Failed] = []
        self._failed: MachineError | None = None
        self._broken: BaseException | None = None

    @property
    def failed(self) -> MachineError | None:
        """What the disk said to the last save; None where that one went well and nothing is owed."""
        with self._changed:
            return self._failed

    def submit(self, checkpoint: Checkpoint, *targets: Path) -> None:
        """Has a snapshot saved under `targets`; waits only while another that may not be dropped is still waiting.

        `checkpoint` shares no storage with live tensors (see `snapshot`). Raises what broke an earlier save, unless it
        was a `MachineError`: a disk that refuses is no reason to stop a training, a `TrainingError` is.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._broken is not None or self._may_be_replaced(self._waiting))
            self._raise_what_broke()
            if self._closing:
                raise RuntimeError("a checkpoint was handed to a writer that is closed: nobody would save it")
            if self._thread is None:
                # A daemon, so that a save that was given up doesn't keep the process; `close` waits for all others.
                self._thread = threading.Thread(target=self._work, name="checkpoint", daemon=True)
                self._thread.start()
            # Only now: had the system refused the thread, a job that nobody takes would let `flush` wait for ever.
            self._waiting = _Job(checkpoint, self._in_order(targets))
            self._changed.notify_all()

    def flush(self) -> None:
        """Waits until nothing waits and nothing is in flight. Raises as `submit` does."""
        with self._changed:
            self._changed.wait_for(lambda: self._broken is not None or not (self._running or self._waiting))
            self._raise_what_broke()

    def finished(self) -> tuple[Saved | Failed, ...]:
        """Gives the saves that came to an end since it was last asked, in order."""
        with self._changed:
            done, self._done = tuple(self._done), []
            return done

    def close(self) -> None:
        """Waits for everything and tries once more what the disk had refused; nothing may be submitted afterwards.

        May be called again, and tries again then.

        Raises `MachineError` if last.pt or best.pt could not be brought up to date after all.
        """
        try:
            self.flush()
            self._pay_what_is_owed()
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
        with self._changed:
            if self._owed and self._failed is not None:
                raise self._failed

    def give_up(self) -> None:
        """Ends at once, whatever waits or is in flight: files that stand stay whole, and none changes any more."""
        self._given_up = True  # before the lock, which is not waited for: a Ctrl-C may have left it taken
        if self._changed.acquire(timeout=_LAST_MOMENT_S):
            self._changed.notify_all()
            self._changed.release()
        if self._thread is not None:
            self._thread.join(_LAST_MOMENT_S)

    def _in_order(self, targets: tuple[Path, ...]) -> tuple[Path, ...]:
        """Puts last.pt at the end: killed between two names, the run goes on from best.pt, which is then further.

        The other way round last.pt would remember a best epoch that best.pt never came to hold.
        """
        return tuple(sorted(targets, key=lambda name: name == self._last))

    def _may_be_replaced(self, waiting: _Job | None) -> bool:
        return waiting is None or waiting.targets == (self._last,)

    def _raise_what_broke(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _go_on(self) -> None:
        if self._given_up:
            raise GivenUp

    def _work(self) -> None:
        """The thread: saves what is handed in until the writer is closed."""
        try:
            while (job := self._next()) is not None:
                # What is owed comes first: a last.pt that remembers a best epoch which best.pt doesn't hold is worse
                # than an older last.pt.
                self._pay_what_is_owed(but=job.targets)
                self._save_one(job)
        except GivenUp:
            return
        except BaseException as error:
            with self._changed:
                # Whoever hands in the next save, or closes, is told: a thread has nobody to raise to.
                self._broken, self._running, self._waiting = error, False, None
                self._changed.notify_all()
            if not isinstance(error, Exception):
                raise

    def _next(self) -> _Job | None:
        with self._changed:
            self._running = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting is not None or self._closing or self._given_up)
            # Under one lock: between the two, `flush` would find nothing waiting and nothing in flight.
            job, self._waiting = self._waiting, None
            self._running = job is not None
            self._changed.notify_all()
            return job

    def _save_one(self, job: _Job) -> None:
        try:
            size_bytes = self._save(job.checkpoint, *job.targets, go_on=self._go_on)
        except MachineError as error:
            with self._changed:
                self._failed = error
                self._done.append(Failed(job.targets, job.checkpoint.position, error))
                self._owe(job)
            return
        with self._changed:
            self._done.append(Saved(job.targets, job.checkpoint.position, size_bytes))
            for name in job.targets:
                self._owed.pop(name, None)
            if not self._owed:
                self._failed = None

    def _owe(self, job: _Job) -> None:
        """Remembers what is to be tried again: at most two checkpoints, the last and the best with all its names."""
        if self._best in job.targets:
            self._owed = {name: owed for name, owed in self._owed.items() if name == self._last}
            self._owed |= dict.fromkeys(job.targets, job.checkpoint)
        elif self._last in job.targets:
            self._owed[self._last] = job.checkpoint

    def _pay_what_is_owed(self, but: tuple[Path, ...] = ()) -> None:
        """Tries again what the disk refused, save for the names that get something newer anyway."""
        with self._changed:
            jobs: dict[int, _Job] = {}
            for name, checkpoint in self._owed.items():
                if name not in but:
                    before = jobs.get(id(checkpoint), _Job(checkpoint, ()))
                    jobs[id(checkpoint)] = _Job(checkpoint, (*before.targets, name))
        for job in jobs.values():
            self._save_one(job)
