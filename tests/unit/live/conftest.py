"""A run that is under way, as the tests of watching need it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.told_run import ToldRun

from peakmark.events import Notice


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., ToldRun]:
    """Makes a run of so many told epochs, held by this process."""

    def make(name: str = "train", epochs: int = 3) -> ToldRun:
        made = ToldRun(tmp_path / "runs" / name)
        made.held_by(os.getpid())
        made.start()
        for _ in range(epochs):
            made.epoch()
        made.tell(Notice("a <notice>"))
        return made

    return make
