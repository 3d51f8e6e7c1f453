"""How are the processes of a run started on this machine? By torch's own launcher, in this process.

Nothing is written for it and nothing is sent but words: each process is this Python with `-m peakmark` and the words.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

_PASSED_ON = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
_TO_END_S = 600
"""How long the others may take to end after one has failed: a save in flight is waited for."""


def launch(words: Sequence[str], processes: int, environment: dict[str, str], *, quiet: bool = False) -> int:
    """Runs `python -m peakmark` with these words in several processes; gives the exit code of the one that leads.

    Signals are passed on to all of them. Below 0 the code is the number of the signal that killed it. `quiet`: nothing
    that they print is shown but errors.
    """
    # Every command imports this file, and the launcher takes a second to load.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="peakmark-launch-") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs, redirects=Std.OUT if quiet else Std.NONE),
            shutdown_timeout=_TO_END_S,
        )
        ended: list[Any] = []

        def carry_out() -> None:
            try:
                elastic_launch(config, sys.executable)("-m", "peakmark", *words)
                ended.append(0)
            except ChildFailedError as error:
                first = error.failures.get(0) or error.get_first_failure()[1]
                ended.append(first.exitcode)
            except BaseException as error:
                ended.append(error)
                raise

        # In a thread of its own it leaves signals alone, which this one passes on: by itself it would give a run half
        # a minute to save.
        agent = threading.Thread(target=carry_out, name="peakmark-launcher", daemon=True)
        with _in(environment), _quiet(), _signals_passed_on():
            agent.start()
            while agent.is_alive():
                agent.join(timeout=0.2)
    (result,) = ended or [1]
    if isinstance(result, BaseException):
        raise result
    return int(result)


@contextlib.contextmanager
def _signals_passed_on() -> Iterator[None]:
    """Ctrl-C reaches only this process: the others are in sessions of their own."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                child.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the launcher says of a failure is for its own programmers; the processes say what happened."""
    logger = logging.getLogger("torch.distributed.elastic")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _in(environment: dict[str, str]) -> Iterator[None]:
    """Its children inherit the environment of this process, and so that of the caller's package."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    # torch's own warnings, of connections that end, are no help to anybody who reads what the processes say.
    added = {"PYTHONPATH": os.pathsep.join(paths), "TORCH_CPP_LOG_LEVEL": "ERROR", **environment}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
