"""Do files get to a folder or another store whole, verified, and never over what is there for good?"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest

from peakmark.errors import MachineError
from peakmark.files import stores
from peakmark.files.stores import open_store

CONTENT = bytes(range(256)) * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    if request.param == "disk":
        return open_store(str(tmp_path / "place"))
    fsspec.filesystem("memory").store.clear()
    return open_store("memory://bucket/place")


def test_what_is_put_is_there_under_its_name_alone(store):
    assert store.names() == ()
    assert store.read("best.pt") is None
    assert store.put("best.pt", io.BytesIO(b"old")) == hashlib.sha256(b"old").hexdigest()
    assert store.put("best.pt", io.BytesIO(CONTENT)) == SHA256
    assert store.read("best.pt") == CONTENT
    assert store.names() == ("best.pt",)
    assert store.inside("deeper").names() == ()


def test_what_reads_back_otherwise_never_gets_the_name(store, monkeypatch):
    store.put("best.pt", io.BytesIO(b"old"))
    real = stores.sha256_of
    answers = iter(["put", "read back"])
    monkeypatch.setattr(stores, "sha256_of", lambda *given: (real(*given), next(answers))[1])
    with pytest.raises(MachineError, match="reads back as something else"):
        store.put("best.pt", io.BytesIO(CONTENT))
    assert store.read("best.pt") == b"old"


def filled(folder: Path) -> Path:
    for name in ("README.md", "best.pt", "SHA256SUMS"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_folder_is_published_once(store):
    for free in (True, False):
        with store.staging() as staged:
            assert store.publish(filled(staged), "v1", first="README.md", last="SHA256SUMS") is free
        assert not staged.exists()
    assert store.names() == ("v1",)
    assert store.inside("v1").names() == ("README.md", "SHA256SUMS", "best.pt")


def test_of_many_who_publish_the_same_name_one_wins(store):
    won: list[int] = []

    def publish(number: int) -> None:
        with store.staging() as staged:
            filled(staged)
            (staged / "README.md").write_text(str(number))
            if store.publish(staged, "v1", first="README.md", last="SHA256SUMS"):
                won.append(number)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.inside("v1").read("README.md") == str(won[0]).encode()


def test_what_is_published_on_a_disk_is_read_only(tmp_path):
    store = open_store(str(tmp_path))
    with store.staging() as staged:
        store.publish(filled(staged), "v1", first="README.md", last="SHA256SUMS")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "v1").iterdir()} == {0o444}


def test_a_file_under_the_name_is_no_free_name(tmp_path):
    (tmp_path / "v1").write_text("mine")
    store = open_store(str(tmp_path))
    with store.staging() as staged:
        assert not store.publish(filled(staged), "v1", first="README.md", last="SHA256SUMS")
    assert (tmp_path / "v1").read_text() == "mine"


def test_the_marker_comes_last_elsewhere():
    """Whoever is killed before it has published nothing."""
    fsspec.filesystem("memory").store.clear()
    store = open_store("memory://bucket")
    written: list[str] = []

    files = store._files  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch, store.staging() as staged:
        moved, piped = files.mv, files.pipe_file

        def mv(part: str, name: str) -> None:
            written.append(name)
            moved(part, name)

        def pipe_file(name: str, *rest: Any, **how: Any) -> None:
            written.append(name)
            piped(name, *rest, **how)

        patch.setattr(files, "mv", mv)
        patch.setattr(files, "pipe_file", pipe_file)
        store.publish(filled(staged), "v1", first="README.md", last="SHA256SUMS")
    assert [name.rpartition("/")[2] for name in written] == ["README.md", "best.pt", "SHA256SUMS"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("bogus://x/y", "bogus:// is no store"),
        ("oci://x", "driver for oci:// is not installed. Install ocifs"),
    ],
)
def test_a_place_that_cannot_be_reached_from_here_says_why(place, said):
    with pytest.raises(MachineError, match=said):
        open_store(place)


def test_what_a_driver_raises_becomes_a_sentence_with_the_place(monkeypatch):
    store = open_store("memory://bucket/place")

    class NoCredentialsError(Exception):
        pass

    def refuse(*given: object, **how: object) -> None:
        raise NoCredentialsError("Unable to locate\ncredentials")

    monkeypatch.setattr(type(store._files), "cat_file", refuse)  # type: ignore[attr-defined]
    with pytest.raises(MachineError) as told:
        store.read("x")
    expected = "bucket/place: Unable to locate credentials. Check the address, the credentials and the connection."
    assert str(told.value).endswith(expected)


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    store = open_store(str(tmp_path))
    store.put("best.pt", io.BytesIO(b"old"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="Free some space"):
        store.put("best.pt", io.BytesIO(CONTENT))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
