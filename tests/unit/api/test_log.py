"""Is all that a logger says while a run is sent heard, up to its last word?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peakmark.api.log import log
from peakmark.events import Event, Notice


class SpeaksAtItsEnd:
    """A messenger that says something at the very moment that it is done."""

    def __init__(self, run: Path, name: str, *, anew: bool) -> None:
        self.name, self.failed, self.done = name, "", {"id": "1", "points": 3, "done": "there"}
        self._said: list[Notice] = []

    def is_at_work(self, wait_s: float) -> bool:
        self._said.append(Notice("tensorboard takes numbers again; it has all of them."))
        return False

    def said(self) -> Iterator[Notice]:
        while self._said:
            yield self._said.pop(0)

    def end(self) -> None:
        pass

    stop = end


def test_its_last_word_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "train/weights").mkdir(parents=True)
    heard: list[Event] = []
    monkeypatch.setattr("peakmark.api.log.Messenger", SpeaksAtItsEnd)
    monkeypatch.setattr("peakmark.api.log.check_packages", lambda names, setting: None)
    logged: Any = log(tmp_path / "train", "tensorboard", observer=heard.append)
    assert [event.text for event in heard if isinstance(event, Notice)] == [
        "tensorboard takes numbers again; it has all of them."
    ]
    assert [each.epochs for each in logged] == [3]
