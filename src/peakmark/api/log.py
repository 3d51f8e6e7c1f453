"""How is a run that is there logged to where a team keeps its runs? The part of the facade that sends it.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.api.runs import run_to_resume
from peakmark.errors import MachineError
from peakmark.events import Observer, unwatched
from peakmark.loggers.messenger import Messenger
from peakmark.loggers.registry import check_packages
from peakmark.settings.fields import LogSettings
from peakmark.settings.parse import parse

LONGEST_WAIT_S = 600.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Logged:
    """What a logger has of a run."""

    to: str
    id: str
    """Of the logged run, as the logger names it."""
    epochs: int
    """How many epochs' numbers it has."""
    where: str
    """Where a person finds it."""


def log(
    run: str | Path, to: str | Iterable[str] | None = None, *, observer: Observer | None = None, **settings: Any
) -> tuple[Logged, ...]:
    """Sends what a run's journal holds to tensorboard, mlflow or wandb: what they miss of it, in the same logged run.

    `settings`: those of `peakmark log --help`. Raises SettingsError, ModelFileError where there is no run, and
    MachineError with all loggers that have not got all of it; the others have.
    """
    wishes = parse(LogSettings, settings if to is None else {**settings, "to": to}).settings
    check_packages(wishes.to, "to")
    folder, _ = run_to_resume(run, {})
    observe = observer or unwatched
    messengers = [Messenger(folder.path, name, anew=wishes.anew) for name in wishes.to]
    try:
        for messenger in messengers:
            messenger.end()
            until_s = time.monotonic() + LONGEST_WAIT_S
            is_at_work = True
            while is_at_work and time.monotonic() < until_s:
                is_at_work = messenger.is_at_work(_LOOK_S)
                for said in messenger.said():  # once more after its end: what it said last
                    observe(said)
    finally:
        for messenger in messengers:
            messenger.stop()
    refused = [
        f"{each.name} has not all of {folder.path}: {each.failed or 'it did not answer in time.'}"
        for each in messengers
        if each.done is None
    ]
    if refused:
        raise MachineError("\n".join(refused))
    found = [(each.name, each.done) for each in messengers if each.done is not None]
    return tuple(Logged(name, str(done["id"]), int(done["points"]), str(done["done"])) for name, done in found)
