"""What the tests of changed settings share: the run that is changed, and what they read from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peakmark import inspect
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.events import RunStarted

WISHES = {
    "epochs": 3, "batch": 2, "nbs": 4, "warmup_epochs": 0.5, "mosaic": 0.7, "close_mosaic": 1, "save_interval": 0,
    "optimizer": "SGD", "lr0": 0.01,
}  # fmt: skip
WEIGHTS = ("model", "training_weights", "optimizer")


def ignore(event: object) -> None:
    pass


def state_of(run: Path) -> Checkpoint:
    return read(run / "weights/last.pt")


def weights_of(run: Path) -> dict[str, str]:
    found = inspect(run / "weights/last.pt")["digests"]
    return {name: found[name] for name in WEIGHTS}


def notes_of(events: list[Any]) -> str:
    return " ".join(note for event in events if isinstance(event, RunStarted) for note in event.notes)
