"""Where are the numbers of a training logged to while it goes on? To each place that `log_to=` names, beside it.

It must not know how anything is sent, nor who trains.
"""

from __future__ import annotations

import contextlib
import time

from peakmark.errors import PeakmarkError
from peakmark.events import CheckpointSaved, EpochEnded, EpochStarted, Event, Notice, Observer, RunEnded, RunStarted
from peakmark.loggers.messenger import Messenger
from peakmark.loggers.registry import check_packages
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.run import History
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import read as read_settings

LONGEST_WAIT_S = 60.0
"""At the end of a training, for the last numbers."""
WAIT_AFTER_CTRL_C_S = 10.0
_LOOK_S = 0.1


class RunLoggers:
    """Watches a training and has what its journal says sent to where `log_to=` in its settings.yaml says."""

    def __init__(self, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._longest_wait_s = longest_wait_s
        self._folder: RunFolder | None = None
        self._messengers: list[Messenger] = []

    def __call__(self, event: Event, history: History, tell: Observer, stop: StopRequest) -> None:
        match event:
            case RunStarted():
                self._begin(RunFolder(event.folder), tell)
            case EpochStarted() | EpochEnded() | CheckpointSaved():
                self._tell_what_is_said(tell)
            case RunEnded():
                self._wait(tell, stop)
            case _:
                pass

    def close(self) -> None:
        """Lets the processes end with what they are at; nobody waits for them."""
        for messenger in self._messengers:
            messenger.end()
        self._messengers = []

    def _begin(self, folder: RunFolder, tell: Observer) -> None:
        self._folder = folder
        try:
            names = read_settings(folder.settings_yaml).get("log_to") or []
            check_packages(names, "log_to")
        except PeakmarkError as error:
            # A run that is resumed where a package is missing goes on; what it misses can be sent later.
            tell(Notice(f"Nothing is logged. {error}", serious=True))
            return
        self._messengers = [Messenger(folder.path, name) for name in names]
        if names:
            tell(Notice(f"The numbers of each epoch are logged to {', '.join(names)}."))

    def _tell_what_is_said(self, tell: Observer) -> None:
        for messenger in self._messengers:
            for said in messenger.said():
                tell(said)

    def _wait(self, tell: Observer, stop: StopRequest) -> None:
        """Waits for the last numbers, up to a limit or a Ctrl-C, and says what became of them."""
        self._tell_what_is_said(tell)
        asked_before = stop.reason == "interrupted"
        until_s = time.monotonic() + (WAIT_AFTER_CTRL_C_S if asked_before else self._longest_wait_s)
        for messenger in self._messengers:
            messenger.end()
        with contextlib.suppress(KeyboardInterrupt):
            for messenger in self._messengers:
                while messenger.is_at_work(_LOOK_S):
                    if time.monotonic() >= until_s or (stop.reason == "interrupted" and not asked_before):
                        break
        self._tell_what_is_said(tell)
        for messenger in self._messengers:
            tell(self._last_word(messenger))
            messenger.stop()
        self._messengers = []

    def _last_word(self, messenger: Messenger) -> Notice:
        if messenger.done is not None:
            return Notice(f"{messenger.name} has all numbers. {messenger.done['done']}")
        assert self._folder is not None
        reason = messenger.failed or "They were still under way."
        return Notice(
            f"{messenger.name} has NOT all numbers of this run. {reason} Send them later with: peakmark log"
            f" {self._folder.path} to={messenger.name}",
            serious=True,
        )
