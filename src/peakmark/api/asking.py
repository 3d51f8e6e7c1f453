"""Can settings and the data that they name be used? A part of the facade, asked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.errors import Mistakes
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import AuditSettings, Settings
from peakmark.settings.parse import Parsed, parse
from peakmark.settings.settings_file import with_file

M = TypeVar("M", bound=SettingsModel)


def checked(
    kind: type[M], given: Mapping[str, Any], further: Callable[[M], object] | None = None
) -> tuple[Parsed[M], DatasetSpec]:
    """Checks settings, with those of the file that `cfg=` names, and the data.yaml they need, as `checked_with_data`.

    `further` looks at settings that are right by themselves and raises what else is wrong.
    """
    parsed, spec = checked_with_data(kind, with_file(kind, given), further)
    assert spec is not None
    return parsed, spec


def checked_with_data(
    kind: type[M], given: Mapping[str, Any], further: Callable[[M], object] | None = None
) -> tuple[Parsed[M], DatasetSpec | None]:
    """Checks settings and the data.yaml they name, and raises every mistake of both at once.

    The data are None where none are named and the settings can do without.
    """
    found = Mistakes()
    parsed: Parsed[M] | None = None
    spec: DatasetSpec | None = None
    with found.gathered():
        parsed = parse(kind, given)
        if further is not None:
            further(parsed.settings)
    with found.gathered():
        spec = read_data(kind, given)
    found.tell()
    assert parsed is not None
    return parsed, spec


def read_data(kind: type[SettingsModel], given: Mapping[str, Any]) -> DatasetSpec | None:
    """Reads the data.yaml that settings name; None where they name none, which `parse` complains of where it must."""
    # A model that is there already has its names: only what begins with the data is refused for two that are equal.
    begins = kind in (Settings, AuditSettings)
    return read_dataset(given["data"], equal_names=not begins) if given.get("data") else None
