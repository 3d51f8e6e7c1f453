"""How is a run watched from its own command line? `watch=True` starts the server as a process of its own beside it.

The run never waits for it and can't be stopped by it: the process has a session of its own and the lowest priority,
and ends when the run's does, however that ends, since a pipe to it closes then.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Final

from peakmark.errors import DataError
from peakmark.events import Event, Notice, Observer, RunStarted
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.run import History
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import read as read_settings

TIED: Final = "PEAKMARK_WATCH_TIED"
"""Set for the process: it ends once nobody holds the other end of its standard input."""
_ENDS_WITHIN_S: Final = 5.0


class LivePage:
    """Serves a run's page while it goes, where its settings wish that. To be closed at its end."""

    def __init__(self, observe: Observer) -> None:
        """`observe` is told the address. Not the run's journal, which others may read: the address is the key."""
        self._observe = observe
        self._process: subprocess.Popen[str] | None = None
        self._to_tell: Notice | None = None

    def __call__(self, event: Event, history: History, tell: Observer, stop: StopRequest) -> None:
        """Takes any event of the run; starts the server at its start, and tells its address once it is up."""
        if isinstance(event, RunStarted) and _is_wished(RunFolder(event.folder)):
            self._start(str(event.folder))
        # Told by whichever event comes next: the run doesn't wait for a server that is starting.
        notice, self._to_tell = self._to_tell, None
        if notice is not None:
            self._observe(notice)

    def close(self) -> None:
        """Ends the server."""
        if self._process is None:
            return
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, folder: str) -> None:
        command = [sys.executable, "-m", "peakmark", "watch", folder, "port=0"]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",  # a name of other bytes must not end the thread that empties the pipe
                env={**os.environ, TIED: "1", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
                # Ctrl-C at the terminal is for the run alone.
                start_new_session=True,
            )
        except OSError as error:
            self._to_tell = _cannot(error.strerror or str(error))
            return
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        """Reads what the server says, to its end: a pipe that is full would stop it."""
        assert process.stdout is not None
        said = ""
        is_up = False
        for line in process.stdout:
            said = line.strip() or said
            if "http://" in line and not is_up:
                is_up = True
                self._to_tell = Notice(f"Watch it at {line[line.index('http://') :].split()[0]}")
        if not is_up:
            self._to_tell = _cannot(said)


def _cannot(why: str) -> Notice:
    return Notice(f"The run's page can't be served: {why} The training goes on without it.", serious=True)


def _is_wished(folder: RunFolder) -> bool:
    try:
        return bool(read_settings(folder.settings_yaml).get("watch"))
    except DataError:
        return False  # somebody took the file away; a run doesn't end over it
