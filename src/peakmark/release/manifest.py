"""What is known of a copy of best.pt, beside it? And which file may take its place: no older one, none of another run.

Pure: it must not know where a copy lies, nor how it gets there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from peakmark.errors import MachineError
from peakmark.nouns.run import History

FORMAT = "peakmark-backup"
FORMAT_VERSION = 1

CopyDecision = Literal["copy", "same", "older", "another run's"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of backup.json."""

    run: str
    identity: str
    """Of the run; a resume keeps it, a branch has its own."""
    file: str
    epoch: int
    """Of the weights, 1-based; 0 while no epoch was best yet."""
    segment: int
    """Of the run when the epoch was chosen, from 0: with another fitness an earlier epoch may be the newer best."""
    sha256: str
    """Of the file; empty while there is none."""
    size_bytes: int


def identity_of(provenance: Mapping[str, Any], history: History) -> str:
    """Gives what tells a run, or a branch of it, from all others, and stays the same when it is resumed or moved.

    Runs that agree in it began at the same moment with the same settings and validation data: they are the same fold.
    """
    first = history.segments[0]
    branches = [(entry["at"], entry["parent"]) for entry in provenance["lineage"] if entry["branch"]]
    said = [provenance["created_at"], branches, dict(first.settings), first.comparable]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=list).encode()).hexdigest()[:12]


def copy_decision(there: Manifest | None, new: Manifest) -> CopyDecision:
    """Decides whether a file may replace what lies there."""
    if there is None:
        return "copy"
    if there.identity != new.identity:
        return "another run's"
    if new.epoch == 0 or there.sha256 == new.sha256:
        return "same"
    return "copy" if (new.segment, new.epoch) >= (there.segment, there.epoch) else "older"


def to_bytes(manifest: Manifest) -> bytes:
    """Gives the file's content."""
    said = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(manifest)}
    return (json.dumps(said, indent=2) + "\n").encode()


def from_bytes(content: bytes, place: str) -> Manifest:
    """The inverse of `to_bytes`. Raises MachineError: what can't be understood is not written over."""
    try:
        said: Mapping[str, Any] = json.loads(content)
        if said["format"] != FORMAT or said["format_version"] != FORMAT_VERSION:
            raise ValueError(f"it is of format {said['format']} {said['format_version']}")
        kinds = Manifest.__annotations__
        manifest = Manifest(**{name: said[name] for name in kinds})
        if not all(isinstance(getattr(manifest, name), int) for name in ("epoch", "segment", "size_bytes")):
            raise TypeError("a number is missing")
    except (ValueError, KeyError, TypeError) as error:
        raise MachineError(
            f"{place}: its backup.json can't be understood ({error}), so nothing is written over there. Move it away,"
            " or back up to another place."
        ) from error
    return manifest
