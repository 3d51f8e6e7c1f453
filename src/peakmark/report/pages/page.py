"""What came of a run, on one page? report.html, made from what lies in the run's folder and nothing else.

It is one file that asks no other for anything: words, numbers and pictures are in it, and scripts of the package draw
them. It must not decide what was best: it shows what summary.json, results.csv, the journal, the evidence and the
gallery say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.drawing.colours import class_colour
from peakmark.files.durable import write_text
from peakmark.markup import render
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.record.results_csv import loss_columns
from peakmark.report.numbers import finite, four_digits
from peakmark.report.pages.at_confidence import at_confidences
from peakmark.report.pages.curves import curves_of
from peakmark.report.pages.gallery_shown import gallery_in
from peakmark.report.pages.how_sure import Certainty, certainty_of
from peakmark.report.pages.pictures_shown import Picture, pictures_in
from peakmark.report.pages.resumes import ShownResume, resumes_in
from peakmark.report.pages.run_files import mapping, read_epochs, texts
from peakmark.report.pages.settings_shown import ShownSetting, settings_in
from peakmark.report.pages.so_far import summary_of
from peakmark.report.pages.words import Said, spoken
from peakmark.report.table import Row, Table
from peakmark.shown import as_shown

PAGE_FILE = "report.html"
TEMPLATE = "report/pages/templates/run.html.j2"

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
    *((column, f"train_{term}") for column, term in loss_columns("train").items()),
    *((column, f"val_{term}") for column, term in loss_columns("val").items()),
    ("metrics/precision(B)", "precision"),
    ("metrics/recall(B)", "recall"),
    ("metrics/mAP50(B)", "mAP50"),
    ("metrics/mAP50-95(B)", "mAP50-95"),
)


@dataclass(frozen=True, slots=True)
class LabelledNumber:
    key: str
    """Of its label, in the catalogue"""
    value: str


@dataclass(frozen=True, slots=True)
class BestEpoch:
    numbers: Sequence[LabelledNumber]
    reason: str
    """Why it is the best; empty where that isn't said."""
    protocol: Sequence[Said]
    """How the numbers were made."""


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
class RunPage:
    """What the page of a run holds; what the run's folder doesn't have is None or empty."""

    name: str
    folder: str
    facts: Sequence[Said]
    text: str
    best: BestEpoch | None
    notes: Sequence[str]
    """What of the folder can't be shown, and why"""
    certainty: Certainty | None
    classes: Classes | None
    pictures: Sequence[Picture]
    epochs: Table | None
    resumes: Sequence[ShownResume]
    settings: Sequence[ShownSetting]
    origins: Sequence[tuple[str, str]]
    """Digests, versions and fingerprints: what, and its value."""
    version: str
    data: Mapping[str, Any]
    """What the scripts draw: `names`, `curves`, `at` (a confidence) and `gallery`, the last two None where they
    aren't there"""


def write_page(folder: Path, *, is_over: bool = False) -> Path:
    """Writes report.html into a run's folder and gives its path; what isn't there is left out.

    `is_over`: its summary has been written, though its journal doesn't tell the end yet. Raises `MachineError` where a
    file of the run can't be read or the page can't be written.
    """
    write_text(folder / PAGE_FILE, page_as_html(page_of(folder, is_over=is_over)))
    return folder / PAGE_FILE


def page_of(folder: Path, *, is_over: bool = False) -> RunPage:
    """Gives what the page of a run holds, be it over or under way. Raises `MachineError` where a file can't be read."""
    places = RunFolder(folder)
    journal, rows = read_journal(places.journal), read_epochs(places.results_csv)
    summary = summary_of(places, journal, is_over=is_over)
    at, note_of_evidence = at_confidences(places, summary)
    gallery, note_of_gallery = gallery_in(places.gallery, mapping(summary.get("best")))
    return RunPage(
        name=folder.resolve().name,
        folder=str(folder),
        facts=_facts(summary),
        text=str(summary.get("text") or ""),
        best=_best(summary),
        notes=[note for note in (note_of_evidence, note_of_gallery) if note],
        certainty=certainty_of(summary),
        classes=classes_of(mapping(mapping(summary.get("best")).get("per_class")), texts(summary.get("names"))),
        pictures=pictures_in(folder),
        epochs=_epochs(rows, summary),
        resumes=resumes_in(journal),
        settings=settings_in(places.settings_yaml, mapping(summary.get("settings"))),
        origins=_origins(summary),
        version=str(mapping(summary.get("versions")).get("peakmark", "")),
        data=shown_data(
            {
                "names": texts(summary.get("names")),
                "curves": curves_of(rows, summary, journal),
                "at": at,
                "gallery": gallery,
            }
        ),
    )


