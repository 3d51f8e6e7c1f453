"""Has every setting of `watch` an effect? Each has an entry here, and a setting without one fails."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import peakmark
from peakmark.errors import MachineError, SettingsError
from peakmark.events import Event, Notice
from peakmark.settings.description import describe
from peakmark.settings.fields import WatchSettings

Watch = Callable[..., tuple[str, str, list[Event]]]


class OnlyListens:
    """In the place of uvicorn's server: says where it would listen, and ends."""

    def __init__(self) -> None:
        self.where = ""

    def run(self, sockets: list[socket.socket]) -> None:
        self.where = sockets[0].getsockname()[0]


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Gives the address that is said, where it listens, and what was told."""
    server = OnlyListens()
    monkeypatch.setattr("peakmark.api.watch.server_of", lambda places, token: server)

    def start(**settings: Any) -> tuple[str, str, list[Event]]:
        said: list[str] = []
        told: list[Event] = []
        peakmark.watch(tmp_path, up=said.append, observer=told.append, **settings)
        return said[0], server.where, told

    return start


def check_host(watch: Watch) -> None:
    address, where, told = watch(port=0)
    assert address.startswith("http://127.0.0.1:")
    assert (where, told) == ("127.0.0.1", [])
    _, where, told = watch(host="0.0.0.0", port=0)
    assert where == "0.0.0.0"
    (notice,) = told
    assert isinstance(notice, Notice)
    assert notice.serious


def check_port(watch: Watch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"port {port}"):
            watch(port=port)
    assert f":{port}/" in watch(port=port)[0]


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}


@pytest.mark.parametrize("name", CHECKS)
def test_a_setting_of_watch_does_what_it_declares(watch, name):
    CHECKS[name](watch)


def test_every_setting_of_watch_has_an_entry():
    assert set(CHECKS) == set(describe(WatchSettings))


def test_each_address_has_another_token(watch):
    first, second = (watch(port=0)[0] for _ in range(2))
    assert first.split("/")[3] != second.split("/")[3]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match="gone is no folder"):
        peakmark.watch(tmp_path / "gone")
