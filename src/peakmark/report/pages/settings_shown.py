"""Which settings did a run have, and where did each come from? From summary.json and settings.yaml.

It must not know any particular setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.errors import DataError
from peakmark.record.settings_yaml import read, read_origins
from peakmark.settings.description import as_written, describe
from peakmark.settings.fields import Settings


@dataclass(frozen=True, slots=True)
class ShownSetting:
    name: str
    value: str
    default: str
    """Empty where it must be given."""
    origin: str
    meaning: str
    is_default: bool


def settings_in(path: Path, recorded: Mapping[str, Any]) -> Sequence[ShownSetting]:
    """Gives all settings, those of the run's summary before those of the file; none where neither says any."""
    values, origins = dict(recorded), {}
    try:
        values = {**read(path), **values}
        origins = read_origins(path)
    except DataError:
        # A page must not end over a file that is gone or was edited; what the summary says is still true.
        pass
    known = describe(Settings)
    return [
        ShownSetting(
            name=name,
            value=as_written(value),
            default=known[name].default or "",
            origin=origins.get(name, ""),
            meaning=known[name].meaning,
            is_default=as_written(value) == known[name].default,
        )
        for name, value in values.items()
        if name in known
    ]
