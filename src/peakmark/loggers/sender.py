"""How do the numbers of one run get to one logger? In a process of its own, which reads the journal until it has ended.

    python -m peakmark.loggers.sender RUN LOGGER [anew]

Whoever starts it writes a line to its standard input, or closes it, when the run has ended: a training that is killed
closes it too. What it has to tell comes out as lines of JSON. Nothing here can slow a training, which never waits for
it, nor lose a number, since the journal stays; it needs no torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from peakmark.errors import DataError, MachineError
from peakmark.files.durable import make_folder
from peakmark.files.lock import RunLock, is_held
from peakmark.loggers import place, registry
from peakmark.loggers.logger import Logger, RunFacts
from peakmark.loggers.place import Sent
from peakmark.loggers.story import Story, read_story
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.record.settings_yaml import read as read_settings
from peakmark.record.settings_yaml import read_origins

LOOK_S = 1.0
"""Between two looks at the journal's size: an epoch is there a second after its end."""
PAUSES_S = (1.0, 5.0, 20.0, 60.0, 300.0)
"""Before a logger that refused is tried again; the last one again and again."""
LAST_PAUSES_S = (1.0, 3.0, 10.0)
"""Once the run has ended; then it is given up, and told."""
_CHANGED = "changed at the resume"

Say = Callable[[Mapping[str, Any]], None]


class Sender:
    """Brings the points of a run to a logger, each in its turn, and keeps how far it has got."""

    def __init__(self, run: Path, name: str, say: Say, make: Callable[[str], Logger] = registry.make) -> None:
        self._folder = RunFolder(run)
        self._name = name
        self._say = say
        self._make = make
        self._place = place.folder_of(run, name)
        self._logger: Logger | None = None
        self._sent: Sent | None = None
        self._told = 0
        self._stamp = (-1, -1)
        self._story = Story((), {}, None)

    def run(
        self,
        ended: threading.Event,
        *,
        anew: bool = False,
        pauses_s: tuple[float, ...] = PAUSES_S,
        last_pauses_s: tuple[float, ...] = LAST_PAUSES_S,
    ) -> bool:
        """Sends until the run has ended and says whether the logger has all of it then. `anew`: to a new logged run."""
        refusals, last_refusals = 0, 0
        while True:
            is_over = ended.is_set()
            try:
                self._send_what_is_new(is_over=is_over, anew=anew and self._sent is None)
            except Exception as error:  # noqa: BLE001 - a library of somebody else, and a network
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                if refusals + last_refusals == 0:
                    self._say({"text": f"{self._name} takes no numbers; it is tried again. {reason}", "serious": True})
                self._logger = None
                if is_over and last_refusals == len(last_pauses_s):
                    self._say({"failed": reason})
                    return False
                if is_over:
                    threading.Event().wait(last_pauses_s[last_refusals])
                    last_refusals += 1
                else:
                    ended.wait(pauses_s[min(refusals, len(pauses_s) - 1)])
                    refusals += 1
                continue
            if refusals + last_refusals:
                self._say({"text": f"{self._name} takes numbers again; it has all of them."})
            refusals, last_refusals = 0, 0
            if is_over:
                self._say_that_all_is_there()
                return True
            ended.wait(LOOK_S)

    def _send_what_is_new(self, *, is_over: bool, anew: bool) -> None:
        if not self._has_news() and self._logger is not None and not is_over:
            return
        if not self._story.facts:
            return  # nothing was started yet
        logger = self._logger or self._opened(anew=anew)
        new = self._story.points[self._told :]
        if new:
            logger.send(new)
            self._told = len(self._story.points)
            if logger.keeps_what_is_sent:
                self._keep(logger)
        self._logger = logger
        if is_over:
            self._logger = None
            logger.close(self._story.ending)
            self._keep(logger)

    def _has_news(self) -> bool:
        """Reads the journal again where it has changed."""
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(self._folder.journal)
            stamp = (found.st_size, found.st_mtime_ns)
            if stamp != self._stamp:
                self._story = read_story(read_journal(self._folder.journal))
                self._stamp = stamp
                return True
        return False

    def _opened(self, *, anew: bool) -> Logger:
        logger, server = self._make(self._name), registry.server_of(self._name)
        known = None if anew else place.read(self._place, server)
        own_id = logger.open(self._facts(), known.id if known else None)
        self._sent = known or Sent(server, own_id, 0)
        # Kept before anything is sent: killed from here on, the next process goes on in this logged run.
        self._told = self._sent.points
        self._keep(logger)
        return logger

    def _keep(self, logger: Logger) -> None:
        assert self._sent is not None
        self._sent = Sent(self._sent.server, self._sent.id, self._told, logger.where)
        place.write(self._place, self._sent)

    def _facts(self) -> RunFacts:
        settings, origins = dict[str, Any](), dict[str, str]()
        with contextlib.suppress(DataError):
            # A settings.yaml that is lost or damaged costs the settings, and no number.
            settings = read_settings(self._folder.settings_yaml)
            origins = read_origins(self._folder.settings_yaml)
        changed = {name: origin for name, origin in origins.items() if origin.startswith(_CHANGED)}
        return RunFacts(self._folder.path, self._folder.path.name, {**settings, **self._story.facts}, changed)

    def _say_that_all_is_there(self) -> None:
        if self._sent is None:
            self._say({"failed": "The run has no start in its journal, so there is nothing to send."})
        else:
            self._say({"done": self._sent.where, "points": self._sent.points, "id": self._sent.id})


def main(words: list[str]) -> int:
    run, name, *rest = words
    say = _only_way_out()
    if hasattr(os, "nice"):
        os.nice(10)  # what the training needs of a busy machine comes first
    ended = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
    folder = place.folder_of(Path(run), name)
    make_folder(folder)
    while True:
        try:
            with RunLock(folder):
                return 0 if Sender(Path(run), name, say).run(ended, anew="anew" in rest) else 1
        except MachineError as error:
            # Of a training that was killed, the process that sent for it may still be at its last numbers.
            if ended.is_set():
                say({"failed": "Another process is sending it." if is_held(folder) else str(error)})
                return 1
            ended.wait(LOOK_S)


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.readline()
    ended.set()


def _only_way_out() -> Say:
    """Keeps standard output for what is to be told: libraries write what they like to it."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(told: Mapping[str, Any]) -> None:
        with lock, contextlib.suppress(OSError):  # nobody may be left to read it
            out.write(json.dumps(told) + "\n")
            out.flush()

    return say


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Not by the usual way: a library that waits for its server at the end would hold the process.
    os._exit(code)
