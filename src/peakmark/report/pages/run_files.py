"""What do the files of a run say? Read for a page, which must not end over a file that somebody edited.

It must not know what the page shows of it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peakmark.errors import MachineError


def read_json(path: Path) -> Mapping[str, Any]:
    """Gives what a file of ours says; nothing where it isn't there. Raises `MachineError` where it can't be read."""
    if not path.exists():
        return {}
    try:
        return mapping(json.loads(read_file(path)))
    except ValueError as error:
        raise MachineError(f"{path} is damaged ({error}); remove it to have the page made without it.") from error


def read_epochs(path: Path) -> list[dict[str, str]]:
    """Gives the rows of results.csv by their columns, as text; none where it isn't there. Raises `MachineError`."""
    if not path.exists():
        return []
    return [
        {name.strip(): value.strip() for name, value in row.items() if name and isinstance(value, str)}
        for row in csv.DictReader(read_file(path).decode().splitlines())
    ]


def read_file(path: Path) -> bytes:
    """Gives a file's bytes. Raises `MachineError` where it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise MachineError(
            f"Can't read {path}: {error.strerror}. Check its rights, then have the page made again."
        ) from error


def mapping(value: object) -> Mapping[str, Any]:
    """Gives a value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """Gives the mappings in a value if it is a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """Gives the items of a value as text if it is a list."""
    return [str(item) for item in value] if isinstance(value, list) else []
