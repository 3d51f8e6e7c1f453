"""How much room do files take on the disk, and how much is left? It must not know what the files are."""

from __future__ import annotations

import shutil
from pathlib import Path


def bytes_in(folder: Path) -> int:
    """Adds up the files in a folder, one that has several names counted once; 0 where there is no folder.

    On a disk that shares equal content between files they take less than that.
    """
    found = [path.stat() for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in found}.values())


def free_bytes(folder: Path) -> int:
    """What the disk of `folder`, which must exist, has left for us."""
    return shutil.disk_usage(folder).free
