"""How far has a logger got with a run? The id of its logged run and what is sent, kept in the run folder.

It must not know any logger.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from peakmark.files import durable
from peakmark.record.plain_json import as_json

FOLDER = "logged"
_FILE = "sent.json"


@dataclass(frozen=True, slots=True)
class Sent:
    """What one logger has of a run."""

    server: str
    """Another one knows nothing of this id, and is told everything."""
    id: str
    points: int
    """How many of the journal's points it has for sure."""
    where: str = ""


def folder_of(run: Path, logger: str) -> Path:
    return run / FOLDER / logger


def read(folder: Path, server: str) -> Sent | None:
    """What the logger of this folder has on a server; None where it has nothing, or the file can't be read."""
    try:
        sent = Sent(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return sent if sent.server == server else None


def write(folder: Path, sent: Sent) -> None:
    """Raises MachineError."""
    durable.write_text(folder / _FILE, as_json(asdict(sent), indent=1) + "\n")
