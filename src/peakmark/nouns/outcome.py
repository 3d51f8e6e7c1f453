"""How can a run end? Every outcome: which are its end, which wait for a resume, which exit code a command gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from peakmark.errors import TrainingError
from peakmark.machine.stopping import StopReason

Outcome = Literal["finished", "early_stopped", "not_finite"] | StopReason
"""A run that is asked to stop ends by the reason. paused and broken are what on_break says is done where the epochs
after a resume don't follow from those before."""

OVER: Final = ("finished", "early_stopped")
"""The run came to its end: its best epoch is final, and there is nothing to resume."""

WAITING: Final = ("interrupted", "out_of_time", "paused")
"""A resume that names no run may take it. Not `broken`: a run that on_break=stop ended waits for somebody who names
it."""

EXIT_INTERRUPTED: Final = 130
"""What a shell gives for a program that Ctrl-C ended."""

EXIT_CODES: Final[Mapping[Outcome, int]] = {
    "finished": 0,
    "early_stopped": 0,
    "out_of_time": 0,
    "interrupted": EXIT_INTERRUPTED,
    "paused": EXIT_INTERRUPTED,
    "broken": TrainingError.exit_code,
    "not_finite": TrainingError.exit_code,
}
"""What a command ends with whose run ended so."""
