"""Is a container's limit respected, so that a cache can't get the process killed?"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from peakmark.machine.cache_folder import cache_folder
from peakmark.machine.memory import available_bytes

MIB = 1 << 20


def _group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_this_machine():
    assert 0 < available_bytes() <= psutil.virtual_memory().total


def test_no_groups_means_what_is_free(tmp_path: Path):
    free = available_bytes(tmp_path, tmp_path / "none")
    assert abs(free - psutil.virtual_memory().available) < 512 * MIB


def test_version_two_with_pages_that_can_be_given_back(tmp_path: Path):
    _group(
        tmp_path,
        memory__max=f"{50 * MIB}\n",
        memory__current=f"{40 * MIB}\n",
        memory__stat=f"anon 1\ninactive_file {20 * MIB}\n",
    )
    assert available_bytes(tmp_path, tmp_path / "none") == 30 * MIB


def test_a_group_above_may_be_tighter(tmp_path: Path):
    _group(tmp_path / "a", memory__max=f"{9 * MIB}", memory__current=f"{4 * MIB}")
    _group(tmp_path / "a/b", memory__max="max", memory__current=f"{1 * MIB}")
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    assert available_bytes(tmp_path, own) == 5 * MIB


def test_version_one(tmp_path: Path):
    _group(tmp_path / "memory/x", memory__limit_in_bytes=f"{8 * MIB}", memory__usage_in_bytes=f"{20 * MIB}")
    own = tmp_path / "own"
    own.write_text("4:cpu,cpuacct:/x\n3:memory:/x\n")
    assert available_bytes(tmp_path, own) == 0


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PEAKMARK_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache/peakmark"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/peakmark")
    monkeypatch.setenv("PEAKMARK_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"


FAULTS = """
import resource
from peakmark.machine.memory import keep_freed_memory
keep_freed_memory()
for _ in range(4):
    bytearray(b"1" * (16 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    bytearray(b"1" * (16 << 20))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc is asked to keep freed memory")
def test_freed_memory_is_used_again_unless_the_user_says_otherwise():
    """By how often the system was asked for a page: two arrays of 16 MiB have 8,192."""

    def faults(**environment: str) -> int:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
        command = [sys.executable, "-c", FAULTS]
        done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults() < 8192
    assert faults(MALLOC_MMAP_THRESHOLD_="65536") > 50 * 4096
