"""How long may a run still go on? `time=` is for the whole run, however often it was stopped; a larger one extends it.

It must not know how a run is stopped.
"""

from __future__ import annotations

from peakmark.record.folder import RunFolder
from peakmark.settings.fields import Settings
from peakmark.state.state import RunState

_SECONDS_PER_HOUR = 3600


def left_s(settings: Settings, state: RunState) -> float | None:
    """Gives what is left of the limit, 0 or less where it is used up, None where there is none."""
    return None if settings.time is None else settings.time * _SECONDS_PER_HOUR - state.trained_s


def time_notes(folder: RunFolder, settings: Settings, state: RunState) -> tuple[str, ...]:
    """Says of a resumed run what is left of its limit, and how it gets more."""
    left, is_over = left_s(settings, state), state.position.epoch >= settings.epochs
    if settings.time is None or left is None or not state.trained_s or is_over:
        return ()
    if left <= 0:
        return (f"The time of the whole run, time={settings.time:g} hours, is used up. {larger(folder, settings)}",)
    used_h, left_h = (seconds / _SECONDS_PER_HOUR for seconds in (state.trained_s, left))
    return (f"time={settings.time:g} hours is for the whole run: {used_h:.3g} are used, {left_h:.3g} are left.",)


def larger(folder: RunFolder, settings: Settings) -> str:
    """Says how a run gets more time."""
    assert settings.time is not None
    return f"Go on with a larger one, for the whole run again: peakmark resume {folder.path} time={2 * settings.time:g}"
