"""How is a run kept? The part of the facade that copies, releases and gates models.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from peakmark.errors import DataError, MachineError
from peakmark.machine.stores import open_store
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import read as read_settings
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse


def check_backup(settings: SettingsModel) -> None:
    """Refuses a training whose best.pt can't be copied to where `backup=` says, as far as this machine can tell.

    Raises MachineError where no such store is known or its driver is not installed; nothing is connected to.
    """
    if isinstance(settings, Settings) and settings.backup is not None:
        _check_place("backup", settings.backup)


def check_backup_of_resume(folder: RunFolder, changes: Mapping[str, Any]) -> None:
    """Does the same for a run that is gone on with: `backup=` stays what it was where it is not changed."""
    kept = None
    with suppress(DataError):
        # A settings.yaml that is lost or damaged is no reason to refuse a resume; the checkpoint has the settings.
        kept = read_settings(folder.settings_yaml).get("backup")
    check_backup(parse(Settings, {"data": "-", "backup": kept, **changes}).settings)


def _check_place(setting: str, place: str) -> None:
    try:
        open_store(place)
    except MachineError as error:
        raise MachineError(f"{setting}={error}") from error
