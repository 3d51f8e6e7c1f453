"""How does a test get a process of its own without the two seconds in which each imports torch?

One process imports what the commands need, computes nothing, and is forked for each that is asked for: what runs there
has its own memory, signals, files and end, as if it had been started anew. What is settled before that is not: the
order of sets of words, what a start loads, what a library reads while it is imported. Tests of that start a process
themselves.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

COMMAND = "peakmark"
_MOST_BYTES = 2**17
_Files = tuple[IO[str], IO[str], IO[str]]


class WarmProcess:
    """One that was asked for."""

    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers
        self.pid = int(answers.readline())

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, timeout_s: float) -> int:
        """Waits for its end; gives its exit code, negative where it was a signal. One that takes longer is killed."""
        with self._answers:
            if not select.select([self._answers], [], [], timeout_s)[0]:
                self.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired(COMMAND, timeout_s)
            return int(self._answers.readline())


class WarmProcesses:
    """Starts processes by forking one that has imported everything."""

    def __init__(self) -> None:
        self._calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._keeper = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            # As every test of the command line has it: rich and typer read it while they are imported.
            env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        theirs.close()

    def start(
        self, program: str | Path, *words: str, cwd: Path, environment: Mapping[str, str], files: _Files
    ) -> WarmProcess:
        """Starts the command line (`COMMAND`) or a program by its file; `files` are its standard ones."""
        answers, to_me = os.pipe()
        request = {"program": str(program), "words": words, "cwd": str(cwd), "environment": dict(environment)}
        socket.send_fds(self._calls, [json.dumps(request).encode()], [*(file.fileno() for file in files), to_me])
        os.close(to_me)
        return WarmProcess(open(answers))

    def run(
        self, *words: str, cwd: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Runs the command line to its end, as `subprocess.run` does with `capture_output` and `text`."""
        with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
            process = self.start(COMMAND, *words, cwd=cwd, environment=environment, files=(nothing, out, error))
            code = process.end(timeout_s)
            out.seek(0)
            error.seek(0)
            return subprocess.CompletedProcess([COMMAND, *words], code, out.read(), error.read())

    def close(self) -> None:
        self._calls.close()
        self._keeper.wait()


# --- in the process that is forked --------------------------------------------------------------------------------


def _import_all() -> None:
    """What any command needs. Not what computes: the threads that this would start don't survive a fork."""
    for room in ("cli", "api"):
        package = importlib.import_module(f"peakmark.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def _keep(calls: socket.socket) -> dict[str, Any]:
    """Forks for each request; gives the request in the process that is to carry it out."""
    watchers = 0
    while True:
        message, files, _, _ = socket.recv_fds(calls, _MOST_BYTES, 4)
        if not message:
            for _ in range(watchers):
                os.wait()
            sys.exit()
        watchers += 1
        if os.fork() == 0:
            calls.close()
            return _watch(json.loads(message), *files)
        for file in files:
            os.close(file)


def _watch(request: dict[str, Any], stdin: int, stdout: int, stderr: int, answers: int) -> dict[str, Any]:
    """Starts the process that was asked for and waits for its end: a child's end is told to its parent alone."""
    if (child := os.fork()) == 0:
        os.close(answers)
        for standard, file in enumerate((stdin, stdout, stderr)):
            os.dup2(file, standard)
            os.close(file)
        return request
    for file in (stdin, stdout, stderr):
        os.close(file)  # or who reads them would wait for this process as well
    os.write(answers, b"%d\n" % child)
    _, status = os.waitpid(child, 0)
    os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    program = request["program"]
    sys.argv = [program, *request["words"]]
    if program == COMMAND:
        runpy.run_module(COMMAND, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    _import_all()
    _become(_keep(socket.socket(fileno=int(sys.argv[1]))))
