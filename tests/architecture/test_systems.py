"""Which calls are there on some systems only, and what happens elsewhere? Each has a way around it.

The tests run on Linux: that the program does what it should on macOS and Windows is not shown by this, only that
nothing is asked of them that they don't have.
"""

from __future__ import annotations

import ast
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.architecture.test_floors import FILES, SOURCE, tree_of

from peakmark.files import disk

LACKING_WORDS = {
    "os": """fork forkpty getuid geteuid getgid getegid getgroups setuid setgid setsid setpgid getpgid getpgrp killpg
        nice wait wait3 wait4 waitid WNOHANG sched_getaffinity sched_setaffinity statvfs fstatvfs mkfifo mknod chown
        fchown lchown chroot fchdir O_DIRECTORY O_NOFOLLOW O_CLOEXEC O_SYNC O_DSYNC O_NONBLOCK O_DIRECT O_TMPFILE pread
        pwrite preadv pwritev posix_fadvise posix_fallocate posix_spawn sysconf confstr getloadavg uname sendfile
        openpty ttyname ctermid getxattr setxattr memfd_create eventfd pidfd_open copy_file_range splice
        register_at_fork sync fdatasync lockf""",
    "signal": """SIGKILL SIGUSR1 SIGUSR2 SIGHUP SIGQUIT SIGALRM SIGCHLD SIGPIPE SIGSTOP SIGCONT SIGTSTP alarm setitimer
        pause pthread_kill pthread_sigmask sigwait siginterrupt sigpending""",
    "socket": "AF_UNIX socketpair send_fds recv_fds",
    "select": "poll epoll kqueue",
    "time": "tzset",
    "multiprocessing": "",
}
"""What Windows, or macOS, lacks of the standard library."""
LACKING = {module: frozenset(names.split()) for module, names in LACKING_WORDS.items()}
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "readline"}
PLACES = ("/proc", "/sys/", "/dev/", "/tmp", "/etc", "/var")
WORDS = {"fork", "forkserver", *(name for name in LACKING["signal"] if name.startswith("SIG"))}
MAY_BE_USED = re.compile(
    "|".join([*PLACES, *MODULES, "CDLL", "preexec_fn", "pass_fds", *WORDS, *set().union(*LACKING.values())])
)
"""Most files hold none of these; to parse them takes seconds."""

# Which of them are used, where, and what happens without them.
WAYS_AROUND = {
    ("api/watch.py", "os.nice"): "the page's process keeps its priority",
    ("checkup/machine.py", "/proc/driver/nvidia/version"): "doctor doesn't say the driver's version",
    ("data/cache.py", "os.preadv"): "the threads that read cached images take turns",
    ("data/cache.py", "os.pwrite"): "it is written by seeking, by whoever has the lock",
    ("distributed/launching.py", "SIGUSR1"): "it can't be sent there, and is not passed on",
    ("files/disk.py", "fcntl"): "two processes that write one download at once aren't told apart; no content is shared",
    ("files/disk.py", "os.O_DIRECTORY"): "a name can be lost with the power; the file has what it had before",
    ("files/disk.py", "os.sync"): "files of a converted set can be lost with the power in its first seconds",
    ("loggers/sender.py", "os.nice"): "the sender keeps its priority",
    ("machine/control_groups.py", "/proc/self/cgroup"): "there are no limits to be seen",
    ("machine/control_groups.py", "/sys/fs/cgroup"): "there are no limits to be seen",
    ("machine/cores.py", "os.sched_getaffinity"): "the number of processors counts, whatever the process is pinned to",
    ("machine/devices.py", "/proc/cpuinfo"): "the processor is called processor",
    ("machine/memory.py", "CDLL(None)"): "freed memory is kept or not as the system does by itself",
    ("machine/stopping.py", "SIGUSR1"): "it can't be sent there",
    ("release/backup.py", "/dev/fd/"): "best.pt is read by its name",
}
OTHER_MEANINGS = {("data/web/known_sets.py", "fork")}
"""COCO has forks, to eat with."""


def used(tree: ast.AST) -> Iterator[str]:
    """What a file uses that some systems lack: attributes, modules, places, names of signals."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in LACKING.get(module, ()):
                yield f"{module}.{name}"
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name in MODULES)
            case ast.ImportFrom(module=module, names=names):
                yield from [module] if module in MODULES else []
                lacking = LACKING.get(module or "", ())
                yield from (f"{module}.{alias.name}" for alias in names if alias.name in lacking)
            case ast.Constant(value=str(text)) if text.startswith(PLACES) or text in WORDS:
                yield text
            case ast.Call(func=ast.Attribute(attr="CDLL"), args=[ast.Constant(value=None)]):
                yield "CDLL(None)"
            case ast.keyword(arg="preexec_fn" | "pass_fds" as name):
                yield name


def test_every_call_that_some_systems_lack_has_a_way_around_it() -> None:
    files = [path for path in FILES if MAY_BE_USED.search(path.read_text(encoding="utf-8"))]
    found = {(path.relative_to(SOURCE).as_posix(), name) for path in files for name in used(tree_of(path))}
    found -= OTHER_MEANINGS
    assert found - WAYS_AROUND.keys() == set(), "give it a way around, and say here which"
    assert WAYS_AROUND.keys() - found == set(), "no longer used: take it out"


@pytest.mark.parametrize(
    "code",
    ["import fcntl", "from resource import getrusage", "os.fork()", "from os import fork", 'open("/proc/self/maps")',
     "ctypes.CDLL(None)", "signal.SIGUSR1", 'getattr(signal, "SIGUSR1")', "Popen(x, preexec_fn=f)"],
)  # fmt: skip
def test_such_calls_are_seen(code: str) -> None:
    assert list(used(ast.parse(code)))


@pytest.mark.parametrize("code", ["os.replace(a, b)", "import os", "signal.SIGINT", "ctypes.CDLL(name)", '"a/proc"'])
def test_others_are_not(code: str) -> None:
    assert not list(used(ast.parse(code)))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without them, as far as Python shows it."""
    monkeypatch.setattr(disk, "fcntl", None)
    for name in ("O_DIRECTORY", "sync", "preadv", "pwrite", "nice", "sched_getaffinity", "fork"):
        monkeypatch.delattr(os, name)
    monkeypatch.delattr(signal, "SIGUSR1")
    monkeypatch.setattr("peakmark.machine.stopping._SIGNALS", (signal.SIGINT, signal.SIGTERM))
    read = Path.read_text

    def read_text(path: Path, *words: Any, **named: Any) -> str:
        if str(path).startswith(PLACES[:3]):
            raise FileNotFoundError(path)
        return read(path, *words, **named)

    monkeypatch.setattr(Path, "read_text", read_text)


def test_a_run_without_them_is_the_same_run(train, request):
    settings: dict[str, Any] = {"cache": "disk", "epochs": 1, "threads": 1}
    with_them = train(**settings).summary["digests"]
    request.getfixturevalue("elsewhere")
    assert not hasattr(os, "preadv")
    without = train(**settings)
    assert without.outcome == "finished"
    assert without.summary["digests"] == with_them
