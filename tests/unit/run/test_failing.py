"""An error that ends a run: what is whole is saved first, and no later error takes its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from peakmark.errors import DataError, MachineError, TrainingError
from peakmark.events import Event, Notice
from peakmark.machine.devices import Arithmetic
from peakmark.record.folder import RunFolder
from peakmark.run.failing import out_of_memory, save_what_stands, tell_what_stands
from peakmark.settings.fields import Settings
from peakmark.state.state import RunState

NOTHING = cast(Any, None)
FOLDER = RunFolder(Path("runs/train"))


class FakeKeeper:
    """Remembers what it was asked for, and may refuse."""

    def __init__(self, *, closed: bool = False, fails_at: str = "", error: Exception | None = None) -> None:
        self.closed = closed
        self.asked: list[str] = []
        self._fails_at = fails_at
        self._error = error or MachineError("Can't write last.pt: No space left on device.")

    def keep_position(self, state: RunState) -> None:
        self._do("keep")

    def close(self) -> None:
        self._do("close")

    def _do(self, what: str) -> None:
        self.asked.append(what)
        if what == self._fails_at:
            raise self._error


def state(*, whole: bool = True) -> RunState:
    return RunState(NOTHING, NOTHING, NOTHING, None, whole=whole)


def test_what_is_whole_is_saved_and_waited_for():
    keeper = FakeKeeper()
    assert save_what_stands(state(), keeper) == ""
    assert keeper.asked == ["keep", "close"]


def test_what_was_cut_off_in_the_middle_of_an_update_is_not_saved_but_what_was_handed_in_before_is():
    keeper = FakeKeeper()
    assert "in the middle of an update" in save_what_stands(state(whole=False), keeper)
    assert keeper.asked == ["close"]


def test_after_the_last_save_nothing_is_saved_again():
    keeper = FakeKeeper(closed=True)
    assert save_what_stands(state(), keeper) == ""
    assert keeper.asked == ["close"]


@pytest.mark.parametrize("fails_at", ["keep", "close"])
@pytest.mark.parametrize(
    "error", [MachineError("No space left."), RuntimeError("CUDA error"), MemoryError("none"), TrainingError("NaN")]
)
def test_a_save_that_fails_as_well_is_put_into_words(fails_at: str, error: Exception):
    said = save_what_stands(state(), FakeKeeper(fails_at=fails_at, error=error))
    assert said == f"What was trained since the last save is not saved. {error}"


@pytest.mark.parametrize(
    ("error", "not_saved", "said"),
    [
        (ValueError(), "", "All that was trained is saved. Resume with: peakmark resume runs/train"),
        (
            DataError(),
            "",
            "All that was trained is saved. With the data as it was, resume with: peakmark resume runs/train",
        ),
        (ValueError(), "Not saved.", "Not saved. Go on from the last save with: peakmark resume runs/train"),
    ],
)
def test_how_to_go_on_is_told(error: Exception, not_saved: str, said: str):
    events: list[Event] = []
    tell_what_stands(error, not_saved, FOLDER, events.append)
    assert events == [Notice(said, serious=True)]


def test_whoever_can_not_be_told_does_not_hide_the_error():
    def fails(event: Event) -> None:
        raise BrokenPipeError

    with pytest.raises(ZeroDivisionError):
        tell_what_stands(ZeroDivisionError(), "", FOLDER, fails)


@pytest.mark.parametrize(
    ("changes", "precision", "told", "not_told"),
    [
        ({"batch": 8}, "bfloat16", ("smaller batch", "smaller imgsz", "resume runs/train batch=4"), ("amp", "cache")),
        ({"batch": 1, "imgsz": 640}, "bfloat16", ("smaller imgsz", "resume runs/train imgsz=320"), ("smaller batch",)),
        ({"amp": False, "cache": "ram"}, "float32", ("amp=True", "cache=disk"), ()),
        ({"cache": "device"}, "bfloat16", ("cache=ram",), ("amp",)),
    ],
)
def test_where_memory_is_used_up_only_what_would_help_is_told(
    changes: dict[str, Any], precision: Any, told: tuple[str, ...], not_told: tuple[str, ...]
):
    settings = Settings.model_validate({"data": "x", **changes})
    said = str(out_of_memory(settings, Arithmetic("cpu", "test", precision, 1, True, True), FOLDER))
    assert all(words in said for words in told), said
    assert not any(words in said for words in not_told), said
    followed = str(out_of_memory(settings, Arithmetic("cpu", "test", precision, 1, True, True), None))
    assert followed == said.replace(f"peakmark resume {FOLDER.path} ", "")
