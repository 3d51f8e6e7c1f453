"""How does each new best.pt get to another place while the training goes on? In a thread that only handles bytes.

What is copied is one whole version: the file is opened when it is known to be saved, and an opened file stays what it
was when another takes its name. A version that waits gives way to a newer one. A place that says no is asked again
after growing pauses; that is told and journaled, and never stops the training.
It must not know how a copy is made, nor who trains.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from threading import Condition, Thread
from typing import BinaryIO, NamedTuple

from peakmark.checkpoint.reader import read_weights_epoch
from peakmark.errors import PeakmarkError
from peakmark.events import CheckpointSaved, Event, Notice, Observer, RunEnded, RunStarted
from peakmark.files.stores import Store, open_store
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.run import History
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import read as read_settings
from peakmark.release.copying import copy_best
from peakmark.release.manifest import CopyDecision, Manifest, identity_of

PAUSES_S = (1.0, 5.0, 20.0, 60.0, 300.0)
"""Before a refused copy is tried again; the last one again and again."""
LONGEST_WAIT_S = 120.0
"""At the end of a training, for the last copy."""
WAIT_AFTER_CTRL_C_S = 10.0
_LOOK_S = 0.1


class Version(NamedTuple):
    """A best.pt as it was at one moment, and what is known of it; without a file only the place is asked."""

    manifest: Manifest
    source: BinaryIO | None


class Backup:
    """Watches a training and copies its best.pt to where `backup=` in its settings.yaml says."""

    def __init__(self, pauses_s: tuple[float, ...] = PAUSES_S, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._pauses_s = pauses_s
        self._longest_wait_s = longest_wait_s
        self._folder: RunFolder | None = None
        self._courier: Courier | None = None
        self._identity = ""

    def __call__(self, event: Event, history: History, tell: Observer, stop: StopRequest) -> None:
        if isinstance(event, RunStarted):
            self._begin(event, history, tell)
        if self._courier is None:
            return
        if isinstance(event, CheckpointSaved) and self._best.name in event.files:
            self._hand_in(history, tell)
        for said in self._courier.said():
            tell(said)
        if isinstance(event, RunEnded):
            self._wait(tell, stop)

    def close(self) -> None:
        """Lets the thread end with what it is at; nobody waits for it."""
        if self._courier is not None:
            self._courier.dismiss()

    @property
    def _best(self) -> Path:
        assert self._folder is not None
        return self._folder.best

    def _begin(self, event: RunStarted, history: History, tell: Observer) -> None:
        self._folder = RunFolder(event.folder)
        self._identity = identity_of(event.provenance, history)
        try:
            place = read_settings(self._folder.settings_yaml).get("backup")
            if place is None:
                return
            store = open_store(place).inside(f"{event.folder.name}-{self._identity}")
        except PeakmarkError as error:
            tell(Notice(f"best.pt is not backed up. {error}", serious=True))
            return
        self._courier = Courier(store, self._pauses_s)
        tell(Notice(f"Each new best.pt is copied to {store.place}"))
        # A best.pt is there where a run is resumed, and its copy may be missing; else only the place is tried.
        self._hand_in(history, tell)

    def _hand_in(self, history: History, tell: Observer) -> None:
        """Has the best.pt that is there now copied."""
        assert self._courier is not None
        try:
            source = self._best.open("rb")
        except FileNotFoundError:
            self._courier.take(Version(self._manifest(history, epoch=0), None))
            return
        except OSError as error:
            tell(Notice(f"best.pt can't be read to be backed up: {error.strerror}.", serious=True))
            return
        try:
            # Of this very file: its name may by now be that of a newer one, where an open file can lose its name.
            this_very_file = Path(f"/dev/fd/{source.fileno()}")
            epoch = read_weights_epoch(this_very_file if this_very_file.exists() else self._best)
        except PeakmarkError as error:
            source.close()
            tell(Notice(f"best.pt is not backed up. {error}", serious=True))
            return
        self._courier.take(Version(self._manifest(history, epoch=0 if epoch is None else epoch + 1), source))

    def _manifest(self, history: History, epoch: int) -> Manifest:
        assert self._folder is not None
        segment = len(history.segments) - 1
        return Manifest(self._folder.path.name, self._identity, self._best.name, epoch, segment, "", 0)

    def _wait(self, tell: Observer, stop: StopRequest) -> None:
        """Waits for the last copy, up to a limit or a Ctrl-C, and says what became of it."""
        assert self._courier is not None
        # Whoever has asked to stop wants to go; so does a machine that is being taken away.
        asked_before = stop.reason == "interrupted"
        limit_s = WAIT_AFTER_CTRL_C_S if asked_before else self._longest_wait_s
        until_s = time.monotonic() + limit_s
        self._courier.hurry()
        told = False
        with contextlib.suppress(KeyboardInterrupt):
            while not self._courier.idle(_LOOK_S):
                if time.monotonic() >= until_s or (stop.reason == "interrupted" and not asked_before):
                    break
                if not told:
                    tell(Notice(f"Waiting for the copy of best.pt, for {limit_s:g} s at most; Ctrl-C ends the wait."))
                    told = True
        for said in self._courier.said():
            tell(said)
        if (owed := self._courier.owed()) is not None:
            tell(Notice(self._not_copied(owed), serious=True))
        elif epoch := self._courier.epoch_there:
            tell(Notice(f"best.pt (epoch {epoch}) is at {self._courier.place}, verified."))
        self.close()

    def _not_copied(self, owed: str) -> str:
        assert self._folder is not None
        return (
            f"The newest best.pt is NOT at its backup. {owed} It is whole in {self._best}; to have it copied later:"
            f" peakmark resume {self._folder.path}"
        )


class Courier:
    """A thread that brings the newest version to a store; it holds one version that is under way and one that waits."""

    def __init__(self, store: Store, pauses_s: tuple[float, ...]) -> None:
        self._store = store
        self._pauses_s = pauses_s
        # Everything below is shared with the thread, and read and written under this lock only.
        self._changed = Condition()
        self._waiting: Version | None = None
        self._under_way: Version | None = None
        self._said: deque[Notice] = deque()
        self._epoch_there = 0
        self._refused = ""
        self._refusals = 0
        self._hurried = False
        self._dismissed = False
        # A daemon: Python would else wait, at its end, for a server that doesn't answer.
        self._thread = Thread(target=self._work, name="backup", daemon=True)
        self._thread.start()

    def take(self, version: Version) -> None:
        """Has a version copied; an older one that still waits gives way to it."""
        with self._changed:
            _close(self._waiting)
            self._waiting = version
            self._changed.notify_all()

    def said(self) -> Iterator[Notice]:
        """Gives what there is to tell since it was last asked; to be told in the thread that trains."""
        while True:
            with self._changed:
                if not self._said:
                    return
                notice = self._said.popleft()
            yield notice

    def hurry(self) -> None:
        """Ends a pause: what was refused is tried once more, and then given up."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def idle(self, timeout_s: float) -> bool:
        """Waits so long and says whether there is nothing left to do."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting is None and self._under_way is None, timeout_s)

    def owed(self) -> str | None:
        """Says why the newest version is not at its place; None where it is."""
        with self._changed:
            if self._waiting is None and self._under_way is None and not self._refused:
                return None
            return self._refused or "The copy was still under way."

    @property
    def place(self) -> str:
        return self._store.place

    @property
    def epoch_there(self) -> int:
        """Of the copy that was brought last, 1-based; 0 where none was."""
        with self._changed:
            return self._epoch_there

    def dismiss(self) -> None:
        """Has the thread end after what it is at."""
        with self._changed:
            self._dismissed = True
            _close(self._waiting)
            self._waiting = None
            self._changed.notify_all()

    def _work(self) -> None:
        while (version := self._next()) is not None:
            try:
                self._bring(version)
            finally:
                _close(version)
                with self._changed:
                    self._under_way = None
                    self._changed.notify_all()

    def _next(self) -> Version | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._dismissed)
            self._under_way, self._waiting = self._waiting, None
            return self._under_way

    def _bring(self, version: Version) -> None:
        """Copies a version, again and again until it is there, a newer one waits, or nobody waits for it any more."""
        while True:
            last_try = self._hurried
            try:
                decision = copy_best(self._store, version.manifest, version.source)
            except PeakmarkError as error:
                if not self._try_again(str(error), last_try):
                    return
            else:
                self._is_there(decision, version.manifest)
                return

    def _try_again(self, refused: str, last_try: bool) -> bool:
        """Tells of a refusal and waits; says whether the same version is to be tried again."""
        with self._changed:
            if not self._refused:
                self._said.append(Notice(f"best.pt could not be backed up and is tried again. {refused}", serious=True))
            self._refused = refused
            pause_s = self._pauses_s[min(self._refusals, len(self._pauses_s) - 1)]
            self._refusals += 1
            if last_try:
                return False
            self._changed.wait_for(lambda: self._waiting is not None or self._hurried or self._dismissed, pause_s)
            return self._waiting is None and not self._dismissed

    def _is_there(self, decision: CopyDecision, manifest: Manifest) -> None:
        with self._changed:
            if self._refused:
                self._said.append(Notice(f"{self._store.place} takes copies again."))
            self._refused, self._refusals = "", 0
            if decision == "older":
                text = f"best.pt of epoch {manifest.epoch} is not copied: {self._store.place} holds a later one."
                self._said.append(Notice(text, serious=True))
            elif manifest.epoch:
                self._epoch_there = manifest.epoch


def _close(version: Version | None) -> None:
    if version is not None and version.source is not None:
        version.source.close()
