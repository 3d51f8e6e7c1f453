"""Known names: nothing is fetched unasked, what was fetched is found again, and it must stay what it was."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web_server import WebServer

from peakmark import YOLO, import_model
from peakmark.errors import MachineError, ModelFileError
from peakmark.events import Notice
from peakmark.files import download
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.run.known_models import KNOWN_MODELS, fetch_known_model
from peakmark.run.weights import find_model

NAME = "yolov8n.pt"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory, write_foreign: Any) -> bytes:
    model = build_detector(SCALES["yolov8t"], 2, seed=5)
    path: Path = write_foreign(tmp_path_factory.mktemp("published") / NAME, model, ["cat", "dog"], license="AGPL-3.0")
    return path.read_bytes()


@pytest.fixture
def web(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setattr(download, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with WebServer().running() as server:
        there = dataclasses.replace(KNOWN_MODELS[NAME], address=server.put(f"/{NAME}", content))
        monkeypatch.setitem(KNOWN_MODELS, NAME, there)
        yield server


def test_the_table_says_where_each_file_would_come_from_and_whose_it_is():
    assert sorted(KNOWN_MODELS) == [f"yolov8{scale}.pt" for scale in "lmnsx"]
    for name, known in KNOWN_MODELS.items():
        assert known.address == f"https://github.com/ultralytics/assets/releases/download/v8.3.0/{name}"
        assert (known.program, known.license, known.sha256) == ("Ultralytics", "AGPL-3.0", None)


def test_nothing_is_fetched_unless_the_user_says_so(web: WebServer):
    with pytest.raises(ModelFileError) as error:
        YOLO(NAME)
    for word in ("AGPL-3.0", KNOWN_MODELS[NAME].address, "peakmark import yolov8n.pt download=True", "download=True"):
        assert word in str(error.value), word
    with pytest.raises(ModelFileError, match="Nothing is fetched unless you say so"):
        import_model(NAME)
    assert web.asked == []


def test_what_was_fetched_is_shown_found_again_and_not_fetched_twice(web: WebServer, content: bytes):
    told: list[str] = []
    path = fetch_known_model(NAME, told.append)
    digest = hashlib.sha256(content).hexdigest()
    assert path.read_bytes() == content
    assert "AGPL-3.0" in told[0]
    assert f"sha256 {digest} (recorded" in told[-1]
    assert fetch_known_model(NAME, told.append) == path
    assert find_model(NAME).names == ("cat", "dog")
    assert YOLO(NAME, download=True).names == {0: "cat", 1: "dog"}
    assert len(web.asked) == 1


def test_a_file_in_this_folder_goes_before_the_one_that_was_fetched(web: WebServer, tmp_path: Path, content: bytes):
    (tmp_path / NAME).write_bytes(content)
    assert YOLO(NAME, download=True).names == {0: "cat", 1: "dog"}
    assert web.asked == []


def test_a_second_fetch_must_bring_what_the_first_one_did(web: WebServer, content: bytes):
    path = fetch_known_model(NAME, lambda text: None)
    path.unlink()
    web.put(f"/{NAME}", content + b"more")
    with pytest.raises(MachineError, match="another file than was asked for"):
        fetch_known_model(NAME, lambda text: None)
    assert not path.exists()
    web.put(f"/{NAME}", content)
    told: list[str] = []
    fetch_known_model(NAME, told.append)
    assert "(as before)" in told[-1]


def test_a_fetched_file_that_has_changed_is_not_used(web: WebServer, content: bytes):
    path = fetch_known_model(NAME, lambda text: None)
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(ModelFileError, match="no longer what it was"):
        find_model(NAME)


def test_a_digest_that_the_user_gives_must_be_that_of_the_file(web: WebServer, content: bytes):
    with pytest.raises(MachineError, match="another file than was asked for"):
        fetch_known_model(NAME, lambda text: None, "0" * 64)
    fetch_known_model(NAME, lambda text: None, hashlib.sha256(content).hexdigest())
    with pytest.raises(ModelFileError, match=f"not {'0' * 64}"):
        fetch_known_model(NAME, lambda text: None, "0" * 64)


def test_an_import_fetches_tells_and_writes_a_checkpoint(web: WebServer, tmp_path: Path):
    told: list[str] = []
    found = import_model(
        NAME, download=True, observer=lambda event: told.append(event.text) if isinstance(event, Notice) else None
    )
    assert found.path == Path("yolov8n-imported.pt")
    assert found.origin["license"] == "AGPL-3.0"
    assert any("Fetching it to" in text for text in told)
    assert find_model(tmp_path / found.path).names == ("cat", "dog")
