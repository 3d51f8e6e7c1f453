"""What differs between two sets of settings, and what does the difference bear on?

It must not know what is done about a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from peakmark.settings.declaration import BearsOn, SettingsModel
from peakmark.settings.description import as_written, describe
from peakmark.settings.plain import Plain, to_plain

M = TypeVar("M", bound=SettingsModel)


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that has another value."""

    name: str
    old: Plain
    new: Plain
    bears_on: BearsOn

    def __str__(self) -> str:
        return f"{self.name}: {as_written(self.old)} -> {as_written(self.new)}"


def difference(old: M, new: M) -> tuple[Change, ...]:
    """Lists the settings whose values differ, in the order of declaration."""
    before, after = to_plain(old), to_plain(new)
    return tuple(
        Change(name, before[name], after[name], description.bears_on)
        for name, description in describe(type(old)).items()
        if before[name] != after[name]
    )
