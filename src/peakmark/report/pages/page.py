"""What came of a run, on one page? report.html, made from what lies in the run's folder and nothing else.

Pictures are embedded, so that the one file can be sent to somebody; it needs no network and runs no script. It must not
compute a metric or decide what was best: it shows what summary.json, results.csv and journal.jsonl say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.drawing.colours import class_colour
from peakmark.files.durable import write_text
from peakmark.markup import data_url, render
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.record.results_csv import loss_columns
from peakmark.report.numbers import finite, four_digits
from peakmark.report.pages.how_sure import Certainty, certainty_of
from peakmark.report.pages.resumes import ShownResume, resumes_in
from peakmark.report.pages.run_files import mapping, read_epochs, read_file, read_summary
from peakmark.report.pages.table import Row, Table
from peakmark.settings.description import as_written, describe
from peakmark.settings.fields import Settings

PAGE_FILE = "report.html"

_PICTURES = (
    ("results.png", "Losses, rates and metrics, epoch by epoch"),
    ("PR_curve.png", "Precision and recall, class by class"),
    ("F1_curve.png", "F1 by confidence"),
    ("P_curve.png", "Precision by confidence"),
    ("R_curve.png", "Recall by confidence"),
    ("confusion_matrix_normalized.png", "Confusion, as shares of each true class"),
    ("confusion_matrix.png", "Confusion, counted"),
    ("val_batch*[0-9].jpg", "Validation: labelled and found, side by side"),
    ("train_batch*.jpg", "Training images as the model was given them"),
    ("labels.jpg", "The labels"),
)
_WIDE = ("results.png", "labels.jpg", "val_batch", "train_batch")

_NUMBERS = (
    ("map50_95", "mAP50-95"),
    ("map50", "mAP50"),
    ("map75", "mAP75"),
    ("precision", "precision"),
    ("recall", "recall"),
)
_CLASS_COLUMNS = (("map50_95", "AP50-95"), ("map50", "AP50"), ("precision", "precision"), ("recall", "recall"))
_EPOCH_COLUMNS = (
    ("epoch", "epoch"),
    *loss_columns("train").items(),
    *((column, f"val {term}") for column, term in loss_columns("val").items()),
    ("metrics/precision(B)", "precision"),
    ("metrics/recall(B)", "recall"),
    ("metrics/mAP50(B)", "mAP50"),
    ("metrics/mAP50-95(B)", "mAP50-95"),
)


@dataclass(frozen=True, slots=True)
class LabelledNumber:
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class BestEpoch:
    numbers: Sequence[LabelledNumber]
    reason: str
    """Why it is the best; empty where that isn't said."""
    protocol: Sequence[str]
    """How the numbers were made, in sentences."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    name: str
    colour_rgb: tuple[int, int, int]
    """That its boxes have."""
    numbers: Sequence[str]
    bar_percent: int
    """The first of the numbers."""


@dataclass(frozen=True, slots=True)
class Classes:
    metrics: list[str]
    rows: Sequence[ClassRow]
    """The highest mAP first."""
    has_gaps: bool
    """Whether a number isn't there."""


@dataclass(frozen=True, slots=True)
class Picture:
    words: str
    file_name: str
    url: str
    is_wide: bool


@dataclass(frozen=True, slots=True)
class RunPage:
    """What the page of a run holds; what the run's folder doesn't have is None or empty."""

    name: str
    folder: str
    facts: Sequence[str]
    text: str
    best: BestEpoch | None
    certainty: Certainty | None
    classes: Classes | None
    pictures: Sequence[Picture]
    epochs: Table | None
    resumes: Sequence[ShownResume]
    settings: Table | None
    """That differ from the defaults, which may be none."""
    origins: Sequence[tuple[str, str]]
    """Digests, versions and fingerprints: what, and its value."""


def write_page(folder: Path) -> Path:
    """Writes report.html into a run's folder and gives its path; what isn't there is left out.

    Raises `MachineError` where summary.json, results.csv or the journal can't be read or the page can't be written.
    """
    summary = read_summary(folder / "summary.json")
    page = RunPage(
        name=folder.resolve().name,
        folder=str(folder),
        facts=_facts(summary),
        text=str(summary.get("text") or ""),
        best=_best(summary),
        certainty=certainty_of(summary),
        classes=_classes(summary),
        pictures=_pictures(folder),
        epochs=_epochs(read_epochs(folder / "results.csv"), summary),
        resumes=resumes_in(read_journal(RunFolder(folder).journal)),
        settings=_settings(mapping(summary.get("settings"))),
        origins=_origins(summary),
    )
    write_text(folder / PAGE_FILE, render("report/pages/templates/run.html.j2", page=page))
    return folder / PAGE_FILE


