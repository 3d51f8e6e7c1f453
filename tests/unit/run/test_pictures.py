"""No picture ends a run: what went wrong is told, and it is not tried again for every batch."""

from __future__ import annotations

from typing import Any, cast

import pytest

from peakmark.errors import MachineError
from peakmark.events import EpochStarted, Event, Notice
from peakmark.machine.stopping import EndNow
from peakmark.run.end.pictures import WhileItGoes, drawn

EVENT = cast(Any, EpochStarted(0, 1, 1, True))


def fails_with(error: BaseException) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error", [MachineError("Can't write a.png: full."), ValueError("no\nfont"), MemoryError(), KeyError("x")]
)
def test_what_can_not_be_drawn_is_told_with_its_place(error: Exception):
    told: list[Event] = []
    assert not drawn("The pictures", fails_with(error), told.append)
    (notice,) = told
    assert isinstance(notice, Notice)
    assert notice.serious
    assert notice.text.startswith("The pictures could not be drawn: ")
    assert f"({type(error).__name__} in {__file__}, line " in notice.text
    assert "\n" not in notice.text


def test_what_is_drawn_is_not_spoken_of():
    told: list[Event] = []
    assert drawn("The pictures", lambda: None, told.append)
    assert told == []


def test_ctrl_c_is_no_failure_of_a_picture():
    with pytest.raises(EndNow):
        drawn("The pictures", fails_with(EndNow()), lambda event: None)


def test_after_the_first_failure_nothing_is_drawn_while_it_goes():
    told: list[Event] = []
    asked: list[Event] = []

    def draw(event: Event) -> None:
        asked.append(event)
        if len(asked) == 2:
            raise ValueError("no")

    watch = WhileItGoes(draw, told.append)
    for _ in range(4):
        watch(EVENT)
    assert len(asked) == 2
    assert len(told) == 1


def test_what_is_told_of_a_failure_is_not_drawn_in_its_turn():
    told: list[Event] = []

    def tell(event: Event) -> None:
        told.append(event)
        watch(event)

    watch = WhileItGoes(fails_with(ValueError("no")), tell)
    watch(EVENT)
    assert len(told) == 1
