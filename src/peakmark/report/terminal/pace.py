"""How fast does a run go, and how long will it still take? It must not know how the answer is shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Counts images against a clock within an open epoch, and the seconds of the epochs before it."""

    started_at: float = 0.0
    images_before: int = 0
    """Images of this epoch that were done before the clock started: a resumed run starts inside one."""
    last_epoch_s: float | None = None
    """Training and validation of the last epoch that was seen whole."""

    def start(self, now: float, images_before: int) -> None:
        """Starts the clock of an epoch or of a validation."""
        self.started_at, self.images_before = now, images_before

    def images_per_s(self, now: float, images_done: int) -> float | None:
        """The mean since the start; None before there is one."""
        passed_s, done = now - self.started_at, images_done - self.images_before
        return done / passed_s if passed_s > 0 and done > 0 else None

    def left_in_epoch_s(self, now: float, images_done: int, images: int) -> float | None:
        rate = self.images_per_s(now, images_done)
        return None if rate is None else (images - images_done) / rate

    def left_in_run_s(self, now: float, images_done: int, images: int, epochs_after: int) -> float | None:
        """The rest of this epoch and all later ones, each as long as the last whole one (or as this one promises)."""
        rate = self.images_per_s(now, images_done)
        if rate is None:
            return None
        epoch_s = images / rate if self.last_epoch_s is None else self.last_epoch_s
        return (images - images_done) / rate + epochs_after * epoch_s


def as_clock(seconds: float | None) -> str:
    """Writes a span as a person reads it: 0:07, 12:30, 3:05:00; `-` where it isn't known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
