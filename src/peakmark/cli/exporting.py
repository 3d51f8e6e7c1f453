"""Which words take a model elsewhere? Each command reads its pairs, hands them to the facade and shows the result.

It must not compute anything.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from peakmark.cli.answering import help_wanted, model_and_pairs, out, told_plainly
from peakmark.cli.pairs import read_pairs
from peakmark.cli.show_exported import show_benchmark, show_exported, show_parity
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.settings.familiar_words.translation import flags_of
from peakmark.settings.fields import BenchmarkSettings, ExportSettings

if TYPE_CHECKING:
    from peakmark.export.parity import Parity


def export(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write it even if it computes something else.")] = False,
) -> None:
    """Write a model for another runtime, and compare the two: peakmark export model=best.pt"""
    if help_wanted(context, ExportSettings, "peakmark export model=best.pt format=onnx data=data.yaml", _EXPORT):
        return
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(ExportSettings))
        model, pairs = model_and_pairs(ExportSettings, pairs)
        with ConsoleObserver(out()) as observer:
            exported = model.export(observer=observer, yes=yes or _asked, **pairs)
        show_exported(out(), exported)


def benchmark(context: typer.Context) -> None:
    """Compare size, speed and mAP of a model's formats: peakmark benchmark model=best.pt"""
    if help_wanted(context, BenchmarkSettings, "peakmark benchmark model=best.pt data=data.yaml", _BENCHMARK):
        return
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(BenchmarkSettings))
        model, pairs = model_and_pairs(BenchmarkSettings, pairs)
        with ConsoleObserver(out()) as observer:
            found = model.benchmark(observer=observer, **pairs)
        show_benchmark(out(), found)


def _asked(parity: Parity) -> bool:
    """Asks the person at the terminal; where there is none, nobody has agreed."""
    if not sys.stdin.isatty():
        return False
    show_parity(out(), parity)
    return typer.confirm("The file computes something else. Write it?")


_EXPORT = """
The written file is loaded by its own runtime and compared with the model on
validation images: every box and score, and mAP50-95. A file that is off gets
no name. What was found out lies beside it, in best.onnx.json.
  --yes, -y  writes it even so"""


_BENCHMARK = """
Writes the model in every format whose packages are installed, into one folder,
compares each with the model, and times one image at a time on this machine."""
