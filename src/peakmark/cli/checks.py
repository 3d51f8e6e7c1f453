"""Which commands look at something and end with an exit code that says what they found?

`audit` looks at data, `compare`, `report` and `watch` at runs, `gate` at a model, `diagnose` at a run that was resumed,
`doctor` at the machine.

It must not compute anything.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import peakmark
from peakmark.cli.answering import err, help_wanted, out, runs_and_pairs, say, told_plainly
from peakmark.cli.pairs import read_pairs
from peakmark.cli.show import show_audit, show_checkup, show_comparison, show_diagnosis, show_gate
from peakmark.errors import TrainingError
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.settings.familiar_words.translation import flags_of
from peakmark.settings.fields import AuditSettings, CompareSettings, DoctorSettings, GateSettings, WatchSettings

EXIT_NOT_PASSED = 1
"""What a gate ends with where a requirement doesn't hold."""

EXIT_NOT_SOUND = 1
"""What a look at the machine ends with where something failed; a warning is none."""

EXIT_MEDIUM = 5
EXIT_HIGH = 6
"""What an audit ends with, by its worst finding; the errors have 2 to 4."""

EXIT_NOT_RANKED = 7
"""What a comparison ends with where its numbers are of different kinds: a pipeline must not take the first for best."""


def diagnose(run: Annotated[Path, typer.Argument(help="A run's folder, e.g. runs/detect/train")]) -> None:
    """Say whether a run was resumed soundly, and what may have broken it."""
    with told_plainly():
        found = peakmark.diagnose(run)
        show_diagnosis(out(), found)
        raise typer.Exit(0 if found.healthy else TrainingError.exit_code)


def audit(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with every example.")] = False,
) -> None:
    """Look for what could spoil a training on a data set: peakmark audit data=data.yaml"""
    if help_wanted(context, AuditSettings, "peakmark audit data=data.yaml fix=split", _AUDIT):
        return
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(AuditSettings))
        with ConsoleObserver(err()) as observer:
            found = peakmark.audit(observer=observer, **pairs)
        show_audit(out(), found, as_json=json)
        raise typer.Exit({"high": EXIT_HIGH, "medium": EXIT_MEDIUM}.get(found.severity or "", 0))


def compare(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with every number.")] = False,
) -> None:
    """Compare runs, and say what differs: peakmark compare runs/detect/train runs/detect/train2"""
    if help_wanted(context, CompareSettings, "peakmark compare runs/detect/train runs/detect/train2", _COMPARE):
        return
    with told_plainly():
        runs, pairs = runs_and_pairs(context.args, CompareSettings)
        with ConsoleObserver(err()) as observer:
            comparison = peakmark.compare(*runs, observer=observer, **pairs)
        show_comparison(out(), comparison, as_json=json)
        raise typer.Exit(0 if comparison.ranked else EXIT_NOT_RANKED)


def report(context: typer.Context) -> None:
    """Make a run's page anew, or that of a comparison: peakmark report runs/detect/train"""
    if help_wanted(context, CompareSettings, "peakmark report runs/detect/train", _REPORT):
        return
    with told_plainly():
        runs, pairs = runs_and_pairs(context.args, CompareSettings)
        with ConsoleObserver(err()) as observer:
            say(str(peakmark.make_report(*runs, observer=observer, **pairs)))


def watch(context: typer.Context) -> None:
    """Watch runs in a browser while they go: peakmark watch runs/detect"""
    if help_wanted(context, WatchSettings, "peakmark watch runs/detect", _WATCH):
        return
    with told_plainly():
        places, pairs = runs_and_pairs(context.args, WatchSettings)
        with ConsoleObserver(err()) as observer:
            peakmark.watch(*places, observer=observer, up=_say_address, **pairs)


def _say_address(address: str) -> None:
    say(f"Runs are shown at {address}  (Ctrl-C ends it)")
    sys.stdout.flush()


def gate(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with every number.")] = False,
) -> None:
    """Say whether a model is good enough: peakmark gate model=best.pt require="map50_95>=0.5\""""
    if help_wanted(context, GateSettings, 'peakmark gate model=best.pt data=data.yaml require="map50_95>=0.5"', _GATE):
        return
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(GateSettings))
        with ConsoleObserver(err()) as observer:
            result = peakmark.gate(observer=observer, **pairs)
        show_gate(out(), result, as_json=json)
        raise typer.Exit(0 if result.passed else EXIT_NOT_PASSED)


def doctor(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with every finding.")] = False,
) -> None:
    """Say whether this machine can be trusted with a training, in a minute: peakmark doctor"""
    if help_wanted(context, DoctorSettings, "peakmark doctor device=0 project=runs/detect", _DOCTOR):
        return
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(DoctorSettings))
        with ConsoleObserver(err()) as observer:
            checkup = peakmark.doctor(observer=observer, **pairs)
        show_checkup(out(), checkup, as_json=json)
        raise typer.Exit(0 if checkup.sound else EXIT_NOT_SOUND)


_WATCH = """
A run's folder, or one above it; without one runs/detect. Runs that begin later
appear by themselves. Nothing is written, and no training is touched.
The address holds a token: whoever has it sees the runs. Only this machine can
reach it, unless host= says otherwise.
It needs starlette and uvicorn: pip install 'peakmark[watch]'."""


_REPORT = """
One run: report.html in its folder, from what lies there, be it over or under way.
Two or more: compare.html, as `peakmark compare` makes it; the settings below
are those of the comparison. It prints the page's path."""


_AUDIT = f"""
Duplicates, torn sequences, splits that differ, too little data, faulty labels:
each finding with its severity, examples and what to do about it.
  --json  everything, for a program
It ends with {EXIT_HIGH} where the worst finding is of high severity, {EXIT_MEDIUM} for medium, else 0."""


_COMPARE = f"""
Two or more runs, named by their folders or by weights in them. Their best
epochs are held against each other on the same validation images. What differs
is listed; equal settings and seed should give equal digests.
  --json  everything, for a program
It ends with {EXIT_NOT_RANKED} where the runs can't be ranked, since they were validated on
other data or otherwise; else with 0, even where the lead may be chance."""


_GATE = f"""
Validates the model as `peakmark val` does and judges each requirement. Commas
separate requirements; each compares a metric, that of one class (recall[RBC]),
or arithmetic over them with a number, by >= > <= or <. Quote it for the shell.
  --json  everything, for a program
It ends with 0 where all of them hold, with {EXIT_NOT_PASSED} where one doesn't."""


_DOCTOR = f"""
What the machine has, whether its disk holds locks and renames, a training step
against exact numbers, and short trainings: repeated, killed and resumed.
  --json  everything, for a program
It ends with {EXIT_NOT_SOUND} where something failed, else with 0."""
