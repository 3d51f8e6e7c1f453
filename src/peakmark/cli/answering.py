"""What do all commands share? How words become pairs, how their help is shown, and how an error is told.

It starts fast: nothing here loads torch for a help, or for words that are no pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

import peakmark
from peakmark.cli.pairs import read_pairs
from peakmark.cli.settings_help import show_settings
from peakmark.cli.show import show_error
from peakmark.errors import PeakmarkError, SettingsError
from peakmark.nouns.outcome import EXIT_INTERRUPTED
from peakmark.report.terminal.terminal import Terminal
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.familiar_words.translation import flags_of, without_model


def run_and_pairs(words: list[str], kind: type[SettingsModel]) -> tuple[str | None, dict[str, str]]:
    named, pairs = runs_and_pairs(words, kind)
    if len(named) > 1:
        raise SettingsError([f"More than one run is named: {', '.join(named)}. Settings are written key=value."])
    return next(iter(named), None), pairs


def runs_and_pairs(words: list[str], kind: type[SettingsModel]) -> tuple[list[str], dict[str, str]]:
    """Takes the runs' folders out of the words."""
    named: list[str] = []
    pairs = read_pairs(words, flags_of(kind), named)
    return named, pairs


def model_and_pairs(
    kind: type[SettingsModel], pairs: dict[str, str], *, mistakes: Iterable[str] = ()
) -> tuple[peakmark.YOLO, dict[str, str]]:
    """Makes the model that a command's pairs name, and gives the others. Raises every mistake at once."""
    return peakmark.YOLO.from_settings(kind, pairs, mistakes=mistakes), without_model(kind, pairs)


def help_wanted(context: typer.Context, kind: type[SettingsModel], example: str, more: str = "") -> bool:
    if not {"--help", "-h", "help"} & set(context.args):
        return False
    console = out()
    console.print(f"{(context.command.help or '').partition(':')[0]}. Settings are written key=value:", highlight=False)
    console.print(f"  {example}", highlight=False, markup=False)
    if more:
        console.print(more, highlight=False, markup=False)
    console.print("\nEach setting with its default, its meaning, and in brackets its range.\n", highlight=False)
    show_settings(console, kind)
    return True


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turns a user's mistake into its sentence and exit code, and Ctrl-C into 130; a defect keeps its traceback."""
    try:
        yield
    except PeakmarkError as error:
        show_error(err(), error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def say(text: str) -> None:
    out().print(text, highlight=False, markup=False, soft_wrap=True)


def out() -> Console:
    return Terminal()


def err() -> Console:
    return Terminal(stderr=True)
