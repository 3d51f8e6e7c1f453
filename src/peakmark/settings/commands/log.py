"""Which settings are there for sending an ended run elsewhere? What they mean; what they do is not known here."""

from __future__ import annotations

from peakmark.settings.declaration import REQUIRED, SettingsModel, setting
from peakmark.settings.log_to import Loggers
from peakmark.settings.shared_words import OUTPUT


class LogSettings(SettingsModel):
    """Where a run is sent. Which run is an argument of its own, not a setting."""

    to: Loggers = setting(REQUIRED, "tensorboard, mlflow or wandb, or several: tensorboard,mlflow", OUTPUT, "output")
    anew: bool = setting(False, "send all of it to a new logged run, whatever was sent before", OUTPUT, "output")
