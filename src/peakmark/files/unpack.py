"""What is in an archive of a stranger, and how does it come out without harm? Plain files inside one folder, bounded.

A zip or a tar can name files outside of the folder, links that lead there, devices, and more bytes than the disk has.
What is no plain file or folder is refused, and sizes are counted as they come out: what a header says is not believed.
"""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from peakmark.errors import DataError
from peakmark.files.new_folder import NewFolder
from peakmark.shown import as_shown

_MOST_ENTRIES = 5_000_000
_MOST_OF_A_FILE = 2 << 30
_SWELLS = 1000
"""Of a file from 16 MiB on: the largest part by which it may be larger than its bytes in a zip. Pictures stay as they
are, and text of labels shrinks to a tenth."""
_FREE_TO_SWELL = 16 << 20
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError
)  # fmt: skip


def unpack(archive: Path, folder: NewFolder, *, most_bytes: int) -> None:
    """Writes what an archive (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz) holds into a new folder.

    Raises DataError, naming the entry, for anything but plain files and folders inside it, and for more than
    `most_bytes`.
    """
    with _told_plainly(archive):
        if zipfile.is_zipfile(archive):
            _unpack(archive, folder, _of_zip(archive), most_bytes)
        elif tarfile.is_tarfile(archive):
            _unpack(archive, folder, _of_tar(archive), most_bytes)
        else:
            raise DataError(f"{archive}: this is neither a zip nor a tar; check the address.")


def _unpack(archive: Path, folder: NewFolder, entries: Iterator[tuple[str, IO[bytes], int]], most_bytes: int) -> None:
    seen: set[str] = set()
    total = 0
    for count, (name, stream, stored) in enumerate(entries, start=1):
        safe = _inside(archive, name)
        if safe in seen or count > _MOST_ENTRIES:
            what = "is there twice" if safe in seen else "is one of too many"
            raise DataError(f"{archive}: its entry {as_shown(name)[:200]} {what}; nothing was unpacked.")
        seen.add(safe)
        most = min(_MOST_OF_A_FILE, most_bytes - total, max(_FREE_TO_SWELL, stored * _SWELLS))
        content = stream.read(most + 1)
        if len(content) > most:
            raise DataError(
                f"{archive}: its entry {as_shown(name)[:200]} swells to more than is sensible; nothing was unpacked."
            )
        total += len(content)
        folder.write(safe, content)


def _of_zip(archive: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                _inside(archive, info.filename)
                continue
            if kind not in (0, stat.S_IFREG):
                raise DataError(f"{archive}: its entry {as_shown(info.filename)[:200]} is a link or a device.")
            with opened.open(info) as stream:
                yield info.filename, stream, info.compress_size


def _of_tar(archive: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    size_bytes = archive.stat().st_size
    with tarfile.open(archive, "r|*") as opened:
        for member in opened:
            if member.isdir():
                _inside(archive, member.name)
                continue
            stream = opened.extractfile(member) if member.isreg() else None
            if stream is None or member.issparse():
                raise DataError(f"{archive}: its entry {as_shown(member.name)[:200]} is a link or a device.")
            yield member.name, stream, size_bytes


def _inside(archive: Path, name: str) -> str:
    plain = os.path.normpath(name.replace("\\", "/"))
    parts = plain.split("/")
    bad = plain.startswith("/") or ".." in parts or "\0" in name or ":" in parts[0] or not plain
    if bad or any(len(os.fsencode(part)) > 255 for part in parts):
        raise DataError(f"{archive}: its entry {as_shown(name)[:200]} leads out of the folder; nothing was unpacked.")
    return plain


@contextmanager
def _told_plainly(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"{archive}: it is damaged or encrypted ({error}); fetch it again.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{archive}: it can't be read ({error}); fetch it again.") from error
