"""Does the server beside a run come and go with it, and can it neither end nor hold it up?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from peakmark.events import Event, Notice, RunStarted
from peakmark.live.beside import LivePage
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.run import History, Position

SOURCE = Path(__file__).resolve().parents[3] / "src"


def started(folder: Path) -> RunStarted:
    return RunStarted(folder, "yolov8n", 1, ("a",), 1, 1, 2, 32, Position(), "cpu", "float32", 1, "SGD")


class Watched:
    """A run that tells its page that it started, and then that it goes on."""

    def __init__(self, folder: Path, wish: str = "watch: true") -> None:
        folder.mkdir(exist_ok=True)
        (folder / "settings.yaml").write_text(f"{wish}  # given\n")
        (folder / "journal.jsonl").write_text("")
        self.told: list[Event] = []
        self.page = LivePage(self.told.append)
        with StopRequest(None) as stop:
            self._stop = stop
            self.page(started(folder), History(), lambda event: None, stop)

    def goes_on(self) -> None:
        self.page(Notice("an epoch"), History(), lambda event: None, self._stop)

    def until_it_tells(self) -> Notice:
        for _ in range(200):
            self.goes_on()
            if self.told:
                assert isinstance(self.told[0], Notice)
                return self.told[0]
            time.sleep(0.05)
        raise AssertionError("nothing was told in ten seconds")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def test_a_run_that_does_not_wish_it_starts_nothing(tmp_path):
    watched = Watched(tmp_path / "run", "watch: false")
    watched.goes_on()
    assert watched.page._process is None
    assert watched.told == []
    watched.page.close()


def test_where_it_cannot_be_served_that_is_told_and_the_run_goes_on(tmp_path, monkeypatch):
    (tmp_path / "uvicorn.py").write_text("raise ImportError('none here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(SOURCE))))
    watched = Watched(tmp_path / "run")
    notice = watched.until_it_tells()
    assert "peakmark[watch]" in notice.text
    assert "goes on without it" in notice.text
    assert notice.serious
    watched.page.close()


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_the_run_alone_and_one_that_hangs_is_ended(tmp_path):
    for harm in (signal.SIGKILL, signal.SIGSTOP):
        watched = Watched(tmp_path / "run")
        address = watched.until_it_tells().text.split()[-1]
        assert answers(address)
        assert watched.page._process is not None
        watched.page._process.send_signal(harm)
        watched.goes_on()
        watched.page.close()
        assert watched.page._process.poll() is not None
        assert len(watched.told) == 1


@pytest.mark.slow
def test_a_run_that_is_killed_takes_its_server_along(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from tests.unit.live.test_beside import Watched;"
        " print(Watched(Path(sys.argv[1])).until_it_tells().text, flush=True); time.sleep(60)"
    )
    root = SOURCE.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE), str(root)))}
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)
    assert run.stdout is not None
    address = run.stdout.readline().split()[-1]
    assert answers(address)
    run.kill()
    run.wait()
    ended = wait_until(lambda: not answers(address))
    assert ended, "it serves a run that is gone"


def wait_until(is_true: Callable[[], bool]) -> bool:
    for _ in range(100):
        if is_true():
            return True
        time.sleep(0.1)
    return False


def test_the_address_is_told_to_the_observer_and_not_to_the_journal(tmp_path):
    journal: list[Event] = []
    told: list[Event] = []
    page = LivePage(told.append)
    page._to_tell = Notice("Watch it at http://127.0.0.1:1/key/")
    with StopRequest(None) as stop:
        page(Notice("an epoch"), History(), journal.append, stop)
        page(Notice("an epoch"), History(), journal.append, stop)
    assert journal == []
    assert len(told) == 1
