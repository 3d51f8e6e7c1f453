"""How much memory may this process still take, and what becomes of memory that it has done with?

What may be taken is what the machine has free, or less where a container sets a limit. The answer only bounds caches.
It must decide nothing that a result depends on: free memory differs from start to start.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
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
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, -1)  # never
        mallopt(_MMAP_MAX, 0)


def available_bytes(cgroup_root: Path = _CGROUP_ROOT, own_groups: Path = _OWN_GROUPS) -> int:
    """Gives the bytes that can be taken without swapping, respecting control groups (versions 1 and 2)."""
    free_bytes = int(psutil.virtual_memory().available)
    for group in _groups(cgroup_root, own_groups):
        free_bytes = min(free_bytes, _free_in(group, free_bytes))
    return max(0, free_bytes)


def available_bytes_on(device: str) -> int:
    """Gives the bytes that can be taken on a device: `cpu`, or a GPU as torch names it."""
    return torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else available_bytes()


def _groups(root: Path, own_groups: Path) -> Iterator[Path]:
    """The folders of this process's groups and of all groups above them: each of them may set a limit."""
    yield root
    yield root / "memory"
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        # "0::/path" is version 2, "9:memory:/path" version 1; the other controllers don't count memory.
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        group = root / controllers / path.lstrip("/")
        while group != root / controllers:
            yield group
            group = group.parent


def _free_in(group: Path, unlimited: int) -> int:
    for limit_name, usage_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, usage = _number(group / limit_name), _number(group / usage_name)
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


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no file or no limit (version 2 writes `max`)."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left; torch has a type of its own only for accelerators."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
