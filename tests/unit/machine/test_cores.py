"""Threads follow what a scheduler, a container and the user grant, not what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peakmark.machine import cores
from peakmark.machine.cores import default_threads, granted_cores


@pytest.fixture(autouse=True)
def _eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        monkeypatch.delenv(name, raising=False)


def _groups(tmp_path: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Files under a root, and what the process says of its groups."""
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    return tmp_path / "cgroup", tmp_path / "own"


def test_those_it_is_pinned_to(tmp_path: Path):
    assert granted_cores(tmp_path, tmp_path / "none") == 8


@pytest.mark.parametrize(
    ("text", "granted"),
    [("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("max 100000", 8)],
)
def test_a_containers_share_in_version_two(tmp_path: Path, text: str, granted: int):
    assert granted_cores(*_groups(tmp_path, "0::/\n", {"cpu.max": text})) == granted


def test_a_group_above_may_be_tighter(tmp_path: Path):
    files = {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}
    assert granted_cores(*_groups(tmp_path, "0::/a/b\n", files)) == 3


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("group", ["", "x/y"])
@pytest.mark.parametrize(("quota", "granted"), [("200000", 2), ("-1", 8)])
def test_a_containers_share_in_version_one(tmp_path: Path, mount: str, group: str, quota: str, granted: int):
    files = {f"{mount}/{group}/cpu.cfs_quota_us": quota, f"{mount}/{group}/cpu.cfs_period_us": "100000"}
    own = f"5:memory:/elsewhere\n4:cpu,cpuacct:/{group}\n"
    assert granted_cores(*_groups(tmp_path, own, files)) == granted


def test_a_limit_of_another_group_is_none(tmp_path: Path):
    files = {"cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "100000"}
    assert granted_cores(*_groups(tmp_path, "4:memory:/x\n", files)) == 8


@pytest.mark.parametrize(
    ("name", "text", "threads"),
    [
        ("OMP_NUM_THREADS", "3", 3),
        ("OMP_NUM_THREADS", "2,4", 2),
        ("OMP_NUM_THREADS", "64", 8),
        ("OMP_NUM_THREADS", "0", 8),
        ("OMP_NUM_THREADS", "many", 8),
        ("OMP_THREAD_LIMIT", "5", 5),
    ],
)
def test_the_users_word_makes_them_fewer(monkeypatch: pytest.MonkeyPatch, name: str, text: str, threads: int):
    monkeypatch.setattr(cores, "granted_cores", lambda: 8)
    monkeypatch.setenv(name, text)
    assert default_threads() == threads
