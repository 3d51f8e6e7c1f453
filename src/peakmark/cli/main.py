"""Which words can a user type? All of them, in the order of the help; the entry point of the package."""

from __future__ import annotations

from collections.abc import Callable

from peakmark.cli.app import app
from peakmark.cli.judging import audit, compare, diagnose, gate
from peakmark.cli.training import predict, resume, train, val
from peakmark.cli.weights import inspect, promote, replay, select, strip

__all__ = ["app", "run"]

_PANELS: tuple[tuple[str, tuple[Callable[..., None], ...]], ...] = (
    ("Train and use", (train, resume, val, predict)),
    ("Judge", (audit, compare, gate, diagnose)),
    ("Weights and files", (inspect, select, promote, strip, replay)),
)
_READ_PAIRS = (train, resume, val, predict, audit, compare, gate, promote)
"""Their arguments are read by read_pairs, --help included: they have more settings than options could show."""

for _panel, _commands in _PANELS:
    for _command in _commands:
        if _command in _READ_PAIRS:
            settings = {"allow_extra_args": True, "ignore_unknown_options": True}
            app.command(rich_help_panel=_panel, context_settings=settings, add_help_option=False)(_command)
        else:
            app.command(rich_help_panel=_panel)(_command)


def run() -> None:
    """Runs the command line and ends the process."""
    app()
