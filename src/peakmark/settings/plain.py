"""How do settings go into a file and come back? As a dict of plain values: str, int, float, bool, None and lists.

It must not know which file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from peakmark.settings.declaration import SettingsModel
from peakmark.settings.parse import parse

Plain = str | int | float | bool | None | list[int] | list[int | str]
M = TypeVar("M", bound=SettingsModel)


def to_plain(settings: SettingsModel) -> dict[str, Plain]:
    """Gives every setting by name, as values that YAML, JSON and a checkpoint can hold."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings}


def from_plain(kind: type[M], plain: Mapping[str, Plain]) -> M:
    """Gives back what `to_plain` was given. Raises SettingsError where a name or value is not of this version."""
    return parse(kind, plain).settings
