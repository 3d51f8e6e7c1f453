"""Does a copy get there whatever the place does meanwhile, and does the training never wait for it?"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from peakmark.errors import MachineError
from peakmark.events import Notice, RunEnded, RunStarted
from peakmark.files.stores import open_store
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.run import History, Position
from peakmark.release import backup
from peakmark.release.backup import Backup, Courier, Version
from peakmark.release.copying import copy_best
from peakmark.release.manifest import Manifest, from_bytes
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse

EMPTY = Manifest("train", "0123456789ab", "best.pt", epoch=0, segment=0, sha256="", size_bytes=0)
SHORT_S = (0.01, 0.02)
LONG_S = (60.0,)
ENOUGH_S = 10.0


class Place:
    """A folder that refuses, or stands still, when a test wants it to."""

    def __init__(self, folder: Path) -> None:
        self._store = open_store(str(folder))
        self.place = self._store.place
        self.refuses = 0
        self.asked = 0
        self.open = threading.Event()
        self.open.set()
        self.clean_leftovers = self._store.clean_leftovers

    def read(self, name: str) -> bytes | None:
        self.asked += 1
        self.open.wait(ENOUGH_S)
        if self.refuses:
            self.refuses -= 1
            raise MachineError(f"{self.place}: the server is away.")
        return self._store.read(name)

    def put(self, name: str, source: BinaryIO) -> str:
        return self._store.put(name, source)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "copies")


@pytest.fixture
def courier(place):
    made: list[Courier] = []

    def make(pauses_s: tuple[float, ...]) -> Courier:
        made.append(Courier(place, pauses_s))
        return made[-1]

    yield make
    place.open.set()
    for each in made:
        each.dismiss()


def version(epoch: int) -> Version:
    return Version(replace(EMPTY, epoch=epoch), io.BytesIO(f"epoch {epoch}".encode()))


def there(place: Place) -> str:
    manifest = from_bytes(place._store.read("backup.json") or b"", "")
    content = place._store.read("best.pt") or b""
    assert manifest.size_bytes == len(content)
    return content.decode()


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + ENOUGH_S
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_a_version_is_copied_with_what_is_known_of_it(courier, place):
    brings = courier(LONG_S)
    brings.take(version(3))
    assert brings.idle(ENOUGH_S)
    assert there(place) == "epoch 3"
    assert brings.owed() is None
    assert brings.epoch_there == 3
    assert list(brings.said()) == []


def test_a_version_that_waits_gives_way_and_the_one_under_way_is_finished(courier, place):
    brings = courier(LONG_S)
    place.open.clear()
    brings.take(version(1))
    until(lambda: place.asked == 1)
    waiting = version(2)
    brings.take(waiting)
    brings.take(version(3))
    assert waiting.source is not None
    assert waiting.source.closed
    assert not brings.idle(0)
    place.open.set()
    assert brings.idle(ENOUGH_S)
    assert there(place) == "epoch 3"
    assert place.asked == 2


def test_a_refused_copy_is_told_once_tried_again_and_its_end_told(courier, place):
    place.refuses = 4
    brings = courier(SHORT_S)
    brings.take(version(1))
    assert brings.idle(ENOUGH_S)
    assert there(place) == "epoch 1"
    refused, again = brings.said()
    assert refused.serious
    assert refused.text.endswith("the server is away.")
    assert "takes copies again" in again.text
    assert brings.owed() is None


def test_a_newer_version_ends_the_pause_of_a_refused_one(courier, place):
    place.refuses = 1
    brings = courier(LONG_S)
    brings.take(version(1))
    until(lambda: brings.owed() == f"{place.place}: the server is away.")
    brings.take(version(2))
    assert brings.idle(ENOUGH_S)
    assert there(place) == "epoch 2"


def test_at_the_end_it_is_tried_once_more_and_then_owed(courier, place):
    place.refuses = 100
    brings = courier(LONG_S)
    brings.take(version(1))
    until(lambda: place.asked == 1)
    brings.hurry()
    assert brings.idle(ENOUGH_S)
    assert place.asked == 2
    assert "the server is away" in (brings.owed() or "")


def test_nobody_waits_for_a_place_that_stands_still(courier, place):
    place.open.clear()
    brings = courier(LONG_S)
    brings.take(version(1))
    brings.hurry()
    assert not brings.idle(0.05)
    assert brings.owed() == "The copy was still under way."
    brings.dismiss()


def test_an_older_one_is_never_put_over_a_newer_and_that_is_told(courier, place):
    brings = courier(LONG_S)
    for epoch in (5, 3):
        brings.take(version(epoch))
        assert brings.idle(ENOUGH_S)
    assert there(place) == "epoch 5"
    (said,) = brings.said()
    assert said.serious
    assert "best.pt of epoch 3 is not copied" in said.text


def test_a_place_is_tried_before_there_is_a_best(tmp_path):
    store = open_store(str(tmp_path / "copies"))
    assert copy_best(store, EMPTY, None) == "copy"
    assert store.names() == ("backup.json",)
    assert copy_best(store, replace(EMPTY, epoch=1), io.BytesIO(b"1")) == "copy"
    assert copy_best(store, EMPTY, None) == "same"
    assert store.read("best.pt") == b"1"


def test_the_copy_of_another_run_is_not_touched(tmp_path):
    store = open_store(str(tmp_path))
    copy_best(store, replace(EMPTY, epoch=1), io.BytesIO(b"mine"))
    with pytest.raises(MachineError, match="holds the copy of another run"):
        copy_best(store, replace(EMPTY, identity="f" * 12, epoch=9), io.BytesIO(b"yours"))
    assert store.read("best.pt") == b"mine"


def test_an_opened_file_is_copied_whole_though_its_name_goes_to_another(tmp_path, place):
    best = tmp_path / "best.pt"
    best.write_bytes(b"one")
    with best.open("rb") as source:
        (tmp_path / "new").write_bytes(b"two and longer")
        (tmp_path / "new").replace(best)
        copy_best(place._store, replace(EMPTY, epoch=1), source)
    assert there(place) == "one"


# --- the end of a training ------------------------------------------------------------------------------------------


@pytest.fixture
def ended_training(segment_of, tmp_path, place, monkeypatch):
    """Lets a backup watch a training that ends while its place stands still, and gives what it told."""
    run = tmp_path / "train"
    run.mkdir()
    (run / "settings.yaml").write_text(f"backup: {tmp_path}\n")
    place.inside = lambda name: place
    monkeypatch.setattr(backup, "open_store", lambda given: place)
    history = History((), (segment_of(parse(Settings, {"data": "d"}).settings),))
    began = {"created_at": "2026-01-02T03:04:05+00:00", "lineage": []}

    def end(stop: StopRequest, longest_wait_s: float) -> list[str]:
        told: list[Notice] = []
        watch = Backup(LONG_S, longest_wait_s)
        numbers: Any = {"parameters": 1, "train_images": 1, "val_images": 1, "epochs": 1, "image_size_px": 32}
        start = RunStarted(
            folder=run, model="", classes=(), position=Position(), device="", precision="", threads=1, optimizer="",
            provenance=began, **numbers,
        )  # fmt: skip
        end = RunEnded(run, "finished", Position(), None, None, None, "", False)
        for event in (start, end):
            watch(event, history, told.append, stop)  # type: ignore[arg-type]
        return [notice.text for notice in told if notice.serious]

    return end


def test_the_wait_for_the_last_copy_has_a_limit_and_says_what_is_missing(ended_training, place):
    place.open.clear()
    (said,) = ended_training(StopRequest(None), longest_wait_s=0.2)
    assert said.startswith("The newest best.pt is NOT at its backup. The copy was still under way.")


def test_a_ctrl_c_ends_the_wait_and_nothing_else(ended_training, place):
    place.open.clear()
    stop = StopRequest(None)
    threading.Timer(0.3, stop.ask).start()
    began_s = time.monotonic()
    (said,) = ended_training(stop, longest_wait_s=60)
    assert time.monotonic() - began_s < ENOUGH_S
    assert "NOT at its backup" in said


def test_what_is_there_in_time_is_not_complained_of(ended_training):
    assert ended_training(StopRequest(None), longest_wait_s=60) == []
