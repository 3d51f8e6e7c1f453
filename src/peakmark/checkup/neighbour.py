"""What does another process see of a folder? A program of its own, which `file_system.py` starts and asks.

A lock that holds only within one process, or a file that is half there for others, shows from outside alone. It loads
no torch, so that it answers at once.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from peakmark.errors import MachineError
from peakmark.files.lock import RunLock

WHOLE_BYTES = 65_536
"""Of the files that `watch` reads: each is one character, so many times."""


def main(what: str, path: Path) -> None:
    """Answers on standard output: `try` to lock a folder, `hold` its lock, or `watch` a file that others replace."""
    {"try": _try, "hold": _hold, "watch": _watch}[what](path)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _try(folder: Path) -> None:
    with contextlib.suppress(MachineError), RunLock(folder):
        _say("free")
        return
    _say("held")


def _hold(folder: Path) -> None:
    with RunLock(folder):
        _say("held")
        sys.stdin.read()  # until whoever asked closes it, or kills this process


def _watch(file: Path) -> None:
    """Reads the file again and again until `stop` lies beside it; says how often it wasn't whole."""
    torn = reads = 0
    _say("watching")
    while not file.with_name("stop").exists():
        try:
            content = file.read_bytes()
        except OSError:
            content = b""
        torn += len(content) != WHOLE_BYTES or len(set(content)) != 1
        reads += 1
    _say(f"{torn} of {reads}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
