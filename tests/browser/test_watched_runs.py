"""Does a page that is watched move by itself, in Chromium? Curves, state, list; and does it say when nobody answers?"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser.conftest import eventually
from tests.told_run import ToldRun

from peakmark.live.finding import key_of
from peakmark.live.server import address_of, listen, server_of

pytest.importorskip("uvicorn", reason="the extra is missing: pip install '.[watch]'")


@pytest.fixture
def told(tmp_path: Path) -> ToldRun:
    told = ToldRun(tmp_path / "runs/train 🔩 <b>")
    told.held_by(os.getpid())
    told.start()
    for _ in range(3):
        told.epoch()
    return told


class Served:
    def __init__(self, folder: Path) -> None:
        self._socket = listen("127.0.0.1", 0)
        self.address = address_of(self._socket, "token")
        self._server = server_of([folder], "token")
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def served(told: ToldRun) -> Iterator[Served]:
    served = Served(told.run.path.parent)
    yield served
    served.stop()


def test_the_page_moves_as_epochs_end_and_stays_as_it_is_looked_at(open_page, served: Served, told: ToldRun):
    page = open_page(served.address)
    assert page.locator("#runs a").inner_text() == "train 🔩 <b>"
    assert page.locator("#runs .state").inner_text() == "running"
    page.locator("#runs a").click()
    page.locator("#language").select_option("zh")
    page.locator("#live-decisions summary").click()
    page.evaluate("window.stayed = true")
    told.epoch()
    eventually(page, "curveCharts[0].chart.data[0].length === 4")
    assert page.evaluate("window.stayed"), "it was not loaded anew"
    assert page.locator("#live-decisions").get_attribute("open") is not None
    assert page.locator("#live-decisions li").count() == 4
    assert page.locator("#live .state").inner_text() == "进行中"
    assert page.locator("#live progress").evaluate("each => each.value") == 4


@pytest.mark.slow
def test_a_run_that_begins_appears_and_one_that_ends_is_said_to(open_page, served: Served, told: ToldRun):
    page = open_page(served.address)
    another = ToldRun(told.run.path.parent / "another")
    another.held_by(2**22 + 1)
    another.start()
    page.get_by_text("stopped without a word").wait_for()
    told.end("finished")
    page.get_by_text("ended", exact=True).wait_for()
    assert page.locator("#runs tbody tr").count() == 2


@pytest.mark.slow
def test_a_server_that_is_gone_is_said_to_be(chromium: Any, served: Served, told: ToldRun):
    # Not by open_page: a browser writes a connection that is refused into the console.
    page = chromium.new_context().new_page()
    page.goto(f"{served.address}runs/{key_of(told.run.path)}/")
    assert not page.locator("#lost").is_visible()
    served.stop()
    page.locator("#lost").wait_for(state="visible", timeout=8000)
    assert page.locator("#charts .uplot").count() > 0, "what was last heard stays"
    page.context.close()


@pytest.mark.slow
def test_best_so_far_brings_its_section_along(open_page, tmp_path: Path):
    told = ToldRun(tmp_path / "runs/new")
    told.held_by(os.getpid())
    told.start()
    served = Served(told.run.path)
    try:
        page = open_page(f"{served.address}runs/{key_of(told.run.path)}/")
        assert "No epoch is done yet" in page.locator("#charts").inner_text()
        told.epoch()
        eventually(page, "curveCharts.length > 0")
        assert page.locator("#facts .number b").first.inner_text() == "1"
    finally:
        served.stop()
