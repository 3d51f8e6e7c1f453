"""Which words are about the weights and files of a run? Said, shipped, chosen again, made again, released, logged.

It must not compute anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import peakmark
from peakmark.cli.answering import help_wanted, out, run_and_pairs, runs_and_pairs, say, told_plainly
from peakmark.cli.pairs import read_pairs
from peakmark.cli.show import show_description, show_imported, show_release, show_replayed, show_selection
from peakmark.errors import SettingsError, TrainingError
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.settings.fields import ImportSettings, LogSettings, PromoteSettings


def inspect(
    file: Annotated[Path, typer.Argument(help="A checkpoint, e.g. runs/detect/train/weights/best.pt")],
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with the digests.")] = False,
) -> None:
    """Say what a checkpoint is: epoch, fitness, settings, where it came from."""
    with told_plainly():
        show_description(out(), peakmark.inspect(file), as_json=json)


def strip(
    file: Annotated[Path, typer.Argument(help="A checkpoint, e.g. runs/detect/train/weights/best.pt")],
    target: Annotated[Path | None, typer.Argument(help="Where to; without it best-stripped.pt beside it.")] = None,
) -> None:
    """Write a small copy of a checkpoint for shipping; no run can go on from it."""
    with told_plainly():
        path, before, after = peakmark.strip(file, target)
        say(f"{path}: {after / 1e6:.1f} MB instead of {before / 1e6:.1f} MB")


def select(
    run: Annotated[Path, typer.Argument(help="A run's folder, e.g. runs/detect/train")],
    fitness: Annotated[list[str], typer.Argument(help="fitness=..., as for peakmark train", metavar="fitness=...")],
    kept: Annotated[bool, typer.Option("--kept", help="Take the best of those whose weights are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Make best.pt of the epoch that is best by another fitness: peakmark select runs/detect/train fitness=map50"""
    with told_plainly():
        pairs = read_pairs(fitness)
        if set(pairs) != {"fitness"}:
            raise SettingsError(["select takes one setting: fitness=..., e.g. fitness=map50"])
        with ConsoleObserver(out()) as observer:
            found = peakmark.select(run, fitness=pairs["fitness"], kept=kept, dry_run=dry_run, observer=observer)
        show_selection(out(), found)
        raise typer.Exit(0 if found.done or dry_run else SettingsError.exit_code)


def replay(
    run: Annotated[Path, typer.Argument(help="A run's folder, or the checkpoint to start from.")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates to make; without it up to the next kept file, if it is near.")
    ] = None,
) -> None:
    """Make steps of a run again and compare: a proof, or the first step and tensor that differ."""
    with told_plainly():
        with ConsoleObserver(out()) as observer:
            done = peakmark.replay(run, steps=steps, observer=observer)
        show_replayed(out(), done)
        raise typer.Exit(0 if done.equal else TrainingError.exit_code)


def import_(context: typer.Context) -> None:
    """Bring a model of another program in, as a checkpoint: peakmark import FILE"""
    if help_wanted(context, ImportSettings, "peakmark import theirs.pt to=ours.pt", _IMPORT):
        return
    with told_plainly():
        files, pairs = runs_and_pairs(context.args, ImportSettings)
        if len(files) != 1:
            raise SettingsError(["import takes one file: peakmark import theirs.pt to=ours.pt"])
        with ConsoleObserver(out()) as observer:
            found = peakmark.import_model(files[0], observer=observer, **pairs)
        show_imported(out(), found)


_IMPORT = """
Takes a YOLOv8 .pt file of another program, a state dict or a .safetensors
file; nothing in it is executed. Also known names, with download=True:
yolov8n.pt, yolov8s.pt, yolov8m.pt, yolov8l.pt, yolov8x.pt."""


def promote(context: typer.Context) -> None:
    """Release a run's best epoch, versioned and for good: peakmark promote RUN to=DIR_OR_URL"""
    if help_wanted(context, PromoteSettings, "peakmark promote runs/detect/train to=s3://models", _PROMOTE):
        return
    with told_plainly():
        run, pairs = run_and_pairs(context.args, PromoteSettings)
        if run is None:
            raise SettingsError(["No run is named; write its folder: peakmark promote runs/detect/train to=..."])
        show_release(out(), peakmark.promote(run, **pairs))


def log(context: typer.Context) -> None:
    """Send a run's numbers to where a team keeps its runs: peakmark log RUN to=mlflow"""
    if help_wanted(context, LogSettings, "peakmark log runs/detect/train to=mlflow,wandb", _LOG):
        return
    with told_plainly():
        run, pairs = run_and_pairs(context.args, LogSettings)
        if run is None:
            raise SettingsError(["No run is named; write its folder: peakmark log runs/detect/train to=mlflow"])
        with ConsoleObserver(out()) as observer:
            logged = peakmark.log(run, observer=observer, **pairs)
        for each in logged:
            say(f"{each.to} has {each.epochs} epochs. {each.where}")


_LOG = """
Sends what is missing there, from the run's journal. A training does the same
while it goes on, with log_to=. Where to is said as each of them has it, by
MLFLOW_TRACKING_URI, WANDB_PROJECT and the like."""


_PROMOTE = """
Puts best.pt, summary.json, a model card and checksums into to=/NAME/VERSION,
all of it or nothing. A version that is there is never changed."""
