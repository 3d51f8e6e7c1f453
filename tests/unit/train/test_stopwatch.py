"""The time that a stage took is put down to it, and told once there is enough of it."""

from __future__ import annotations

import pytest

from peakmark.events import TimeMeasured
from peakmark.nouns.timings import Stage, Timings
from peakmark.train.stopwatch import MICROBATCHES_MEASURED, WARM_UP_MICROBATCHES, NoStopwatch, Profile


class World:
    """A profile with a clock that moves only when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.told: list[TimeMeasured] = []
        self.waits = 0
        self.asked: list[bool] = []
        self.profile = Profile(self.advise, self.hear, self.wait, lambda: self.now_s)

    def advise(self, timings: Timings, *, first_epoch: bool) -> tuple[str, ...]:
        self.asked.append(first_epoch)
        return ("advice",)

    def hear(self, event: object) -> None:
        assert isinstance(event, TimeMeasured)
        self.told.append(event)

    def wait(self) -> None:
        self.waits += 1

    def spend(self, stage: Stage, seconds: float) -> None:
        with self.profile.stage(stage):
            self.now_s += seconds

    def window(self, microbatches: int, seconds: float = 1.0) -> None:
        for _ in range(microbatches):
            self.spend("loading", seconds)
            self.spend("forward", 2 * seconds)
            self.now_s += seconds  # between the stages
        self.spend("update", seconds)
        self.profile.window_done(microbatches, 8 * microbatches)


def test_the_first_steps_are_left_out_and_the_next_are_told_once():
    world = World()
    world.window(WARM_UP_MICROBATCHES, seconds=1000.0)
    for _ in range(MICROBATCHES_MEASURED // 2 - 1):
        world.window(2)
    assert world.told == []
    world.window(2)
    (event,) = world.told
    steps = MICROBATCHES_MEASURED // 2
    assert event.over == f"{steps} steps"
    assert event.advice == ("advice",)
    assert (event.timings.images, event.timings.microbatches, event.timings.updates) == (
        8 * MICROBATCHES_MEASURED,
        MICROBATCHES_MEASURED,
        steps,
    )
    assert event.timings.seconds == {
        "loading": MICROBATCHES_MEASURED,
        "forward": 2 * MICROBATCHES_MEASURED,
        "loss": 0.0,
        "backward": 0.0,
        "update": steps,
        "other": MICROBATCHES_MEASURED,
    }
    assert event.timings.share("forward") == 20 / 45
    for _ in range(MICROBATCHES_MEASURED):
        world.window(2)
    assert len(world.told) == 1


def test_the_second_epoch_is_told_whole():
    world = World()
    for epoch in range(3):
        world.window(1)
        world.spend("validation", 10.0 * (epoch + 1))
        world.spend("saving", 3.0)
        world.profile.epoch_done(last=epoch == 2)
    (event,) = world.told
    assert event.over == "the second epoch"
    assert event.timings.seconds["validation"] == 20.0
    assert event.timings.seconds["saving"] == 3.0
    assert event.timings.total_s == pytest.approx(5.0 + 23.0)
    assert world.asked == [False]


def test_a_run_of_one_epoch_is_told_of_that_one():
    world = World()
    world.window(1)
    world.profile.epoch_done(last=True)
    assert [event.over for event in world.told] == ["the whole epoch"]


def test_a_validation_is_not_among_the_steps():
    world = World()
    for _ in range(3):
        world.window(WARM_UP_MICROBATCHES)
        world.spend("validation", 1000.0)
        world.profile.epoch_done(last=False)
    assert [event.over for event in world.told] == ["the second epoch"]


def test_a_stage_ends_when_the_device_is_done_and_also_where_it_fails():
    world = World()

    def fail() -> None:
        with world.profile.stage("loading"):
            world.now_s += 5.0
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert world.waits == 2
    world.profile.window_done(1, 1)
    world.profile.epoch_done(last=True)
    assert world.told[0].timings.seconds["loading"] == 5.0


def test_without_a_profile_nothing_is_kept():
    stopwatch = NoStopwatch()
    with stopwatch.stage("forward"):
        stopwatch.window_done(1, 1)
    stopwatch.epoch_done(last=True)
