"""How many processors may this process use, and how many threads does a new run compute with?

A machine has so many, but a scheduler may pin the process to some of them, a container may grant it a share of their
time, and the user may have said so for all programs with OMP_NUM_THREADS. More threads than that wait for each other.
"""

from __future__ import annotations

import os
from pathlib import Path

from peakmark.machine.control_groups import OWN_GROUPS, ROOT, groups, number_in

_USERS_WORD = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT")


def granted_cores(cgroup_root: Path = ROOT, own_groups: Path = OWN_GROUPS) -> int:
    """The processors that this process may use, at least 1.

    Of a share of time in a control group the whole processors count: with one thread more, all of them are stopped for
    a part of each period, and every parallel loop waits for that.
    """
    pinned = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [_share(group) for group in groups("cpu", cgroup_root, own_groups)]
    return max(1, int(min([pinned, *(share for share in shares if share is not None)])))


def default_threads(processes: int = 1) -> int:
    """The threads of a new run where nothing else is wished: the granted processors, or fewer by the user's word.

    Where several processes compute it together on this machine, each gets its share of them.
    """
    words = [_first_number(os.environ[name]) for name in _USERS_WORD if name in os.environ]
    return min([max(1, granted_cores() // processes), *(word for word in words if word)])


def _share(group: Path) -> float | None:
    """How many processors' time a group may take; None where it sets no limit."""
    try:
        # Version 2: "200000 100000" is two of them, "max 100000" all.
        quota, period = (int(word) for word in (group / "cpu.max").read_text().split())
    except (OSError, ValueError):
        quota, period = (number_in(group / f"cpu.cfs_{name}_us") or 0 for name in ("quota", "period"))
    return quota / period if quota > 0 and period > 0 else None


def _first_number(text: str) -> int | None:
    """Of "4" or "4,2" (by depth) the outermost; None for what OpenMP would not understand either."""
    word = text.partition(",")[0].strip()
    return int(word) or None if word.isdecimal() else None
