"""How is this machine looked at? A part of the facade: it composes what the rooms below offer."""

from __future__ import annotations

from typing import Any

from peakmark.checkup.looking import check_up
from peakmark.events import Observer, unwatched
from peakmark.nouns.checkup import Checkup
from peakmark.settings.fields import DoctorSettings
from peakmark.settings.parse import parse


def doctor(*, observer: Observer | None = None, **settings: Any) -> Checkup:
    """Looks at this machine, tries its disk, and proves with short trainings that runs on it repeat and resume.

    `settings`: those of `peakmark doctor --help`. Takes a minute or two; leaves nothing behind.
    Raises SettingsError and MachineError.
    """
    return check_up(parse(DoctorSettings, settings).settings, observer or unwatched)
