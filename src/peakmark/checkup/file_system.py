"""Does the disk that runs are to lie on hold what a run relies on? Locks and renames, really tried.

Some network file systems grant every lock, or refuse to rename over a file that is there. Then two processes write one
run, or a save is lost; so it is tried out from another process, in the very folder.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from peakmark.checkup.neighbour import WHOLE_BYTES
from peakmark.errors import MachineError
from peakmark.files.durable import write_bytes
from peakmark.files.lock import RunLock
from peakmark.nouns.checkup import Finding

_ANSWER_S = 30.0
_REPLACEMENTS = 40
_ELSEWHERE = "Write runs to a local disk: project=FOLDER."


def try_file_system(scratch: Path) -> Iterator[Finding]:
    """Yields what came of it; `scratch` is an empty folder on that disk, which is left with files in it."""
    yield _judged("lock", "A lock on a run keeps other processes out, and goes with a process that is killed.", scratch)
    yield _judged("rename", "A file is replaced as a whole: others see the old one or the new one.", scratch)


def _judged(name: str, holds: str, scratch: Path) -> Finding:
    """Tries one of the two, and takes what the disk refuses, or a neighbour that doesn't answer, for a failure."""
    attempt = {"lock": _wrong_with_locks, "rename": _wrong_with_renames}[name]
    try:
        wrong = attempt(scratch)
    except (MachineError, OSError, subprocess.SubprocessError) as error:
        wrong = f"It could not be tried: {' '.join(str(error).split())}"
    return Finding(name, "failed", wrong, _ELSEWHERE) if wrong else Finding(name, "ok", holds)


def _wrong_with_locks(scratch: Path) -> str:
    with RunLock(scratch):
        if _asked("try", scratch) != "held":
            return "Another process takes the lock that this one holds: two runs could write into one folder."
    if _asked("try", scratch) != "free":
        return "A lock that was let go of is still held for others: a run could not be resumed."
    with _started("hold", scratch) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "held":
            return "Another process could not take a lock that is free."
        try:
            with RunLock(scratch):
                return "This process takes the lock that another one holds: two runs could write into one folder."
        except MachineError:
            pass
        finally:
            holder.kill()
            holder.wait(_ANSWER_S)
    if _asked("try", scratch) != "free":
        return "The lock of a process that was killed stays: its run could not be resumed."
    return ""


def _wrong_with_renames(scratch: Path) -> str:
    file = scratch / "replaced"
    contents = itertools.cycle(bytes([letter]) * WHOLE_BYTES for letter in b"ab")
    write_bytes(file, next(contents))
    with _started("watch", file) as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        try:
            for content, _ in zip(contents, range(_REPLACEMENTS), strict=False):
                write_bytes(file, content)
                if file.read_bytes() != content:
                    return "A file that was replaced still shows what was in it before: a save could be lost."
        finally:
            (scratch / "stop").mkdir()
        seen, _ = watcher.communicate(timeout=_ANSWER_S)
    torn = seen.split()[0]
    return (
        "" if torn == "0" else f"Another process saw a file half written while it was replaced ({seen.strip()} reads)."
    )


def _asked(what: str, path: Path) -> str:
    with _started(what, path) as neighbour:
        answer, _ = neighbour.communicate(timeout=_ANSWER_S)
    return answer.strip()


def _started(what: str, path: Path) -> subprocess.Popen[str]:
    """Starts the neighbour; used with `with`, which waits for its end."""
    command = [sys.executable, "-m", "peakmark.checkup.neighbour", what, str(path)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
