"""How are results and mistakes printed? Each as one block that can be read at a glance, or copied.

It must not know how a result came about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from peakmark.data.audit.findings import counted
from peakmark.errors import PeakmarkError
from peakmark.nouns.checkup import Checkup
from peakmark.nouns.evaluation import Evaluation
from peakmark.record.comparison import Comparison
from peakmark.record.plain_json import as_json as to_json
from peakmark.report.numbers import four_digits
from peakmark.report.position import position_in_words
from peakmark.report.terminal.audit_table import print_audit
from peakmark.report.terminal.checkup_table import in_words, print_checkup
from peakmark.report.terminal.comparison_table import print_comparison
from peakmark.report.terminal.resume_table import print_causes, print_continuity

if TYPE_CHECKING:
    from peakmark.api.audit import Audit, RepairedSplit
    from peakmark.api.bring_in import Imported
    from peakmark.api.runs import Diagnosis
    from peakmark.api.select import Selection
    from peakmark.release.gate import GateResult
    from peakmark.release.promotion import Release
    from peakmark.resume.replay import Replayed


_EPOCHS_SHOWN = 10


def show_error(console: Console, error: PeakmarkError) -> None:
    """Prints the sentence, or the list of sentences, without a traceback."""
    lines = str(error).splitlines() or [type(error).__name__]
    # What is indented belongs to the line above it and is no mistake of its own.
    mistakes = sum(not line.startswith(" ") for line in lines)
    if mistakes <= 1:
        _line(console, Text.assemble(("Error: ", "bold red"), lines[0]))
        for line in lines[1:]:
            _line(console, Text(line))
        return
    _line(console, Text(f"Error: {mistakes} things to fix", style="bold red"))
    for line in lines:
        _line(console, Text(f"    {line}" if line.startswith(" ") else f"  - {line}"))


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Prints the classes rounded, then every number to its last digit, with the protocol they are by."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    for title in ("truths", "P", "R", "mAP50", "mAP50-95"):
        table.add_column(title, justify="right", no_wrap=True)
    metrics, per_class = evaluation.metrics, evaluation.per_class
    keys = ("precision", "recall", "map50", "map50_95")
    table.add_row("all", str(evaluation.truths), *(four_digits(metrics[key], absent="-") for key in keys), style="bold")
    for index, name in enumerate(evaluation.names):
        numbers = (four_digits(per_class[key][index], absent="-") for key in keys)
        table.add_row(Text(name), str(evaluation.truths_per_class[index]), *numbers)
    console.print(table)
    console.print()
    for name, value in metrics.items():
        console.print(f"{name:<16} {value!r}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    # Compared as text: NaN, for a size of object that does not occur, equals itself there.
    if any(repr(value) != repr(metrics[name]) for name, value in evaluation.coco.items()):
        _line(console, Text("COCO's own figures, with its cap of 100 detections of an image and class:"))
        for name, value in evaluation.coco.items():
            console.print(f"{name:<16} {value!r}", highlight=False, markup=False, soft_wrap=True)
        console.print()
    _line(console, Text(f"{evaluation.images} images, {evaluation.detections} detections. {evaluation.protocol}."))


def show_description(console: Console, description: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints what a checkpoint says of itself: a table for a person, or JSON for a program."""
    if as_json:
        text = json.dumps(_without_nan(description), indent=2, ensure_ascii=False)
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        return
    for key, value in description.items():
        if isinstance(value, Mapping) and value:
            console.print(Text(key, style="bold"), soft_wrap=True)
            width = max(len(str(name)) for name in value)
            for name, inner in value.items():
                _entry(console, f"  {name!s:<{width}}  ", inner)
        else:
            _entry(console, f"{key}  ", value)


def show_replayed(console: Console, done: Replayed) -> None:
    """Prints what was made again, and whether it came out the same."""
    begin, end = position_in_words(done.start), position_in_words(done.end)
    _line(console, Text(f"Made again: {done.steps} updates, twice, from {done.source.name} ({begin}), ending {end}."))
    _line(console, Text(f"Compared: {done.compared_with}."))
    if done.difference is None:
        _line(console, Text("Equal, bit for bit: every weight, statistic, moment and count.", style="green"))
    else:
        _line(console, Text(done.difference, style="bold red"))


