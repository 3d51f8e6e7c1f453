"""A signal or the time limit asks; a second Ctrl-C interrupts; the handlers before are put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from peakmark.machine.stopping import EndNow, StopNow, StopRequest

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]


def test_nothing_asked_nothing_said():
    with StopRequest(None) as stop:
        assert not stop.requested()
        assert stop.reason is None


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_and_harms_nothing(number: signal.Signals):
    with StopRequest(None) as stop:
        os.kill(os.getpid(), number)
        assert stop.requested()
        assert stop.reason == "interrupted"


def test_a_second_ctrl_c_interrupts_at_once():
    with StopRequest(None) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested()
        with pytest.raises(EndNow):
            signal.raise_signal(signal.SIGINT)


def test_the_first_ctrl_c_only_asks_though_a_program_has_asked_before():
    """A run that pauses by itself is saving: a single Ctrl-C must not cut that off."""
    with StopRequest(None) as stop:
        stop.ask("paused")
        signal.raise_signal(signal.SIGINT)
        assert stop.reason == "paused"
        with pytest.raises(EndNow):
            signal.raise_signal(signal.SIGINT)


def test_whoever_knows_only_keyboard_interrupt_catches_a_second_ctrl_c():
    assert issubclass(EndNow, KeyboardInterrupt)


def test_a_second_signal_of_a_scheduler_only_asks_again():
    with StopRequest(None) as stop:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            signal.raise_signal(number)
        assert stop.reason == "interrupted"


@pytest.mark.parametrize("fails", [False, True])
def test_the_handlers_before_come_back(fails: bool):
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError) if fails else StopRequest(None), StopRequest(None):
        assert [signal.getsignal(number) for number in SIGNALS] != before
        if fails:
            raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_time_runs_out_once_and_for_good():
    now = 100.0
    stop = StopRequest(60.0, clock=lambda: now)
    assert not stop.requested()
    now = 159.9
    assert not stop.requested()
    now = 160.0
    assert stop.reason == "out_of_time"


def test_outside_of_the_main_thread_it_is_stopped_by_asking():
    found: list[bool] = []
    before = [signal.getsignal(number) for number in SIGNALS]

    def run() -> None:
        with StopRequest(None) as stop:
            found.append([signal.getsignal(number) for number in SIGNALS] == before)
            stop.ask()
            found.append(stop.requested())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [True, True]


@pytest.mark.parametrize("number", SIGNALS)
def test_what_can_be_dropped_is_dropped_at_once(number: signal.Signals):
    with StopRequest(None) as stop:
        with pytest.raises(StopNow), stop.at_once():
            signal.raise_signal(number)
        assert stop.reason == "interrupted"
        if number != signal.SIGINT:
            signal.raise_signal(number)  # outside, it only asks


def test_a_second_ctrl_c_is_the_same_everywhere():
    with StopRequest(None) as stop, stop.at_once():
        with pytest.raises(StopNow):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
