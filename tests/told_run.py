"""A run's folder as a training leaves it: its story told to a real journal, its table rendered by the record."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.report.conftest import _history

from peakmark.events import EpochEnded, Event, RunEnded, RunStarted
from peakmark.files.lock import HOLDER_FILE
from peakmark.nouns.run import Decision, History, Position
from peakmark.record import results_csv
from peakmark.record.folder import RunFolder
from peakmark.record.journal import Journal

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EPOCH_S = 30.0


class ToldRun:
    """A run of which so many epochs are told; it goes on as `told` is called."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.run = RunFolder(folder)
        records = (replace(record, train_s=25.0, validation_s=5.0) for record in _history(10).records)
        self._records = tuple(records)
        self._now = BEGAN
        self._journal = Journal(self.run.journal, lambda: self._now)
        self.done = 0
        self.run.settings_yaml.write_text("data: set.yaml  # given\nepochs: 10  # given\npatience: 5  # given\n")

    def tell(self, event: Event) -> None:
        self._journal(event)

    def start(self, **changes: Any) -> None:
        facts: dict[str, Any] = {
            "folder": self.run.path, "model": "yolov8n", "parameters": 1, "classes": ("bolt", "<b>nut</b>"),
            "train_images": 10, "val_images": 4, "epochs": 10, "image_size_px": 64, "position": Position(),
            "device": "cpu", "precision": "float32", "threads": 1, "optimizer": "SGD",
            "notes": ("151 objects are under 8 px.",),
        }  # fmt: skip
        self.tell(RunStarted(**{**facts, **changes}))

    def epoch(self, *, best: bool = True) -> None:
        """Tells the next epoch."""
        record = self._records[self.done]
        self._now += timedelta(seconds=EPOCH_S)
        self.done += 1
        reason = f"epoch {self.done} <i>beats</i> all"
        decision = Decision(record.epoch, best, record.epoch, record.fitness, False, False, 4, reason)
        self.run.results_csv.write_text(results_csv.render(History(self._records[: self.done]), record.epoch))
        self.tell(EpochEnded(record, decision, 10))

    def end(self, outcome: Any) -> None:
        self.tell(RunEnded(self.run.path, outcome, Position(self.done), 0, 0.5, {}, "It is over.", False))

    def held_by(self, pid: int, host: str | None = None) -> None:
        (self.run.path / HOLDER_FILE).write_text(f"process {pid} on {host or socket.gethostname()}")
