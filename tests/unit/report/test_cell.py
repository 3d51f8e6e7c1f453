"""A run in a notebook: one output of the cell, drawn over, with what a terminal would show; without a notebook none."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from peakmark.events import EpochEnded, EpochStarted, MicrobatchDone, Notice, RunEnded
from peakmark.machine import notebook
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import Decision, EpochRecord, Position
from peakmark.report.terminal.console import ConsoleObserver

LOSSES = Losses(1.0, 2.0, 3.0)


class _Handle:
    def __init__(self, outputs: list[list[Any]]) -> None:
        self._drawn = outputs[-1]

    def update(self, shown: Any, *, raw: bool) -> None:
        assert raw
        self._drawn.append(shown)


@pytest.fixture
def outputs(monkeypatch):
    """A kernel that keeps what a cell shows: a list for each output, with all that was drawn in it."""
    outputs: list[list[Any]] = []

    def display(shown: Any, *, raw: bool = False, display_id: bool = False) -> _Handle:
        outputs.append([shown])
        return _Handle(outputs)

    ipython, shown = ModuleType("IPython"), ModuleType("IPython.display")
    monkeypatch.setattr(ipython, "get_ipython", lambda: SimpleNamespace(kernel=object()), raising=False)
    monkeypatch.setattr(shown, "display", display, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return outputs


def _run(observe: ConsoleObserver, clock: list[float], epochs: int) -> None:
    for epoch in range(epochs):
        observe(EpochStarted(epoch, epochs, 200, False))
        for done in range(16, 201, 16):
            clock[0] += 0.2
            observe(MicrobatchDone(epoch, epochs, done, 200, LOSSES, 9, 320, 0))
        record = EpochRecord(epoch, 0, 1, 200, LOSSES, (0.1,), fitness=0.4)
        observe(EpochEnded(record, Decision(epoch, epoch == 0, 0, 0.4, False, False, None, "why <so>"), epochs))
    observe(RunEnded(Path("runs/a"), "finished", Position(), None, None, None, "All are done.", False))


def test_a_run_is_one_output_with_the_rows_and_the_live_line(outputs):
    clock = [0.0]
    with ConsoleObserver(clock=lambda: clock[0]) as observe:
        observe(Notice("A <note>."))
        _run(observe, clock, 3)
    [drawn] = outputs
    live = [each["text/plain"] for each in drawn if "img/s" in each["text/plain"]]
    assert 10 < len(live) < 25  # 36 batches 0.2 s apart; drawn at most every 0.5 s
    assert all(text.count("img/s") == 1 for text in live)
    assert "1/3" in live[0].splitlines()[-1]
    last = drawn[-1]
    assert "img/s" not in last["text/plain"]
    assert last["text/plain"].count("why <so>") == 3
    assert "All are done." in last["text/plain"]
    assert not {"\r", "\x1b"} & set("".join(last.values()))
    assert "A &lt;note&gt;." in last["text/html"]
    assert "<note>" not in last["text/html"]
    assert 'style="' in last["text/html"].partition("<span")[2]  # its colours are kept


def test_nothing_is_drawn_again_that_has_not_changed(outputs):
    with ConsoleObserver() as observe:
        observe(Notice("One."))
        before = len(outputs[0])
        observe(EpochStarted(0, 1, 8, True))
    assert len(outputs[0]) == before


def test_a_terminal_and_a_process_without_ipython_are_no_notebook(outputs, monkeypatch):
    assert notebook.in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace())  # IPython on a terminal
    assert not notebook.in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)  # imported by a library
    assert not notebook.in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not notebook.in_notebook()


def test_something_is_shown_as_the_last_line_of_a_cell_would(outputs):
    thing = object()
    notebook.show(thing)
    assert outputs == [[thing]]
