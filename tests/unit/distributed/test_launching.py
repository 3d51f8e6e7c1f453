"""Whom do signals reach while processes are launched? Those of the launch, also if they come before there are any."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

from peakmark.distributed.launching import _processes_of, _signals_passed_on

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


def started(run_id: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(SLEEPS, env={**os.environ, "TORCHELASTIC_RUN_ID": run_id})
    while "-c" not in psutil.Process(child.pid).cmdline():
        time.sleep(0.01)
    return child


def test_a_signal_reaches_the_processes_of_the_launch_and_no_other_child():
    other = started("of somebody else")
    own = None
    try:
        with _signals_passed_on("this launch") as pass_on:
            signal.raise_signal(signal.SIGTERM)  # there is none yet
            pass_on()
            own = started("this launch")
            assert [child.pid for child in _processes_of("this launch")] == [own.pid]
            pass_on()
            assert own.wait(10) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        for child in filter(None, (other, own)):
            child.kill()
            child.wait()
