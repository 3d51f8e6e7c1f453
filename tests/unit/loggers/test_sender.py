"""What a logger gets when it, its server or its process fails: every point, in order, and nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.loggers.test_story import START, ended, over, written

from peakmark.errors import MachineError
from peakmark.loggers import registry
from peakmark.loggers.logger import Ending, Point, RunFacts
from peakmark.loggers.place import folder_of
from peakmark.loggers.sender import Sender
from peakmark.loggers.watch import RunLoggers
from peakmark.nouns.run import History


class Server:
    """Keeps what its loggers were told, and refuses some of it."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.keeps = keeps
        self.calls = 0
        self.refuses: set[int] = set()
        """Calls, counted from 1, that fail."""
        self.runs: dict[str, dict[int, Point]] = {}
        self.facts: list[RunFacts] = []
        self.endings: list[Ending | None] = []

    def make(self, name: str) -> Client:
        return Client(self)

    def called(self) -> None:
        self.calls += 1
        if self.calls in self.refuses:
            raise ConnectionError("away")


class Client:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.keeps_what_is_sent = server.keeps
        self.id = ""
        self.where = "there"

    def open(self, run: RunFacts, known_id: str | None) -> str:
        self.server.called()
        self.id = known_id or f"run{len(self.server.runs)}"
        self.server.runs.setdefault(self.id, {})
        self.server.facts.append(run)
        return self.id

    def send(self, points: Sequence[Point]) -> None:
        self.server.called()
        numbers = [point.number for point in points]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        self.server.runs[self.id].update({point.number: point for point in points})

    def close(self, ending: Ending | None) -> None:
        self.server.called()
        self.server.endings.append(ending)


@pytest.fixture(autouse=True)
def _any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "server_of", lambda name: "a server")


def send(folder: Path, server: Server, *, anew: bool = False) -> tuple[bool, list[Mapping[str, Any]]]:
    """Sends a run that has ended."""
    said: list[Mapping[str, Any]] = []
    over = threading.Event()
    over.set()
    sender = Sender(folder, "any", said.append, server.make)
    return sender.run(over, anew=anew, last_pauses_s=(0.0, 0.0)), said


@pytest.mark.parametrize("keeps", [True, False])
def test_what_is_missing_is_sent_to_the_same_logged_run(tmp_path, keeps):
    server, path = Server(keeps=keeps), tmp_path / "journal.jsonl"
    written(path, START, ended(0, 0.25))
    assert send(tmp_path, server) == (True, [{"done": "there", "points": 1, "id": "run0"}])
    assert server.endings == [None]
    written(path, START, ended(1, 0.5), over())
    assert send(tmp_path, server)[0]
    assert sorted(server.runs["run0"]) == [0, 1]
    assert server.endings[1] is not None
    assert send(tmp_path, server, anew=True)[1][-1]["id"] == "run1"
    assert sorted(server.runs["run1"]) == [0, 1]


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("refused", [1, 2, 3])
def test_a_call_that_fails_is_told_once_and_made_again(tmp_path, keeps, refused):
    """Opening, sending and closing."""
    server = Server(keeps=keeps)
    server.refuses = {refused}
    written(tmp_path / "journal.jsonl", START, ended(0, 0.25), ended(1, 0.5), over())
    is_there, said = send(tmp_path, server)
    assert is_there
    assert [told.get("text", "")[:40] for told in said] == [
        "any takes no numbers; it is tried again.", "any takes numbers again; it has all of t", "",
    ]  # fmt: skip
    assert said[0]["text"].endswith("ConnectionError: away")
    (points,) = server.runs.values()
    assert sorted(points) == [0, 1]


def test_what_stays_away_is_given_up_after_the_end_and_sent_later(tmp_path):
    server = Server()
    written(tmp_path / "journal.jsonl", START, ended(0, 0.25), over())
    server.refuses = set(range(1, 4))
    is_there, said = send(tmp_path, server)
    assert not is_there
    assert said[-1] == {"failed": "ConnectionError: away"}
    assert server.calls == 3, "once, and once after each of two pauses"
    assert send(tmp_path, server)[0]
    assert sorted(server.runs["run0"]) == [0]


def test_points_that_are_not_kept_for_sure_are_sent_again(tmp_path):
    """Of W&B only the end says so; a logger that keeps them is not told twice."""
    for keeps, again in ((True, []), (False, [0])):
        folder = tmp_path / str(keeps)
        server = Server(keeps=keeps)
        server.refuses = {3, 5, 7}  # each close fails
        written(folder / "journal.jsonl", START, ended(0, 0.25))
        assert not send(folder, server)[0]
        server.runs["run0"].clear()
        server.refuses = set()
        assert send(folder, server)[0]
        assert sorted(server.runs["run0"]) == again


def test_settings_go_with_it_and_those_that_a_resume_changed(tmp_path):
    server = Server()
    written(tmp_path / "journal.jsonl", START)
    text = "lr0: 0.5  # changed at the resume in epoch 3, was 0.1\nbatch: 4  # given\n"
    (tmp_path / "settings.yaml").write_text(text)
    assert send(tmp_path, server)[0]
    (facts,) = server.facts
    assert facts.settings["batch"] == 4
    assert facts.changed == {"lr0": "changed at the resume in epoch 3, was 0.1"}


def test_a_folder_without_a_start_has_nothing_to_send(tmp_path):
    is_there, said = send(tmp_path, Server())
    assert is_there
    assert "nothing to send" in said[-1]["failed"]


def test_another_server_gets_all_of_it(tmp_path, monkeypatch):
    server = Server()
    written(tmp_path / "journal.jsonl", START, ended(0, 0.25))
    assert send(tmp_path, server)[0]
    monkeypatch.setattr(registry, "server_of", lambda name: "another")
    other = Server()
    assert send(tmp_path, other)[0]
    assert sorted(other.runs["run0"]) == [0]


def test_a_missing_package_is_told_before_a_training_and_costs_no_resume(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        MachineError, match=r"log_to=wandb: its package isn't installed; pip install 'peakmark\[wandb\]"
    ):
        registry.check_packages(["wandb"], "log_to")
    (tmp_path / "settings.yaml").write_text("log_to: [wandb]  # given\n")
    told: list[Any] = []
    start = type(START)(**{**{name: getattr(START, name) for name in START.__slots__}, "folder": tmp_path})
    RunLoggers()(start, History(), told.append, None)  # type: ignore[arg-type]
    assert told[0].serious
    assert told[0].text.startswith("Nothing is logged. log_to=wandb")
    assert not folder_of(tmp_path, "wandb").exists()
