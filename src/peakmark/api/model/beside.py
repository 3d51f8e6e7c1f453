"""What goes on beside a training? Its best.pt is copied, and its numbers are logged; it waits for neither.

A part of the facade: it puts together what the rooms below offer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from peakmark.api.model.callbacks import Watch
from peakmark.api.model.pictures import artist
from peakmark.api.release import check_backup, check_backup_of_resume
from peakmark.errors import Mistakes
from peakmark.live.beside import LivePage
from peakmark.loggers.registry import check_packages
from peakmark.loggers.watch import RunLoggers
from peakmark.record.folder import RunFolder
from peakmark.release.backup import Backup
from peakmark.run.begin import Audience
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse


@contextmanager
def audience_of(observe: Watch) -> Iterator[Audience]:
    """Who is told what happens in a training, for as long as it goes on."""
    with closing(Backup()) as backup, closing(RunLoggers()) as loggers, closing(LivePage(observe)) as page:
        yield Audience(observe, artist(), (backup, loggers, page, observe.hooks))


def check_places(settings: SettingsModel) -> None:
    """Refuses a training whose files or numbers can't go to where its settings say, as far as this machine can tell.

    Raises MachineError or SettingsError with all that stands in the way; nothing is connected to.
    """
    found = Mistakes()
    with found.gathered():
        check_backup(settings)
    with found.gathered():
        if isinstance(settings, Settings):
            check_packages(settings.log_to or (), "log_to")
    found.tell()


def check_places_of_resume(folder: RunFolder, changes: Mapping[str, Any]) -> None:
    """Does the same for a run that is resumed; a logger that it had before is not worth refusing it for."""
    check_backup_of_resume(folder, changes)
    if "log_to" in changes:
        check_places(parse(Settings, {"data": "-", "log_to": changes["log_to"]}).settings)
