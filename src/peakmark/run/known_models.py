"""Which weights do people know by name, whose are they, and where would they come from? A table, and a cache of ours.

Nothing is fetched unless the user says so: the files are under their makers' licence, which is told first. What was
fetched lies in the cache folder with the digest that it had then; a second fetch must bring the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from peakmark.errors import MachineError, ModelFileError
from peakmark.files.download import fetch
from peakmark.files.durable import write_text
from peakmark.files.stores import sha256_of_file
from peakmark.machine.cache_folder import cache_folder

_MOST_BYTES = 300_000_000


@dataclass(frozen=True, slots=True)
class KnownModel:
    """Weights that another program publishes."""

    name: str
    address: str
    program: str
    license: str
    sha256: str | None = None
    """As its publisher names it; None where none is published that we could hold it against."""

    @property
    def words(self) -> str:
        return f"{self.name} is weights of {self.program}, under {self.license}, published at {self.address}"


_RELEASE = "https://github.com/ultralytics/assets/releases/download/v8.3.0"
KNOWN_MODELS = {
    name: KnownModel(name, f"{_RELEASE}/{name}", "Ultralytics", "AGPL-3.0")
    for name in (f"yolov8{scale}.pt" for scale in "nsmlx")
}


def in_cache(name: str) -> Path | None:
    """Where a known model lies that was fetched before; None where it wasn't. Raises ModelFileError if it changed."""
    path = _place(name)
    if name not in KNOWN_MODELS or not path.is_file():
        return None
    stored = _stored_digest(path)
    if stored is not None and sha256_of_file(path) != stored:
        raise ModelFileError(
            f"{path}, fetched for model={name}, is no longer what it was (its SHA-256 was {stored}). Remove it, and"
            " fetch it again."
        )
    return path


def fetch_known_model(
    name: str,
    tell: Callable[[str], object],
    sha256: str | None = None,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """Fetches a known model into the cache, unless it lies there, and gives its path; the user has said so.

    `sha256`: what it must have, where the user knows. `progress`: told the bytes there, and of how many. Raises
    MachineError, and ModelFileError where it is another file than was fetched before, or than `sha256` says.
    """
    known = KNOWN_MODELS[name]
    there = in_cache(name)
    wanted = sha256 or known.sha256
    if there is not None:
        found = sha256_of_file(there)
        if wanted is not None and found != wanted.lower():
            raise ModelFileError(f"{there}: its SHA-256 is {found}, not {wanted}. Remove it to fetch it again.")
        tell(f"{name} was fetched before: {there} (sha256 {found}).")
        return there
    path = _place(name)
    # The record outlives the file: a second fetch must bring the same.
    before = _stored_digest(path)
    tell(f"{known.words}. Fetching it to {path}, as you said.")
    try:
        found = fetch(known.address, path, sha256=wanted or before, most_bytes=_MOST_BYTES, progress=progress)
    except MachineError as error:
        raise MachineError(f"model={name}: {error}") from error
    record = {"address": known.address, "sha256": found, "fetched_at": datetime.now(UTC).isoformat(timespec="seconds")}
    write_text(_record(path), json.dumps(record, indent=2) + "\n")
    held = (
        "as it should be" if wanted else "as before" if before else "recorded; nobody has named one to hold it against"
    )
    tell(f"Fetched {name}: sha256 {found} ({held}).")
    return path


def how_to_get(name: str) -> str:
    """Says of a known name what the user can do, as sentences; empty for other names."""
    known = KNOWN_MODELS.get(name)
    if known is None:
        return ""
    return (
        f" {known.words}. Nothing is fetched unless you say so: peakmark import {name} download=True, or in Python"
        f' YOLO("{name}", download=True); later calls find it. Or fetch that file yourself and give its path.'
    )


def _place(name: str) -> Path:
    return cache_folder() / "models" / name


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _stored_digest(path: Path) -> str | None:
    try:
        digest = json.loads(_record(path).read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return digest if isinstance(digest, str) else None
