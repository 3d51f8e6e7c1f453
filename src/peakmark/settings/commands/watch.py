"""Which settings has the server that runs are watched by? Where it listens. What it shows is an argument of its own."""

from __future__ import annotations

from peakmark.settings.declaration import SettingsModel, Text, Whole, setting
from peakmark.settings.shared_words import MACHINE


class WatchSettings(SettingsModel):
    """Where runs are shown."""

    host: Text = setting(
        "127.0.0.1", "address to listen at; 0.0.0.0 lets other machines in that know the token", MACHINE, "execution"
    )
    port: Whole = setting(8765, "port to listen at (0: a free one)", MACHINE, "execution", ge=0, le=65535)
