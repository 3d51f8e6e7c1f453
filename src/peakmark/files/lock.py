"""Who may write into a run's folder? One process at a time, and the others learn which one has it.

The lock is the operating system's: it goes with the process, so a crash leaves nothing to clean up. It must not know
what is in the folder.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from types import TracebackType

import psutil
from filelock import FileLock, Timeout

from peakmark.errors import MachineError
from peakmark.files import durable

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock-holder"
"""Beside the lock, not inside: whoever tries to take the lock empties its file first."""


class RunLock:
    """Holds an existing folder while the `with` block runs.

    Entering raises `MachineError`, at once, where another process holds it (or this one, by another `RunLock`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holder_file = folder / HOLDER_FILE
        self._lock = FileLock(folder / LOCK_FILE, timeout=0)

    def __enter__(self) -> RunLock:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise MachineError(
                f"{self._folder} is in use by {self._holder()}. Wait until that has ended, or choose another name."
            ) from error
        except (OSError, NotImplementedError) as error:
            raise MachineError(
                f"Can't lock {self._folder}: {error}. Give yourself the right to write there, or choose another folder."
            ) from error
        try:
            durable.write_text(self._holder_file, f"process {os.getpid()} on {socket.gethostname()}")
        except MachineError:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # Nobody reads it while the lock is free, and a disk that refuses now must not take the place of the error
            # that ended the run, nor turn a run that is done into a failed one.
            with contextlib.suppress(MachineError):
                durable.remove(self._holder_file)
        finally:
            self._lock.release()

    def _holder(self) -> str:
        try:
            return self._holder_file.read_text()
        except OSError:
            # It has just taken the lock, or is just letting it go.
            return "another process"


def is_alive(folder: Path) -> bool | None:
    """Whether the process lives that said it holds a folder; None where that is one of another machine.

    It reads and takes nothing, so that whoever only looks can't keep a run from its own folder: `is_held`, which is
    surer, holds the lock for a moment. False where nobody holds it. A process that was killed leaves its number, which
    another may have got since.
    """
    try:
        words = (folder / HOLDER_FILE).read_text().split()
    except (OSError, UnicodeDecodeError):
        return False
    if len(words) != 4 or not words[1].isdecimal():
        return False
    return psutil.pid_exists(int(words[1])) if words[3] == socket.gethostname() else None


def is_held(folder: Path) -> bool:
    """Whether a process holds a folder right now; it may have let go of it when the answer comes."""
    if not (folder / LOCK_FILE).exists():
        return False
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        # Nothing can be told of it here; whoever enters it is told why.
        return False
    lock.release()
    return False
