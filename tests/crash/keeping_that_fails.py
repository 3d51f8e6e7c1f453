"""Copies and releases a model again and again, each time failing at another call, and prints how it ended.

A case is named <what is done>-<where to>-<kind of failure>-<number of the call>. On a disk the calls are the system's;
in another store they are those of its driver, for which a folder stands in that is only reached through fsspec.

Run by `test_keeping.py` as a program of its own: it kills children of itself, which is safe only without other threads.
Usage: keeping_that_fails.py FOLDER. FOLDER/run holds a run; FOLDER/old a best.pt from before it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from tests.crash.saves_that_fail import BROKE, KILLED, REFUSED, Calls, kill, refuse, struck

from peakmark.errors import PeakmarkError
from peakmark.files import stores
from peakmark.files.stores import Store, open_store
from peakmark.record.folder import RunFolder
from peakmark.release.copying import copy_best
from peakmark.release.manifest import Manifest
from peakmark.release.promotion import Wish, candidate_of, promote_to

OLD = Manifest("run", "0123456789ab", "best.pt", epoch=1, segment=0, sha256="", size_bytes=0)
NEW = Manifest("run", "0123456789ab", "best.pt", epoch=2, segment=0, sha256="", size_bytes=0)
WISH = Wish("parts", version=None, license=None, whole=True, unfinished=False)
OF_A_DRIVER = ("open", "mv", "pipe_file", "cat_file", "ls", "makedirs")


def back_up(store: Store, run: RunFolder) -> None:
    with run.best.open("rb") as source:
        copy_best(store, NEW, source)


def promote(store: Store, run: RunFolder) -> None:
    promote_to(store, candidate_of(run, unfinished=False), WISH)


DEEDS: dict[str, Callable[[Store, RunFolder], None]] = {"BACKUP": back_up, "PROMOTE": promote}


def other_store(folder: Path, calls: Calls) -> Store:
    """A store that is only reached through a driver, whose every call may fail."""
    files = LocalFileSystem(skip_instance_cache=True)
    for name in OF_A_DRIVER:
        setattr(files, name, _watched(name, getattr(files, name), calls))
    return stores._Remote(files, str(folder), f"other://{folder}", makes_folders=True)


def _watched(name: str, call: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    def watched(*arguments: Any, **named: Any) -> Any:
        def half() -> None:
            if name == "open" and arguments[1] == "wb":
                with call(*arguments, **named) as stream:
                    stream.write(b"the half of it")

        calls._before(name, half)
        return call(*arguments, **named)

    return watched


def do_in_child(deed: str, where: str, folder: Path, calls: Calls) -> str:
    """Forks, does it in the child, and says how that ended."""
    run = RunFolder(folder.parent / "run")
    shutil.copytree(folder.parent / f"old-{deed}", folder / "place")
    if os.fork() == 0:
        code = BROKE
        try:
            if where == "DISK":
                store = open_store(str(folder / "place"))
                calls.install()
            else:
                store = other_store(folder / "place", calls)
            DEEDS[deed](store, run)
            code = 0
        except PeakmarkError as error:
            (folder / "said").write_text(str(error))
            code = REFUSED
        finally:
            if code == BROKE:
                traceback.print_exc()
            if code == 0:
                (folder / "calls").write_text("\n".join(calls.log))
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.wait()[1])
    return {0: "done", KILLED: "killed", REFUSED: "refused"}.get(code, f"broke ({code})")


def main(folder: Path) -> None:
    ended = {}
    run = RunFolder(folder / "run")
    with (folder / "old").open("rb") as source:
        copy_best(open_store(str(folder / "old-BACKUP")), OLD, source)
    promote(open_store(str(folder / "old-PROMOTE")), run)
    for deed in DEEDS:
        for where in ("DISK", "OTHER"):
            case = f"{deed}-{where}-UNHARMED-0"
            ended[case] = do_in_child(deed, where, folder / case, Calls(-1, kill))
            for number in struck((folder / case / "calls").read_text().splitlines()):
                for kind, strike in {"KILL": kill, "FULL": refuse(errno.ENOSPC)}.items():
                    case = f"{deed}-{where}-{kind}-{number}"
                    calls = Calls(number, strike, for_good=kind == "FULL")
                    ended[case] = do_in_child(deed, where, folder / case, calls)
    print(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
