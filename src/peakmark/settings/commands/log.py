"""Where can the numbers of a run be logged to? The names of log_to= and to=, and the settings of `peakmark log`.

What a setting does is not known here, only what it means.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from pydantic import BeforeValidator

from peakmark.settings.declaration import REQUIRED, SettingsModel, setting
from peakmark.settings.shared_words import OUTPUT

LOGGERS = ("tensorboard", "mlflow", "wandb")
_OTHER_NAMES = {"tb": "tensorboard", "w&b": "wandb", "weights&biases": "wandb"}


def _loggers(value: Any) -> Any:
    if value is None or value is False:
        return None
    items = value if isinstance(value, list | tuple) else str(value).split(",")
    names = [str(item).strip(" '\"[]").lower() for item in items]
    names = [_OTHER_NAMES.get(name, name) for name in names if name]
    for name in names:
        if name not in LOGGERS:
            near = difflib.get_close_matches(name, LOGGERS, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"names {name}, and there are {', '.join(LOGGERS)}{meant}")
    return tuple(dict.fromkeys(names)) or None


LogTo = Annotated[tuple[str, ...] | None, BeforeValidator(_loggers)]
"""Names of LOGGERS, each once; None for nowhere."""
Loggers = Annotated[tuple[str, ...], BeforeValidator(_loggers)]
"""One name or more."""


class LogSettings(SettingsModel):
    """Where a run is sent. Which run is an argument of its own, not a setting."""

    to: Loggers = setting(REQUIRED, "tensorboard, mlflow or wandb, or several: tensorboard,mlflow", OUTPUT, "output")
    anew: bool = setting(False, "send all of it to a new logged run, whatever was sent before", OUTPUT, "output")
