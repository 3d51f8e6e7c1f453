"""Can settings and the data that they name be used? A part of the facade, asked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.errors import Mistakes
from peakmark.evaluate.fitness import FitnessFunction
from peakmark.events import Observer, Progress
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.report.terminal.terminal import Terminal
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
        # Nothing is fetched for settings that are wrong, nor is anybody asked.
        spec = read_data(kind, given, None if parsed is None else getattr(parsed.settings, "download", None))
    found.tell()
    assert parsed is not None
    return parsed, spec


def function_of(given: Mapping[str, Any]) -> FitnessFunction | None:
    """Gives the fitness among settings, where that is a function in Python."""
    fitness = given.get("fitness")
    return fitness if callable(fitness) else None


def read_data(kind: type[SettingsModel], given: Mapping[str, Any], download: bool | None = None) -> DatasetSpec | None:
    """Reads the data.yaml that settings name; None where they name none, which `parse` complains of where it must.

    `download`: as in `read_dataset`.
    """
    # A model that is there already has its names: only what begins with the data is refused for two that are equal.
    begins = kind in (Settings, AuditSettings)
    if not given.get("data"):
        return None
    return read_dataset(given["data"], equal_names=not begins, download=download, watch=fetch_watch())


def fetch_watch() -> Callable[[str], Callable[[int, int], None]]:
    """Draws how far a fetch is, on the terminal."""
    return watch_by(ConsoleObserver(Terminal(stderr=True)))


def watch_by(observe: Observer) -> Callable[[str], Callable[[int, int], None]]:
    """Tells an observer what is done, and then how far it is."""
    return lambda what: lambda done, of: observe(Progress(what, done, of))
