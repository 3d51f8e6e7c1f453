"""What can this system do with its disk? How much room there is, and what only some systems have a call for.

It must not know what the files are.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP}
_CLONE = 0x40049409
"""Linux's FICLONE, which Python 3.11 has no name for: shares the content of two files until one is written to."""
_NO_CLONES = {errno.ENOTSUP, errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EPERM, errno.EBADF}


def bytes_in(folder: Path) -> int:
    """Adds up the files in a folder, one that has several names counted once; 0 where there is no folder.

    On a disk that shares equal content between files they take less than that.
    """
    found = [path.stat() for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in found}.values())


def free_bytes(folder: Path) -> int:
    """What the disk of `folder`, which must exist, has left for us."""
    return shutil.disk_usage(folder).free


def hold(stream: BinaryIO) -> None:
    """Takes an open file for this process alone, until it is closed; raises BlockingIOError where another has it.

    Without fcntl it does nothing: two processes that write one file at once aren't told apart there.
    """
    if fcntl is not None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def share_content(source: BinaryIO, copy: BinaryIO) -> bool:
    """Shares the content of `source` with an empty file until one of them is written to; False where that can't be."""
    if sys.platform != "linux" or fcntl is None:
        return False
    try:
        fcntl.ioctl(copy.fileno(), _CLONE, source.fileno())
    except OSError as error:
        if error.errno not in _NO_CLONES:
            raise
        return False
    return True


def flush_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where a folder can be opened for it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and user-space disks can't flush a folder; the rename is in one move there, too.
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def flush_all() -> None:
    """Brings everything that was written to the disks, where there is one call for it."""
    if hasattr(os, "sync"):
        os.sync()
