"""What came of a run, on one page? report.html, made from what lies in the run's folder and nothing else.

Pictures are embedded, so that the one file can be sent to somebody; it needs no network and runs no script. It must not
compute a metric or decide what was best: it shows what summary.json, results.csv and journal.jsonl say.
"""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from peakmark.drawing.colours import class_colour
from peakmark.errors import MachineError
from peakmark.files.durable import write_text
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.record.results_csv import loss_columns
from peakmark.report.pages.how_sure import certainty_section
from peakmark.report.pages.markup import html_page, html_row, html_table, mapping
from peakmark.report.pages.resumes import resumes_section
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


def write_page(folder: Path) -> Path:
    """Writes report.html into a run's folder and gives its path; what isn't there is left out.

    Raises `MachineError` where summary.json, results.csv or the journal can't be read or the page can't be written.
    """
    summary = _read_summary(folder / "summary.json")
    sections = (
        _heading(folder, summary),
        certainty_section(summary),
        _classes(summary),
        _pictures(folder),
        _epochs(_read_rows(folder / "results.csv"), summary),
        resumes_section(read_journal(RunFolder(folder).journal)),
        _settings(mapping(summary.get("settings"))),
        _origins(summary),
    )
    page = html_page(folder.resolve().name, "".join(sections))
    write_text(folder / PAGE_FILE, page)
    return folder / PAGE_FILE


def _heading(folder: Path, summary: Mapping[str, Any]) -> str:
    best = mapping(summary.get("best"))
    metrics = mapping(best.get("metrics"))
    lines = [f"<h1>{escape(folder.resolve().name)}</h1>\n", f'<p class="quiet">{escape(str(folder))}</p>\n']
    facts = [str(summary["outcome"]).replace("_", " ")] if summary.get("outcome") else []
    if summary.get("epochs") is not None:
        facts.append(f"{summary['epochs']} epochs")
    if summary.get("train_s") is not None:
        facts.append(f"{_duration(summary['train_s'] + summary.get('validation_s', 0.0))}")
    if facts:
        lines.append(f"<p>{escape(', '.join(facts))}</p>\n")
    if summary.get("text"):
        lines.append(f"<p>{escape(str(summary['text']))}</p>\n")
    if best.get("epoch") is None:
        lines.append("<p><b>No epoch is best: none was validated.</b> The newest weights are weights/last.pt.</p>\n")
        return "".join(lines)
    cards = [("best epoch", str(best["epoch"])), *((label, _number(metrics.get(key))) for key, label in _NUMBERS)]
    shown = "".join(f'<div class="number"><b>{escape(value)}</b>{escape(label)}</div>' for label, value in cards)
    lines.append(f'<div class="numbers">{shown}</div>\n')
    if best.get("reason"):
        lines.append(f"<p>{escape(str(best['reason']))}</p>\n")
    for words in _protocol(summary):
        lines.append(f'<p class="quiet">{escape(words)}</p>\n')
    return "".join(lines)


def _protocol(summary: Mapping[str, Any]) -> list[str]:
    words = [f"Metrics by {summary['protocol']}."] if summary.get("protocol") else []
    if coco := mapping(summary.get("coco")):
        numbers = ", ".join(f"{name} {_number(value)}" for name, value in coco.items())
        words.append(f"COCO's own figures, with its cap of 100 detections of an image and class: {numbers}.")
    if summary.get("fitness"):
        words.append(f"An epoch is best by {summary['fitness']}.")
    return words


