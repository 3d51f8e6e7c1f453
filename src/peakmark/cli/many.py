"""Which words train many times over? Each command reads its pairs, hands them to the facade and shows what came of it.

It must not compute anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console

import peakmark
from peakmark.cli.answering import help_wanted, out, say, told_plainly
from peakmark.cli.pairs import read_pairs
from peakmark.cli.show_many import show_repeated, show_tuned
from peakmark.nouns.outcome import EXIT_INTERRUPTED
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.settings.familiar_words.translation import flags_of
from peakmark.settings.fields import FoldsSettings, SeedsSettings, Settings, TuneSettings

Json = Annotated[bool, typer.Option("--json", help="For a program: JSON, with every number.")]


def tune(context: typer.Context, json: Json = False) -> None:
    """Search settings with Optuna: peakmark tune data=data.yaml trials=20 epochs=30"""
    example = 'peakmark tune data=data.yaml trials=20 epochs=30 space="lr0=1e-4..1e-2 log, mosaic=0..1"'
    if help_wanted(context, TuneSettings, example, _TUNE):
        return
    _carry_out("tune", context, show_tuned, json)


def seeds(context: typer.Context, json: Json = False) -> None:
    """Train with several seeds, and say what the seed does: peakmark seeds data=data.yaml n=5"""
    if help_wanted(context, SeedsSettings, "peakmark seeds data=data.yaml n=5 epochs=50", _SEEDS):
        return
    _carry_out("seeds", context, show_repeated, json)


def folds(context: typer.Context, json: Json = False) -> None:
    """Cross-validate, and find labels that held-out models contradict: peakmark folds data=data.yaml k=5"""
    if help_wanted(context, FoldsSettings, "peakmark folds data=data.yaml k=5 epochs=50", _FOLDS):
        return
    _carry_out("folds", context, show_repeated, json)


class _Done(Protocol):
    """What came of many trainings."""

    @property
    def done(self) -> bool: ...
    def to_json(self) -> str: ...


def _carry_out(verb: str, context: typer.Context, show: Callable[[Console, Any], None], json: bool) -> None:
    """Has the facade train, shows what came of it, and ends with the exit code of one that was stopped if it was."""
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(Settings))
        with ConsoleObserver(out()) as observer:
            found: _Done = getattr(peakmark, verb)(observer=observer, **pairs)
        say(found.to_json()) if json else show(out(), found)
        raise typer.Exit(0 if found.done else EXIT_INTERRUPTED)


_TUNE = """
Every setting of `peakmark train --help` may be given, and holds for each trial.
The winner is trained again with other seeds, beside the start's settings.
peakmark tune resume=FOLDER goes on, alone or as one more worker.
  --json  everything, for a program"""


_SEEDS = """
Every setting of `peakmark train --help` but seed may be given.
peakmark seeds resume=FOLDER goes on.
  --json  everything, for a program"""


_FOLDS = """
Every setting of `peakmark train --help` may be given. Sequences and near
duplicates stay whole, classes are dealt out evenly; test images are left out.
peakmark folds resume=FOLDER goes on.
  --json  everything, for a program"""
