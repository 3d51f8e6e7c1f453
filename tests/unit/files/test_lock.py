"""The run lock: one holder, who is named, and gone with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from peakmark.errors import MachineError
from peakmark.files.lock import RunLock, is_held

HOLD = """
import sys, time
from pathlib import Path
from peakmark.files.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold_in_another_process(folder: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_process_is_refused_and_a_crash_leaves_nothing_behind(tmp_path):
    holder = hold_in_another_process(tmp_path)
    try:
        sentence = rf"in use by process {holder.pid} on .*choose another name"
        with pytest.raises(MachineError, match=sentence), RunLock(tmp_path):
            pass
        # Being refused must not wipe the name of who holds it.
        with pytest.raises(MachineError, match=f"process {holder.pid}"), RunLock(tmp_path):
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    with RunLock(tmp_path):
        pass


def test_the_same_process_is_refused_as_well_and_may_come_again(tmp_path):
    with RunLock(tmp_path):
        with pytest.raises(MachineError, match=f"process {os.getpid()}"), RunLock(tmp_path):
            pass
        with pytest.raises(MachineError), RunLock(tmp_path):
            pass
    with RunLock(tmp_path):
        pass


def test_whether_a_folder_is_held_can_be_asked_without_holding_it(tmp_path):
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == [], "asking writes nothing"
    holder = hold_in_another_process(tmp_path)
    try:
        assert is_held(tmp_path)
        with pytest.raises(MachineError, match=f"process {holder.pid}"), RunLock(tmp_path):
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    assert not is_held(tmp_path), "the lock goes with its process"
    with RunLock(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_an_error_inside_lets_go(tmp_path):
    with pytest.raises(ValueError, match="inside"), RunLock(tmp_path):
        raise ValueError("inside")
    started = time.monotonic()
    with RunLock(tmp_path):
        pass
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("fails", [True, False])
def test_letting_go_neither_hides_an_error_nor_makes_one(tmp_path, monkeypatch, fails):
    def refuse(path: Path) -> None:
        raise MachineError(f"Can't write {path}: No space left on device.")

    monkeypatch.setattr("peakmark.files.durable.remove", refuse)
    with pytest.raises(ValueError, match="inside") if fails else nullcontext(), RunLock(tmp_path):
        if fails:
            raise ValueError("inside")
    monkeypatch.undo()
    with RunLock(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="Can't lock"), RunLock(tmp_path / "file"):
        pass
