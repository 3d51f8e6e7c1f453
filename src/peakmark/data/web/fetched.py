"""How do the archives that a data.yaml names become a folder of data? Asked for, fetched, unpacked, once.

They lie in the user's cache, under a name that follows from the addresses: another address is another folder, and what
was unpacked whole is not fetched again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from peakmark.data.source.downloads import Download
from peakmark.errors import DataError, MachineError
from peakmark.files import durable
from peakmark.files.download import check_address, fetch, in_kilobytes
from peakmark.files.new_folder import NewFolder
from peakmark.files.stores import sha256_of_file
from peakmark.files.unpack import unpack
from peakmark.machine.cache_folder import cache_folder
from peakmark.machine.consent import agreed_at_terminal
from peakmark.shown import as_shown

_MOST_BYTES = 100 << 30
"""Of an archive, and of what is in it."""

Watch = Callable[[str], Callable[[int, int], None]]
"""Told what is done next, gives who is told how far it is."""


def fetched(downloads: Sequence[Download], *, name: str, allowed: bool | None, watch: Watch | None = None) -> Path:
    """Gives the folder of the data that these archives hold; fetches them if it isn't there.

    `name`: what the user wrote for them. `allowed`: False asks at the terminal, None asks nobody. Raises DataError
    where the user didn't agree, with what to do, and MachineError.
    """
    addresses = ", ".join(as_shown(each.url)[:200] for each in downloads)
    for each in downloads:
        check_address(each.url)
    folder = cache_folder() / "datasets" / _folder_name(downloads)
    if folder.is_dir():
        return _inner(folder)
    if allowed is None:
        raise DataError(
            f"data={name} is not on this machine; once all else is right, download=True fetches it from {addresses}."
        )
    question = f"data={name} is not on this machine. Fetch {addresses} to {folder}?"
    if not allowed and not agreed_at_terminal(question):
        raise DataError(
            f"data={name} is not on this machine, and nothing is fetched unasked: write download=True to fetch"
            f" {addresses}, or fetch and unpack it yourself and give the path of its data.yaml."
        )
    archives = folder.with_name(f"{folder.name}-archives")
    with NewFolder(folder) as new:
        for number, each in enumerate(downloads):
            archive = archives / f"{number}-{_file_name(each.url)}"
            _bring(each, archive, name, watch)
            try:
                unpack(archive, new, most_bytes=_MOST_BYTES)
            except DataError:
                # The next call fetches it anew, rather than stumble over it for ever.
                durable.remove(archive)
                raise
        new.publish()
    for archive in archives.iterdir():
        durable.remove(archive)
    archives.rmdir()
    return _inner(folder)


def _bring(download: Download, archive: Path, name: str, watch: Watch | None) -> None:
    """Fetches an archive, unless somebody has put it there, as the error of a fetch that fails says."""
    if archive.is_file() and download.sha256 in (None, sha256_of_file(archive)):
        return
    tell = (lambda done, of: None) if watch is None else watch(f"fetching {_file_name(download.url)} (kB)")
    try:
        fetch(download.url, archive, sha256=download.sha256, most_bytes=_MOST_BYTES, progress=in_kilobytes(tell))
    except MachineError as error:
        raise MachineError(
            f"data={name}: {error} Where this machine has no network: fetch it on another one, unpack it, and give the"
            " path of its data.yaml."
        ) from error


def _inner(folder: Path) -> Path:
    """An archive mostly holds one folder, which holds the data."""
    inside = [path for path in folder.iterdir() if path.name != "__MACOSX"]
    return (
        inside[0] if len(inside) == 1 and inside[0].is_dir() and inside[0].name not in ("images", "labels") else folder
    )


def _folder_name(downloads: Sequence[Download]) -> str:
    text = "\n".join(f"{each.url} {each.sha256 or ''}" for each in downloads)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{_file_name(downloads[0].url).split('.')[0]}-{digest}"


def _file_name(url: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(urlsplit(url).path).name)[-80:].lstrip(".")
    return name or "data"
