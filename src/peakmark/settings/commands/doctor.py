"""Which settings has a look at this machine?"""

from __future__ import annotations

from peakmark.settings import shared_settings as shared
from peakmark.settings.declaration import Device, SettingsModel, Text, setting
from peakmark.settings.shared_words import OUTPUT


class DoctorSettings(SettingsModel):
    """The settings of a look at this machine."""

    device: Device | None = shared.device()
    project: Text = setting("runs/detect", "folder that runs are to lie in: its disk is tried out", OUTPUT, "execution")
