"""Is what a run says beforehand about its disk use what it then takes?"""

from __future__ import annotations

import pytest

from peakmark.events import Event, RunEnded, RunStarted
from peakmark.run.disk import disk_needed as disk_use
from peakmark.run.disk.disk_needed import files_kept
from peakmark.settings.fields import Settings


@pytest.mark.parametrize(
    ("wishes", "files", "named"),
    [
        ({}, 5, "last.pt, best.pt, the best 3 epochs (keep=3)"),
        ({"keep": 1}, 2, "last.pt, best.pt"),
        ({"epochs": 2}, 4, "last.pt, best.pt, the best 2 epochs (keep=3)"),
        ({"val": False}, 1, "last.pt"),
        ({"val_period": 40, "keep": 5}, 5, "last.pt, best.pt, the best 3 epochs (keep=5)"),
        ({"save_period": 30}, 8, "last.pt, best.pt, the best 3 epochs (keep=3), 3 of save_period=30"),
    ],
)
def test_files_are_counted_and_named(wishes, files, named):
    assert files_kept(Settings(data="-", **wishes)) == (files, named)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_the_weights_take_what_was_said(train, optimizer):
    told: list[Event] = []
    results = train(epochs=2, keep=2, optimizer=optimizer, observer=told.append, save_period=1)
    (started,) = [event for event in told if isinstance(event, RunStarted)]
    (ended,) = [event for event in told if isinstance(event, RunEnded)]
    assert "last.pt, best.pt, the best 2 epochs (keep=2), 2 of save_period=1" in started.kept
    # Both epochs have two names, last.pt and best.pt are copies of one of them: no two names share a file.
    files = {path.stat().st_ino: path.stat().st_size for path in results.last.parent.iterdir()}
    assert len(files) == 6
    assert "up to 6 files of" in started.kept
    assert ended.weights_bytes == results.summary["weights_bytes"] == sum(files.values())
    size_bytes = results.last.stat().st_size
    assert f"files of {size_bytes / 1e6:.0f} MB" in started.kept


def test_too_small_a_disk_is_said_before_the_start(train, monkeypatch):
    monkeypatch.setattr(disk_use, "free_bytes", lambda folder: 12_000_000)
    told: list[Event] = []
    train(epochs=2, observer=told.append)
    monkeypatch.setattr(disk_use, "free_bytes", lambda folder: 10_000_000_000)
    train(epochs=2, observer=told.append)
    first, second = [event.notes for event in told if isinstance(event, RunStarted)]
    assert [note for note in first if "has 12 MB free" in note and "keep=1" in note]
    assert not [note for note in second if "MB free" in note]
