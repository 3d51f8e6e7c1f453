"""How are runs watched? The server's life: it takes a port, says its address, and serves until it is told to end.

A part of the facade: it composes and computes nothing itself.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peakmark.errors import SettingsError
from peakmark.events import Notice, Observer, unwatched
from peakmark.files.given_path import given_path
from peakmark.live.beside import TIED
from peakmark.live.server import LOOPBACK, address_of, listen, new_token, server_of
from peakmark.settings.fields import Settings, WatchSettings
from peakmark.settings.parse import parse


def watch(
    *places: str | Path,
    observer: Observer | None = None,
    up: Callable[[str], None] = lambda address: None,
    **settings: Any,
) -> None:
    """Shows the runs in these folders to a browser on this machine, until Ctrl-C.

    `places`: folders of runs, or folders above them; without one runs/detect. `up` is told the address once the server
    takes requests. `settings`: those of `peakmark watch --help`. Runs are only read. Raises SettingsError, and
    MachineError where the port is taken or an extra is missing.
    """
    wishes = parse(WatchSettings, settings).settings
    folders = [given_path(place, "folder") for place in places or (Settings.model_fields["project"].default,)]
    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        raise SettingsError([f"{name} is no folder; name a run's folder, or one above it." for name in missing])
    token = new_token()
    server = server_of(folders, token)
    own = listen(wishes.host, wishes.port)
    with own:
        if wishes.host not in (LOOPBACK, "localhost", "::1"):
            text = f"Listening at {wishes.host}: whoever reaches this machine and has the address sees the runs."
            (observer or unwatched)(Notice(text, serious=True))
        up(address_of(own, token))
        if os.environ.get(TIED):
            _lower_priority()
            threading.Thread(target=_end_with_its_run, args=(server,), daemon=True).start()
        server.run(sockets=[own])


def _lower_priority() -> None:
    if hasattr(os, "nice"):
        os.nice(19)  # the run's steps come first


def _end_with_its_run(server: Any) -> None:
    """The other end of standard input is the run's: it closes when that process ends, whatever ended it."""
    while sys.stdin.read(1):
        pass
    server.should_exit = True