def _classes(summary: Mapping[str, Any]) -> str:
    per_class = mapping(mapping(summary.get("best")).get("per_class"))
    names = summary.get("names")
    if not per_class or not isinstance(names, list):
        return ""
    values = {key: per_class.get(key) or [None] * len(names) for key, _ in _CLASS_COLUMNS}
    order = sorted(range(len(names)), key=lambda c: (-_sortable(values["map50_95"][c]), c))
    rows = []
    for c in order:
        swatch = f'<span class="swatch" style="background:rgb{class_colour(c)}"></span>'
        cells = [f"{swatch}{escape(str(names[c]))}"]
        cells += [_number(values[key][c]) for key, _ in _CLASS_COLUMNS]
        cells[1] += (
            f'<span class="bar"><i style="width:{100 * max(0.0, _sortable(values["map50_95"][c])):.0f}%"></i></span>'
        )
        rows.append(html_row(cells))
    note = '<p class="quiet">– : no objects of this class in the validation set</p>\n' if "–" in "".join(rows) else ""
    head = ["class", *(label for _, label in _CLASS_COLUMNS)]
    return f'<h2>Classes</h2>\n<div class="wide">{html_table(head, rows)}</div>\n{note}'


def _pictures(folder: Path) -> str:
    figures = []
    for pattern, words in _PICTURES:
        for file in sorted(folder.glob(pattern)):
            kind = "jpeg" if file.suffix == ".jpg" else "png"
            source = f"data:image/{kind};base64,{base64.b64encode(_read(file)).decode()}"
            width = ' class="full"' if file.name.startswith(_WIDE) else ""
            figures.append(
                f'<figure{width}><img src="{source}" alt="{escape(words)}">'
                f"<figcaption>{escape(words)} · {escape(file.name)}</figcaption></figure>\n"
            )
    return f'<h2>Pictures</h2>\n<div class="pictures">\n{"".join(figures)}</div>\n' if figures else ""


def _epochs(rows: Sequence[Mapping[str, str]], summary: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    best = str(mapping(summary.get("best")).get("epoch"))
    shown = []
    for row in rows:
        number = row.get("epoch", "")
        cells = [escape(number), *(_number(row.get(column)) for column, _ in _EPOCH_COLUMNS[1:])]
        shown.append(html_row(cells, kind="best" if number == best else ""))
    table = html_table([label for _, label in _EPOCH_COLUMNS], shown)
    return (
        f"<h2>Epochs</h2>\n<details><summary>All {len(rows)} epochs</summary>"
        f'<div class="wide">{table}</div></details>\n'
    )


def _settings(settings: Mapping[str, Any]) -> str:
    if not settings:
        return ""
    known = describe(Settings)
    changed = [
        html_row(
            [
                escape(name),
                escape(as_written(value)),
                escape(known[name].default) or "(must be given)",
                escape(known[name].meaning),
            ]
        )
        for name, value in settings.items()
        if name in known and as_written(value) != known[name].default
    ]
    table = f'<div class="wide words">{html_table(["setting", "value", "default", "meaning"], changed)}</div>'
    return f"<h2>Settings that differ from the defaults</h2>\n{table if changed else '<p>None.</p>'}\n"


def _origins(summary: Mapping[str, Any]) -> str:
    """Whatever says where the run came from: digests, versions and fingerprints, as they stand in the summary."""
    rows = []
    for part in ("digests", "versions", "data"):
        for name, value in mapping(summary.get(part)).items():
            rows.append(html_row([escape(f"{part}: {name}"), f"<code>{escape(str(value))}</code>"]))
    if not rows:
        return ""
    table = f'<div class="wide words">{html_table(["what", "value"], rows)}</div>'
    return f"<h2>Where it came from</h2>\n<details><summary>Digests and versions</summary>{table}</details>\n"


def _number(value: object) -> str:
    """Four digits, or a dash for what isn't there or isn't finite."""
    number = _float(value)
    return "–" if number is None else f"{number:.4f}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _sortable(value: object) -> float:
    number = _float(value)
    return -1.0 if number is None else number


def _float(value: object) -> float | None:
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _read_summary(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        return mapping(json.loads(_read(path)))
    except ValueError as error:
        raise MachineError(f"{path} is damaged ({error}); remove it to have the page made without it.") from error


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    return [
        {name.strip(): value.strip() for name, value in row.items() if name and isinstance(value, str)}
        for row in csv.DictReader(_read(path).decode().splitlines())
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MachineError(
            f"Can't read {path}: {error.strerror}. Check its rights, then have the page made again."
        ) from error