def page_as_html(page: RunPage, template: str = TEMPLATE, **more: object) -> str:
    """Gives the page as HTML; another `template` extends this one's, and is given what it needs `more`."""
    return render(template, page=page, **spoken(), **more)


def shown_data(value: Any) -> Any:
    """Gives data for a script with every text as it may be shown; keys are ours."""
    if isinstance(value, str):
        return as_shown(value)
    if isinstance(value, Mapping):
        return {key: shown_data(item) for key, item in value.items()}
    return [shown_data(item) for item in value] if isinstance(value, list | tuple) else value


def _facts(summary: Mapping[str, Any]) -> list[Said]:
    facts = []
    if summary.get("outcome"):
        facts.append(Said("fact.outcome", {"outcome": str(summary["outcome"]).replace("_", " ")}))
    if summary.get("epochs") is not None:
        facts.append(Said("fact.epochs", {"epochs": summary["epochs"]}))
    if summary.get("train_s") is not None:
        facts.append(Said("fact.time", {"time": duration(summary["train_s"] + summary.get("validation_s", 0.0))}))
    return facts


def _best(summary: Mapping[str, Any]) -> BestEpoch | None:
    best = mapping(summary.get("best"))
    if best.get("epoch") is None:
        return None
    return BestEpoch(
        numbers=[LabelledNumber("epochs.best", str(best["epoch"])), *measured_in(mapping(best.get("metrics")))],
        reason=str(best.get("reason") or ""),
        protocol=_protocol(summary),
    )


def _protocol(summary: Mapping[str, Any]) -> list[Said]:
    said = protocol_in_words(str(summary.get("protocol") or ""), mapping(summary.get("coco")))
    return [*said, Said("protocol.fitness", {"fitness": summary["fitness"]})] if summary.get("fitness") else said


def protocol_in_words(protocol: str, coco: Mapping[str, Any]) -> list[Said]:
    """Says how the metrics of a validation are made, and COCO's own figures where they are others."""
    said = [Said("protocol.metrics", {"protocol": protocol})] if protocol else []
    if coco:
        numbers = ", ".join(f"{name} {four_digits(value)}" for name, value in coco.items())
        said.append(Said("protocol.coco", {"numbers": numbers}))
    return said


def measured_in(metrics: Mapping[str, Any]) -> list[LabelledNumber]:
    """Gives the metrics that stand large on a page."""
    return [LabelledNumber(label, four_digits(metrics.get(key))) for key, label in _NUMBERS]


def classes_of(per_class: Mapping[str, Any], names: Sequence[str]) -> Classes | None:
    """Gives the metrics of each class as a table; None where there are none."""
    if not per_class or not names:
        return None
    columns = [per_class.get(key) or [None] * len(names) for key, _ in _CLASS_COLUMNS]
    # A class without a number comes last, with an empty bar.
    heights = [-1.0 if (share := finite(value)) is None else share for value in columns[0]]
    order = sorted(range(len(names)), key=lambda c: (-heights[c], c))
    rows = [
        ClassRow(
            name=names[c],
            colour_rgb=class_colour(c),
            numbers=[four_digits(column[c]) for column in columns],
            bar_percent=round(100 * max(0.0, heights[c])),
        )
        for c in order
    ]
    has_gaps = any(finite(column[c]) is None for column in columns for c in order)
    return Classes([label for _, label in _CLASS_COLUMNS], rows, has_gaps)


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


def _origins(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Whatever says where the run came from: digests, versions and fingerprints, as they stand in the summary."""
    return [
        (f"{part}: {name}", str(value))
        for part in ("digests", "versions", "data")
        for name, value in mapping(summary.get(part)).items()
    ]


def duration(seconds: float) -> str:
    """Writes a span of time: 3 min 20 s, 5 h 7 min."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
