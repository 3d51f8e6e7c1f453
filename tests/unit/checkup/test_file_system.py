"""A disk is tried out from another process: a sound one passes, and each fault that is planted is named."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from peakmark.checkup import file_system
from peakmark.checkup.file_system import try_file_system
from peakmark.nouns.checkup import Finding


def looked_at(folder: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in try_file_system(folder)}


def test_this_disk_holds_what_a_run_relies_on(tmp_path: Path):
    found = looked_at(tmp_path)
    assert {name: finding.verdict for name, finding in found.items()} == {"lock": "ok", "rename": "ok"}, found


def test_a_lock_that_does_not_hold_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    @contextmanager
    def granted_to_all(folder: Path) -> Iterator[None]:
        yield

    monkeypatch.setattr(file_system, "RunLock", granted_to_all)
    lock = next(try_file_system(tmp_path))
    assert (lock.name, lock.verdict) == ("lock", "failed")
    assert "two runs could write into one folder" in lock.says
    assert "project=" in lock.advice


def test_a_folder_without_renames_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*paths: object, **rest: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, refused)
    found = looked_at(tmp_path)
    assert found["rename"].verdict == "failed"
    assert "not supported" in found["rename"].says


def test_a_file_that_others_see_half_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def in_place(path: Path, content: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            time.sleep(0.02)
            file.write(content[len(content) // 2 :])

    monkeypatch.setattr(file_system, "write_bytes", in_place)
    monkeypatch.setattr(file_system, "_wrong_with_locks", lambda scratch: "")
    assert "half written" in looked_at(tmp_path)["rename"].says


def test_a_neighbour_that_does_not_answer_is_a_failure_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(scratch: Path) -> str:
        raise subprocess.TimeoutExpired("neighbour", 1)

    monkeypatch.setattr(file_system, "_wrong_with_locks", broken)
    monkeypatch.setattr(file_system, "_wrong_with_renames", lambda scratch: "")
    found = looked_at(tmp_path)
    assert (found["lock"].verdict, found["rename"].verdict) == ("failed", "ok")


def test_the_neighbour_loads_no_torch():
    program = "import sys, peakmark.checkup.neighbour; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
