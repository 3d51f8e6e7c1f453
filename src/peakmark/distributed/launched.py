"""Was this process started as one of several? What a launcher such as torchrun said in the environment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections.abc import Iterator

import psutil

from peakmark.distributed.process_group import ProcessGroup
from peakmark.distributed.processes import ALONE, Processes
from peakmark.errors import MachineError

_here: Processes = ALONE
_has_led = False


def is_one_of_several() -> bool:
    """Whether a launcher started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def local_rank_here() -> int:
    """The number of this process among those on this machine: which of its GPUs is its own."""
    return int(os.environ.get("LOCAL_RANK", "0")) if is_one_of_several() else 0


def processes_here() -> Processes:
    """The processes that compute with this one, while they are `joined`."""
    return _here


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Joins the processes that were started with this one; alone where there are none, or within a block like it.

    An error that leaves the block is told to those that would wait for this process. Raises MachineError where the
    others have gone with a run that is over.
    """
    global _here, _has_led
    if not is_one_of_several() or _here is not ALONE:
        yield _here
        return
    if _has_led:
        raise MachineError(
            "The other processes of this program ended with its first training. Give each training a torchrun of its"
            " own, or let each start its processes itself: device=0,1 or processes=2 in a program without torchrun."
        )
    group = ProcessGroup(attempts_before())
    _here, _has_led = group, True
    try:
        yield group
    except SystemExit:
        raise  # a process that follows leaves so
    except BaseException as error:
        group.last_words(error)
        raise
    finally:
        _here = ALONE
        group.leave()


def attempts_before() -> int:
    """How often the launcher started these processes before, and one of them died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def name_of_launch() -> str | None:
    """Gives a name that this process shares with those that the same launcher started before it; None without one."""
    run_id = os.environ.get("TORCHELASTIC_RUN_ID")
    if run_id is None:
        return None
    agent = psutil.Process(os.getppid())
    # The user may give any name, and the default is always the same: two launches beside each other are told apart.
    launch = f"{run_id} {platform.node()} {agent.pid} {agent.create_time()}"
    return hashlib.sha256(launch.encode()).hexdigest()[:32]
