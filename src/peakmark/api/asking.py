"""Can settings and the data that they name be used? A part of the facade, asked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from peakmark.api.release import check_backup
from peakmark.data.source.dataset import DatasetSpec, read_dataset
from peakmark.errors import Mistakes
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import Settings
from peakmark.settings.parse import Parsed, parse
from peakmark.settings.settings_file import with_file

M = TypeVar("M", bound=SettingsModel)


def checked(kind: type[M], given: Mapping[str, Any]) -> tuple[Parsed[M], DatasetSpec]:
    """Checks settings and the data.yaml they name, and raises every mistake of both at once."""
    given = with_file(kind, given)
    found = Mistakes()
    parsed: Parsed[M] | None = None
    spec: DatasetSpec | None = None
    with found.gathered():
        parsed = parse(kind, given)
        check_backup(parsed.settings)
    with found.gathered():
        spec = read_data(kind, given)
    found.tell()
    assert parsed is not None
    assert spec is not None
    return parsed, spec


def read_data(kind: type[SettingsModel], given: Mapping[str, Any]) -> DatasetSpec | None:
    """Reads the data.yaml that settings name; None where they name none, which `parse` complains of where it must."""
    # A model that is there already has its names: only what begins is refused for two that are equal.
    return read_dataset(given["data"], equal_names=kind is not Settings) if given.get("data") else None