def show_selection(console: Console, found: Selection) -> None:
    """Prints the epochs that are best by another fitness, what they were before, and what became of best.pt."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("epoch", found.fitness, found.fitness_before, "weights"):
        table.add_column(title, justify="left" if title == "weights" else "right", overflow="fold")
    for rated in found.epochs[:_EPOCHS_SHOWN]:
        file = "not kept" if rated.file is None else rated.file.name
        chosen = found.chosen is not None and rated.epoch == found.chosen.epoch
        before = four_digits(rated.before, absent="-")
        was = "  (was best)" if rated.epoch == found.best_before else ""
        table.add_row(
            str(rated.epoch + 1), f"{rated.fitness:.4f}", before, Text(file + was), style="green" if chosen else ""
        )
    if found.epochs:
        console.print(table)
    if len(found.epochs) > _EPOCHS_SHOWN:
        _line(console, Text(f"and {len(found.epochs) - _EPOCHS_SHOWN} more", style="dim"))
    _line(console, Text(found.text))


def show_diagnosis(console: Console, found: Diagnosis) -> None:
    """Prints what speaks for or against a run: its state first, then each resume."""
    if found.contradictions:
        _line(console, Text("The newest state can't be that of a healthy run:", style="bold red"))
        print_causes(console, found.contradictions)
    else:
        _line(console, Text("The newest state agrees with itself and with its folder.", style="green"))
    for resumption, verdict in found.resumes:
        _line(console, Text(f"Resume in epoch {resumption.first_epoch + 1}:", style="bold"))
        print_continuity(console, verdict)
    if not found.resumes:
        _line(console, Text("It was never resumed."))


def show_audit(console: Console, found: Audit, *, as_json: bool) -> None:
    """Prints what an audit found: for a person, or JSON for a program."""
    if as_json:
        console.print(found.to_json(), highlight=False, markup=False, soft_wrap=True)
        return
    print_audit(console, found.findings, found.images, found.objects)
    if found.repaired is not None:
        _line(console, Text(_repaired_in_words(found.repaired)))
    _line(console, Text(f"Written to {found.folder}"))


def show_checkup(console: Console, checkup: Checkup, *, as_json: bool) -> None:
    """Prints what a look at this machine found: for a person, or JSON for a program."""
    if as_json:
        told = {**asdict(checkup), "sound": checkup.sound, "text": in_words(checkup)}
        console.print(to_json(told, indent=2), highlight=False, markup=False, soft_wrap=True)
        return
    print_checkup(console, checkup)


def show_comparison(console: Console, comparison: Comparison, *, as_json: bool) -> None:
    """Prints how runs compare: for a person, or JSON for a program."""
    if as_json:
        console.print(comparison.to_json(), highlight=False, markup=False, soft_wrap=True)
        return
    print_comparison(console, comparison)
    _line(console, Text(f"Written to {comparison.folder}"))


def show_release(console: Console, released: Release) -> None:
    """Prints where a release is, and how it is verified."""
    for note in released.notes:
        _line(console, Text(f"Note: {note}", style="yellow"))
    which = "imported" if released.epoch is None else f"epoch {released.epoch}"
    _line(console, Text(f"{released.name} {released.version} ({which}) is released: {released.place}"))
    _line(console, Text(f"It holds {', '.join(released.files)}; verify it with: sha256sum -c SHA256SUMS"))


def show_imported(console: Console, found: Imported) -> None:
    """Prints what was brought in, where from, under which licence, and what is to be known of it."""
    classes = ", ".join(found.names[:8]) + (", ..." if len(found.names) > 8 else "")
    for note in found.notes:
        _line(console, Text(f"Note: {note}", style="yellow"))
    if found.origin["metrics"]:
        said = ", ".join(f"{name} {value:.4f}" for name, value in found.origin["metrics"].items())
        _line(console, Text(f"Its file claims, by its own evaluation: {said}. Here nothing was measured yet."))
    _line(
        console, Text(f"{found.path}: {found.architecture}, {len(found.names)} classes ({classes}), {found.imgsz} px")
    )
    _line(console, Text(f"Measure it with: peakmark val model={found.path} data=data.yaml"))


def show_gate(console: Console, result: GateResult, *, as_json: bool) -> None:
    """Prints what a gate found: for a person, or JSON for a program."""
    if as_json:
        console.print(result.to_json(), highlight=False, markup=False, soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("requirement", overflow="fold")
    for title in ("value", "95 % interval", ""):
        table.add_column(title, justify="right", no_wrap=True)
    for ruling in result.rulings:
        told = Text("holds", style="green") if ruling.passed else Text("FAILS", style="bold red")
        ends = (_near(ruling.low, ruling.limit), _near(ruling.high, ruling.limit))
        interval = "not known" if ruling.low is None else " to ".join(ends)
        table.add_row(Text(ruling.requirement), _near(ruling.value, ruling.limit), interval, told)
    console.print(table)
    judged = {"value": "the values", "lower": "the end of each interval that speaks against the model"}[result.at]
    _line(console, Text(f"{result.images} images of {result.split}, {result.truths} truths; judged by {judged}."))
    # A figure of several looks at each image, or without COCO's cap, would be read as one like the log's.
    _line(console, Text(f"{result.protocol}."))
    if any(ruling.value is None for ruling in result.rulings):
        _line(console, Text("What has no value can't be measured on these data, so it fails."))
    _line(console, Text("Passed.", style="bold green") if result.passed else Text("Not passed.", style="bold red"))


def _near(value: float | None, limit: float) -> str:
    """Rounded, unless that would look like the limit and not be it."""
    shown = four_digits(value, absent="-")
    return repr(value) if value != limit and shown == f"{limit:.4f}" else shown


def _repaired_in_words(repaired: RepairedSplit) -> str:
    sizes = ", ".join(f"{split} {images:,}" for split, images in repaired.images.items())
    return (
        f"Repaired split: {counted(repaired.moved, 'image')} moved,"
        f" {counted(repaired.left_out, 'further copy', 'further copies')} left out ({sizes})."
        f" Train with data={repaired.data_yaml}"
    )


def _entry(console: Console, label: str, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | Mapping) else str(value)
    console.print(Text.assemble((label, "cyan"), text), soft_wrap=True)


def _line(console: Console, text: Text) -> None:
    # Into a file or a pipe a sentence stays one line, so that it can be searched for and a path in it stays whole.
    console.print(text, soft_wrap=not console.is_terminal)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: a reader in another language would refuse the whole document."""
    if isinstance(value, float) and isnan(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(inner) for key, inner in value.items()}
    return [_without_nan(inner) for inner in value] if isinstance(value, list | tuple) else value
