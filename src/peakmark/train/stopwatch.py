"""Where does the time of a training go? A clock that the loop and its steps start and stop at their seams.

It changes no number. It must not know what would make anything faster; that is `advice`'s word.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from peakmark.events import Observer, TimeMeasured
from peakmark.nouns.timings import Stage, Timings

WARM_UP_MICROBATCHES = 3
"""Kernels are chosen and memory is taken in the first ones: they would tell of the start, not of the training."""
MICROBATCHES_MEASURED = 10
_EPOCH_TOLD = 2
"""In the first one, images are read that later ones find in memory."""

STEP_STAGES: tuple[Stage, ...] = ("loading", "forward", "loss", "backward", "update")
EPOCH_STAGES: tuple[Stage, ...] = (*STEP_STAGES, "validation", "saving")


class Advise(Protocol):
    def __call__(self, timings: Timings, *, first_epoch: bool) -> tuple[str, ...]: ...


class Stopwatch(Protocol):
    """What the loop and its steps tell of where they are."""

    def stage(self, name: Stage) -> AbstractContextManager[None]:
        """Takes the time of what happens inside it."""

    def window_done(self, microbatches: int, images: int) -> None:
        """An update was attempted."""

    def epoch_done(self, *, last: bool) -> None:
        """An epoch is trained, validated and saved; `last`: none follows."""


class NoStopwatch:
    """Takes no time, and none of the training's."""

    _NOTHING = nullcontext()

    def stage(self, name: Stage) -> AbstractContextManager[None]:
        return self._NOTHING

    def window_done(self, microbatches: int, images: int) -> None:
        pass

    def epoch_done(self, *, last: bool) -> None:
        pass


NOT_TIMED = NoStopwatch()


class Profile:
    """Tells where the time went: after a few steps, and after the second epoch or the only one."""

    def __init__(
        self,
        advise: Advise,
        observe: Observer,
        wait: Callable[[], None],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`wait` returns once the device has done what it was asked for: until then, the time is not over."""
        self._advise = advise
        self._observe = observe
        self._wait = wait
        self._now = now
        self._steps = _Sums(now())
        self._epoch = _Sums(now())
        self._epochs = 0
        self._warm = False
        self._steps_told = False

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        self._wait()
        began_at = self._now()
        try:
            yield
        finally:
            self._wait()
            seconds = self._now() - began_at
            self._steps.add(name, seconds)
            self._epoch.add(name, seconds)

    def window_done(self, microbatches: int, images: int) -> None:
        self._epoch.count(microbatches, images)
        if self._steps_told:
            return
        self._steps.count(microbatches, images)
        enough = MICROBATCHES_MEASURED if self._warm else WARM_UP_MICROBATCHES
        if self._steps.microbatches < enough:
            return
        if self._warm:
            self._tell(f"{self._steps.updates} steps", self._steps.timings(STEP_STAGES, self._now()))
            self._steps_told = True
        self._warm = True
        self._steps = _Sums(self._now())

    def epoch_done(self, *, last: bool) -> None:
        self._epochs += 1
        self._steps = _Sums(self._now())  # steps on both sides of a validation would count it among themselves
        if self._epochs == _EPOCH_TOLD or (last and self._epochs < _EPOCH_TOLD):
            which = "the whole epoch" if self._epochs == 1 else "the second epoch"
            self._tell(which, self._epoch.timings(EPOCH_STAGES, self._now()))
        self._epoch = _Sums(self._now())

    def _tell(self, over: str, timings: Timings) -> None:
        self._observe(TimeMeasured(over, timings, self._advise(timings, first_epoch=self._epochs < _EPOCH_TOLD)))


class _Sums:
    """Seconds by stage since a moment, and what was done in them."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._seconds: dict[Stage, float] = {}
        self.microbatches = 0
        self.images = 0
        self.updates = 0

    def add(self, name: Stage, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def count(self, microbatches: int, images: int) -> None:
        self.microbatches += microbatches
        self.images += images
        self.updates += 1

    def timings(self, stages: tuple[Stage, ...], now: float) -> Timings:
        """What lies in none of the stages is in `other`, the last one."""
        seconds = {stage: self._seconds.get(stage, 0.0) for stage in stages}
        seconds["other"] = max(0.0, now - self._since - sum(seconds.values()))
        return Timings(seconds, self.images, self.microbatches, self.updates)
