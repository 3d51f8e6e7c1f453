"""Which control groups is this process in? A container or a scheduler sets its limits there (versions 1 and 2).

It must not know what is limited.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def groups(controller: str, root: Path = ROOT, own_groups: Path = OWN_GROUPS) -> Iterator[Path]:
    """Gives the folders of the process's groups and of all groups above them: each of them may set a limit.

    `controller` is memory or cpu; the others' groups of version 1 are left out. A folder may not be there.
    """
    yield root
    yield root / controller  # where a container sees its own group
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        # "0::/path" is version 2, "9:memory:/path" or "4:cpu,cpuacct:/path" version 1.
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 1 mounts what is joined under its whole name, and mostly under the single ones as well.
        for mount in dict.fromkeys((controllers, controller if controllers else "")):
            group = root / mount / path.lstrip("/")
            while group != root / mount:
                yield group
                group = group.parent
            yield group


def number_in(path: Path) -> int | None:
    """The number in a file; None where there is no file or no limit (version 2 writes `max`)."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
