"""How much memory may this process still take, and what becomes of memory that it has done with?

What may be taken is what the machine has free, or less where a container sets a limit. The answer only bounds caches,
and is what a new run's batch is chosen by where it is to be; that is settled then, and stored. It must decide nothing
else that a result depends on: free memory differs from start to start.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import psutil
import torch

from peakmark.machine.control_groups import OWN_GROUPS, ROOT, groups, number_in

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""How glibc's `mallopt` numbers its parameters (malloc.h)."""
_USERS_WORD = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Lets the process keep freed memory for its next use, unless the user says otherwise; for a training.

    Each step takes and frees the same arrays of some megabytes. By default glibc gives them back to the system, which
    fills their pages with zeros again before the next step: up to a third of a forward pass (docs/benchmarks.md). The
    peak stays what it was. Does nothing where there is no glibc.
    """
    if any(name in os.environ for name in _USERS_WORD):
        return
    # Windows has no library of the process itself, and the call would raise there.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, -1)  # never
        mallopt(_MMAP_MAX, 0)


def available_bytes(cgroup_root: Path = ROOT, own_groups: Path = OWN_GROUPS) -> int:
    """Gives the bytes that can be taken without swapping, respecting control groups (versions 1 and 2)."""
    free_bytes = int(psutil.virtual_memory().available)
    for group in groups("memory", cgroup_root, own_groups):
        free_bytes = min(free_bytes, _free_in(group, free_bytes))
    return max(0, free_bytes)


def available_bytes_on(device: str) -> int:
    """Gives the bytes that can be taken on a device: `cpu`, or a GPU as torch names it."""
    return torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else available_bytes()


def _free_in(group: Path, unlimited: int) -> int:
    for limit_name, usage_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, usage = number_in(group / limit_name), number_in(group / usage_name)
        if limit is not None and usage is not None:
            # Pages of files that were read count as used, but the kernel gives them back when asked for memory.
            return limit - max(0, usage - _reclaimable_bytes(group))
    return unlimited


def _reclaimable_bytes(group: Path) -> int:
    try:
        pairs = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(pairs.get("total_inactive_file", pairs.get("inactive_file", "0")))
    except (OSError, ValueError):
        return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left; torch has a type of its own only for accelerators."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
