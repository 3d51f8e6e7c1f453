"""Is each new best.pt copied to where `backup=` says, and does the training go on whatever becomes of the copy?"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.errors import MachineError, SettingsError
from peakmark.events import Event, Notice
from peakmark.files.stores import open_store
from peakmark.record.journal import read as read_journal
from peakmark.release.backup import Courier, Version
from peakmark.release.manifest import Manifest

LEARNS: dict[str, Any] = {"epochs": 3, "lr0": 0.005, "optimizer": "AdamW", "warmup_epochs": 0, "nbs": 4, "imgsz": 64}
EMPTY = Manifest("train", "0123456789ab", "best.pt", epoch=1, segment=0, sha256="", size_bytes=0)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_and_its_resume_keep_one_verified_copy(train, runs, tmp_path):
    place = tmp_path / "copies"
    done = train(**LEARNS, backup=place)
    (copies,) = place.iterdir()
    assert copies.name.startswith("train-")
    manifest = json.loads((copies / "backup.json").read_text())
    assert manifest["epoch"] == done.summary["best"]["epoch"]
    assert done.best is not None
    assert manifest["sha256"] == sha256(done.best) == sha256(copies / "best.pt")
    assert {path.name for path in copies.iterdir()} == {"best.pt", "backup.json"}
    (copies / "best.pt").unlink()
    (copies / "backup.json").unlink()
    resumed = YOLO().resume(done.save_dir, observer=lambda event: None, epochs=4)
    assert resumed.best is not None
    assert sha256(copies / "best.pt") == sha256(resumed.best), "what is missing there is copied when the run goes on"
    assert [folder.name for folder in place.iterdir()] == [copies.name]


def test_a_branch_and_another_run_of_the_name_have_places_of_their_own(train, runs, tmp_path):
    place = tmp_path / "copies"
    first = train(**{**LEARNS, "epochs": 2}, save_period=1, backup=place)
    train(**{**LEARNS, "epochs": 1}, backup=place, project=tmp_path / "other")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    branch = YOLO().resume(
        first.save_dir / "weights/epoch1.pt", observer=lambda event: None, project=tmp_path / "third", yes=True
    )
    assert branch.save_dir.name == "train"
    assert len(list(place.iterdir())) == 3
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_place_that_says_no_is_told_and_journaled_and_stops_nothing(train, runs, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, no folder")
    events: list[Event] = []
    done = train(**{**LEARNS, "epochs": 1}, backup=blocked, observer=events.append)
    assert done.outcome == "finished"
    assert done.best is not None
    assert read(done.best).fitness == done.fitness
    told = [event.text for event in events if isinstance(event, Notice) and event.serious]
    assert any("could not be backed up and is tried again" in text for text in told)
    assert f"to have it copied later: peakmark resume {done.save_dir}" in told[-1]
    journaled = [line["text"] for line in read_journal(done.save_dir / "journal.jsonl") if line["event"] == "Notice"]
    assert set(told) <= set(journaled)


@pytest.mark.parametrize("way", ["train", "resume"])
def test_a_missing_driver_is_an_error_before_training(train, runs, way):
    if way == "train":
        with pytest.raises(MachineError, match=r"backup=oci://x: the driver for oci:// is not installed"):
            train(**LEARNS, backup="oci://x")
        assert not runs.exists()
        with pytest.raises(SettingsError, match=r"(?s)backup=oci.*ocifs.*nothere"):
            train(**LEARNS, backup="oci://x", data="nothere.yaml")
        return
    done = train(**{**LEARNS, "epochs": 1})
    before = (done.save_dir / "settings.yaml").read_text()
    with pytest.raises(MachineError, match="backup=oci://x"):
        YOLO().resume(done.save_dir, epochs=2, backup="oci://x")
    assert (done.save_dir / "settings.yaml").read_text() == before


# --- a store of objects ---------------------------------------------------------------------------------------------


def test_a_training_backs_up_to_s3(bucket, peakmark, tiny_data, tmp_path):
    words = {**LEARNS, "batch": 4, "plots": False, "workers": 0, "data": tiny_data, "backup": bucket.url}
    done = peakmark("train", *(f"{name}={value}" for name, value in words.items()), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"is at {bucket.url}/train-" in done.stdout.replace("\n", "")
    best = tmp_path / "runs/detect/train/weights/best.pt"
    (copies,) = open_store(bucket.url).names()
    there = open_store(bucket.url).inside(copies)
    assert there.names() == ("backup.json", "best.pt")
    assert there.read("best.pt") == best.read_bytes()
    assert json.loads(there.read("backup.json") or b"")["sha256"] == sha256(best)


@pytest.fixture
def impatient(bucket: Any) -> Iterator[None]:
    """The driver itself asks again and again, for half a minute."""
    import s3fs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "retries", 1)
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_goes_away_and_comes_back_gets_its_copy(bucket):
    store = open_store(bucket.url).inside("away")
    courier = Courier(store, (0.2,))
    courier.take(Version(EMPTY, io.BytesIO(b"one")))
    assert courier.idle(60)
    bucket.go_away()
    courier.take(Version(replace(EMPTY, epoch=2), io.BytesIO(b"two")))
    until(lambda: courier.owed() not in (None, "The copy was still under way."))
    bucket.come_back()
    assert courier.idle(60)
    assert courier.owed() is None
    assert store.read("best.pt") == b"two"
    assert [notice.serious for notice in courier.said()] == [True, False]
    courier.dismiss()


@pytest.mark.usefixtures("impatient")
def test_wrong_credentials_are_named(monkeypatch):
    class Forbids(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.end_headers()
            self.wfile.write(b"<Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>")

        do_HEAD = do_PUT = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Forbids)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(MachineError, match=r"s3://models/x: .*Check the address, the credentials"):
        open_store("s3://models/x").put("best.pt", io.BytesIO(b"x"))
    server.shutdown()
    s3fs.S3FileSystem.clear_instance_cache()
