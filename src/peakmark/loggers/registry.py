"""Which loggers are there, and is what they need installed? Asked before a training, without loading any of them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from typing import cast

from peakmark.errors import MachineError, Mistakes, how_to_install
from peakmark.loggers.logger import Logger
from peakmark.settings.commands.log import LOGGERS


def make(name: str) -> Logger:
    """Makes a logger. Raises ImportError where its package is missing."""
    return cast("Logger", importlib.import_module(f"peakmark.loggers.{name}").make())


def server_of(name: str) -> str:
    """What the ids of a logger belong to, by the environment of this process."""
    return str(importlib.import_module(f"peakmark.loggers.{name}").server())


def check_packages(names: Iterable[str], setting: str) -> None:
    """Raises MachineError where what a logger needs isn't installed; nothing is loaded or connected to."""
    found = Mistakes()
    for name in names:
        with found.gathered():
            if name in LOGGERS and importlib.util.find_spec(name) is None:
                raise MachineError(f"{setting}={name}: its package isn't installed; {how_to_install(name)}.")
    found.tell()