def _facts(summary: Mapping[str, Any]) -> list[str]:
    facts = [str(summary["outcome"]).replace("_", " ")] if summary.get("outcome") else []
    if summary.get("epochs") is not None:
        facts.append(f"{summary['epochs']} epochs")
    if summary.get("train_s") is not None:
        facts.append(_duration(summary["train_s"] + summary.get("validation_s", 0.0)))
    return facts


def _best(summary: Mapping[str, Any]) -> BestEpoch | None:
    best = mapping(summary.get("best"))
    if best.get("epoch") is None:
        return None
    metrics = mapping(best.get("metrics"))
    measured = (LabelledNumber(label, four_digits(metrics.get(key))) for key, label in _NUMBERS)
    return BestEpoch(
        numbers=[LabelledNumber("best epoch", str(best["epoch"])), *measured],
        reason=str(best.get("reason") or ""),
        protocol=_protocol(summary),
    )


def _protocol(summary: Mapping[str, Any]) -> list[str]:
    words = [f"Metrics by {summary['protocol']}."] if summary.get("protocol") else []
    if coco := mapping(summary.get("coco")):
        numbers = ", ".join(f"{name} {four_digits(value)}" for name, value in coco.items())
        words.append(f"COCO's own figures, with its cap of 100 detections of an image and class: {numbers}.")
    if summary.get("fitness"):
        words.append(f"An epoch is best by {summary['fitness']}.")
    return words


def _classes(summary: Mapping[str, Any]) -> Classes | None:
    per_class = mapping(mapping(summary.get("best")).get("per_class"))
    names = summary.get("names")
    if not per_class or not isinstance(names, list):
        return None
    columns = [per_class.get(key) or [None] * len(names) for key, _ in _CLASS_COLUMNS]
    # A class without a number comes last, with an empty bar.
    heights = [-1.0 if (share := finite(value)) is None else share for value in columns[0]]
    order = sorted(range(len(names)), key=lambda c: (-heights[c], c))
    rows = [
        ClassRow(
            name=str(names[c]),
            colour_rgb=class_colour(c),
            numbers=[four_digits(column[c]) for column in columns],
            bar_percent=round(100 * max(0.0, heights[c])),
        )
        for c in order
    ]
    has_gaps = any(finite(column[c]) is None for column in columns for c in order)
    return Classes([label for _, label in _CLASS_COLUMNS], rows, has_gaps)


def _pictures(folder: Path) -> list[Picture]:
    return [
        Picture(words, file.name, data_url(read_file(file), file.suffix), is_wide=file.name.startswith(_WIDE))
        for pattern, words in _PICTURES
        for file in sorted(folder.glob(pattern))
    ]


def _epochs(rows: Sequence[Mapping[str, str]], summary: Mapping[str, Any]) -> Table | None:
    if not rows:
        return None
    best = str(mapping(summary.get("best")).get("epoch"))
    columns = [column for column, _ in _EPOCH_COLUMNS[1:]]
    shown = []
    for row in rows:
        epoch = row.get("epoch", "")
        shown.append(Row([epoch, *(four_digits(row.get(column)) for column in columns)], is_best=epoch == best))
    return Table([label for _, label in _EPOCH_COLUMNS], shown)


def _settings(settings: Mapping[str, Any]) -> Table | None:
    if not settings:
        return None
    known = describe(Settings)
    changed = [
        Row([name, as_written(value), known[name].default or "(must be given)", known[name].meaning])
        for name, value in settings.items()
        if name in known and as_written(value) != known[name].default
    ]
    return Table(["setting", "value", "default", "meaning"], changed)


def _origins(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Whatever says where the run came from: digests, versions and fingerprints, as they stand in the summary."""
    return [
        (f"{part}: {name}", str(value))
        for part in ("digests", "versions", "data")
        for name, value in mapping(summary.get(part)).items()
    ]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
