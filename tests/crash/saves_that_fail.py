"""Saves one checkpoint over another again and again, each time failing at another system call, and prints how it ended.

A case is named <way of saving>-<kind of failure>-<number of the call>.

Run by `test_save.py` as a program of its own: it kills children of itself, which is safe only without other threads.
Usage: saves_that_fail.py FOLDER NEW_CHECKPOINT. FOLDER/<case> is made for each case, from FOLDER/old.pt.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import MachineError

TARGETS = ("best.pt", "last.pt", "epoch2.pt")
KILLED = 9
REFUSED = 3
BROKE = 70
WRITES_APART = 25
Strike = Callable[[str, Callable[[], None]], None]
"""What happens at a call, told its name and how to do half of it."""
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EPERM": errno.EPERM}


class Calls:
    """Stands before each system call of a save; at call number `fatal` it does what `strike` says instead.

    With `for_good`, at every call after it, too.
    """

    def __init__(self, fatal: int, strike: Strike, *, for_good: bool = False) -> None:
        self._fatal = fatal
        self._strike = strike
        self._for_good = for_good
        self.log: list[str] = []

    def install(self) -> None:
        for name in ("open", "fsync", "replace", "unlink", "mkdir"):
            setattr(os, name, self._watched(name, getattr(os, name)))
        opened = builtins.open

        def watched_open(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            self._before(f"open {mode}")
            stream = opened(file, mode, *rest, **named)
            return WatchedFile(stream, self._before) if "x" in mode else stream

        builtins.open = watched_open

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self._before(name)
            return call(*arguments, **named)

        return watched

    def _before(self, name: str, half: Callable[[], None] = lambda: None) -> None:
        self.log.append(name)
        number = len(self.log) - 1
        if number == self._fatal or (self._for_good and 0 <= self._fatal < number):
            self._strike(name, half)


class WatchedFile:
    """A file whose writes can be torn in the middle."""

    def __init__(self, stream: IO[bytes], before: Callable[..., None]) -> None:
        self._stream = stream
        self._before = before

    def write(self, data: bytes) -> int:
        def half() -> None:
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()

        self._before("write", half)
        return self._stream.write(data)

    def __enter__(self) -> WatchedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def kill(name: str, half: Callable[[], None]) -> None:
    half()
    os._exit(KILLED)


def refuse(number: int) -> Strike:
    def strike(name: str, half: Callable[[], None]) -> None:
        half()
        raise OSError(number, os.strerror(number))

    return strike


def save_at_once(folder: Path, checkpoint: Checkpoint) -> None:
    save(checkpoint, *(folder / name for name in TARGETS))


def save_with_clones(folder: Path, checkpoint: Checkpoint) -> None:
    """On a disk that shares what several names hold; here it is copied below the calls that are watched."""

    def clone(copy: int, _: int, source: int) -> None:
        os.copy_file_range(source, copy, os.fstat(source).st_size, 0, 0)

    setattr(fcntl, "ioctl", clone)  # noqa: B010 - mypy knows that it has overloads
    save_at_once(folder, checkpoint)


def save_in_background(folder: Path, checkpoint: Checkpoint) -> None:
    """As a training saves: in a thread, and what the disk refused once more at the end."""
    best, last, kept = (folder / name for name in TARGETS)
    writer = BackgroundWriter(last, best)
    writer.submit(checkpoint, last, best, kept)
    writer.close()


SAVES = {"ONCE": save_at_once, "CLONES": save_with_clones, "BACKGROUND": save_in_background}


def save_in_child(
    folder: Path,
    checkpoint: Checkpoint,
    calls: Calls,
    save: Callable[[Path, Checkpoint], None] = save_at_once,
    prepare: Callable[[], None] = lambda: None,
) -> str:
    """Forks, saves in the child, and says how that ended; `calls` in the folder lists what it asked the system for."""
    folder.mkdir()
    for name in TARGETS[:2]:
        shutil.copy(folder.parent / "old.pt", folder / name)
    if os.fork() == 0:
        code = BROKE
        try:
            prepare()
            calls.install()
            save(folder, checkpoint)
            code = 0
        except MachineError as error:
            (folder / "said").write_text(str(error))
            code = REFUSED
        finally:
            if code == BROKE:
                traceback.print_exc()
            if code == 0:
                (folder / "calls").write_text("\n".join(calls.log))
            # Whatever happened: a child that lives on would go through the cases as a second parent.
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.wait()[1])
    return {0: "done", KILLED: "killed", REFUSED: "refused"}.get(code, f"broke ({code})")


def limit_file_size() -> None:
    """The system's own refusal in the middle of a write: no file may grow beyond 4 KiB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def struck(log: list[str]) -> Iterator[int]:
    """Every call but writes, of which there are very many: of these the first and the last, and some between."""
    writes = [number for number, call in enumerate(log) if call == "write"]
    yield from sorted({*writes[:2], *writes[::WRITES_APART], *writes[-3:]})
    yield from (number for number, call in enumerate(log) if call != "write")


def main(folder: Path, checkpoint: Checkpoint) -> None:
    """Goes through each way of saving, its calls one after the other, and each way to fail at them."""
    ended = {}
    strikes = {"KILL": kill, **{name: refuse(error) for name, error in ERRORS.items()}}
    for way, saving in SAVES.items():
        case = f"{way}-UNHARMED"
        ended[case] = save_in_child(folder / case, checkpoint, Calls(-1, kill), saving)
        for number in struck((folder / case / "calls").read_text().splitlines()):
            # The reasons differ in what is said alone, which one way of saving shows.
            for kind in strikes if saving is save_at_once else ("KILL", "ENOSPC"):
                case = f"{way}-{kind}-{number}"
                ended[case] = save_in_child(folder / case, checkpoint, Calls(number, strikes[kind]), saving)
            case = f"{way}-FULL-{number}"
            full = Calls(number, refuse(errno.ENOSPC), for_good=True)
            ended[case] = save_in_child(folder / case, checkpoint, full, saving)
        case = f"{way}-LIMIT"
        ended[case] = save_in_child(folder / case, checkpoint, Calls(-1, kill), saving, prepare=limit_file_size)
    print(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), read(Path(sys.argv[2])))
