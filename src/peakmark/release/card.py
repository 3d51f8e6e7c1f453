"""What should somebody who gets a model know of it? Its card, as Markdown: numbers, data, settings, origin.

A pure function of what the run says of itself. It must not know any file, nor where the release goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from peakmark.checkpoint.format import IMPORTED
from peakmark.settings.description import as_written, describe
from peakmark.settings.fields import Settings

_SHOWN = {"map50_95": "mAP50-95", "map50": "mAP50", "precision": "precision", "recall": "recall"}
_PER_CLASS = {"precision": "P", "recall": "R", "map50": "mAP50", "map50_95": "mAP50-95"}
_TOLD = ("result", "content")
"""Settings of these kinds are told; where files lie and how fast it went says nothing of the model."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a card is about."""

    name: str
    version: str
    license: str | None
    summary: Mapping[str, Any]
    """As in summary.json."""
    provenance: Mapping[str, Any]
    """Of best.pt, which may be from before a resume that changed the data."""
    architecture: str
    model_digest: str
    settings: Mapping[str, Any]
    """Of best.pt."""
    whole: bool
    """Whether a run can go on from it."""


def card(subject: Subject) -> str:
    """Writes the card."""
    parts = (_head, _numbers, _classes, _data, _settings, _origin, _use, _licence)
    return "\n".join(line for part in parts for line in (*part(subject), "")).rstrip("\n") + "\n"


def card_of_imported(subject: Subject) -> str:
    """Writes the card of weights that another program trained: marked as such, without numbers of ours."""
    parts = (_head_of_imported, _numbers_of_imported, _origin_of_imported, _use, _licence)
    return "\n".join(line for part in parts for line in (*part(subject), "")).rstrip("\n") + "\n"


def _head(subject: Subject) -> Iterator[str]:
    best, names = subject.summary["best"], subject.summary["names"]
    yield from _title(subject, "yolov8, peakmark")
    yield (
        f"A {_model(subject.architecture)} detector of {len(names)} {'class' if len(names) == 1 else 'classes'}"
        f" ({', '.join(map(_text, names))}) for images of {subject.settings['imgsz']} px, trained with Peakmark"
        f" {subject.provenance['versions'].get('peakmark', '')}. Epoch {best['epoch']} of {subject.summary['epochs']},"
        f" the best by {_text(subject.summary['fitness'])}."
    )


def _title(subject: Subject, tags: str) -> Iterator[str]:
    yield "---"
    named = subject.license or _licence_there(subject)
    if named is not None:
        yield f"license: {_quoted(named)}"
    yield "pipeline_tag: object-detection"
    yield f"tags: [object-detection, {tags}]"
    yield "---"
    yield f"# {_text(subject.name)} {subject.version}"
    yield ""


def _head_of_imported(subject: Subject) -> Iterator[str]:
    names, origin = subject.summary["names"], subject.provenance[IMPORTED]
    yield from _title(subject, "yolov8, peakmark, imported")
    yield (
        f"**Imported**: a {_model(subject.architecture)} detector of {len(names)}"
        f" {'class' if len(names) == 1 else 'classes'} ({', '.join(map(_text, names))}) for images of"
        f" {subject.settings['imgsz']} px, trained by {_program(origin)} and imported with Peakmark"
        f" {subject.provenance['versions'].get('peakmark', '')}."
    )


def _numbers_of_imported(subject: Subject) -> Iterator[str]:
    there = subject.provenance[IMPORTED]["metrics"]
    yield "## Numbers"
    yield "None: Peakmark measured nothing of it. `peakmark val model=best.pt data=data.yaml` does, by COCO's protocol."
    if there:
        yield ""
        yield "What its file claims, by the evaluation of the program that trained it, which counts otherwise:"
        yield ""
        yield from _header("metric", "claimed")
        for key, title in _SHOWN.items():
            if key in there:
                yield _row(title, _number(there[key]))


def _origin_of_imported(subject: Subject) -> Iterator[str]:
    yield "## Where it comes from"
    yield from _imported_lines(subject, "Its weights are those of")
    yield f"- Imported {subject.provenance['created_at']}; nothing in that file was executed."
    for note in subject.provenance[IMPORTED]["notes"]:
        yield f"- {_text(note)}"
    yield f"- Digest of the weights (`peakmark inspect best.pt`): `{subject.model_digest}`."


def _imported_lines(subject: Subject, begin: str) -> Iterator[str]:
    origin = subject.provenance.get(IMPORTED)
    if origin is None:
        return
    done = f", {origin['epochs_done']} epochs" if origin["epochs_done"] else ""
    on = f", on {_text(origin['data'])}" if origin["data"] else ""
    yield f"- {begin} {_text(origin['file'])}, SHA-256 `{origin['sha256']}`: {_program(origin)}{done}{on}."


def _program(origin: Mapping[str, Any]) -> str:
    return _text(" ".join(filter(None, (origin["program"] or "another program", origin["version"]))))


def _licence_there(subject: Subject) -> str | None:
    """What the file of another program names, whose weights these are or were trained from."""
    found = (subject.provenance.get(IMPORTED) or {}).get("license")
    return found if isinstance(found, str) else None


def _model(architecture: str) -> str:
    return architecture.replace("yolo", "YOLO")


def _numbers(subject: Subject) -> Iterator[str]:
    best, sure = subject.summary["best"], subject.summary["certainty"]
    estimates = {} if sure is None else sure["metrics"]
    yield "## Numbers"
    yield f"On {subject.provenance['data']['val_images']} validation images. {_text(subject.summary['protocol'])}."
    yield ""
    yield from _header("metric", "value", "95 % interval")
    for key, title in _SHOWN.items():
        interval = estimates.get(key)
        shown = "not known" if interval is None else f"{_number(interval['low'])} to {_number(interval['high'])}"
        yield _row(title, _number(best["metrics"][key]), shown)
    yield ""
    if sure is None:
        yield "The run left no evidence of how sure these numbers are."
        return
    yield _text(sure["text"])
    yield ""
    yield (
        "The intervals hold for images of the same kind as the validation images; they say nothing of other cameras,"
        " places or times. The best of many epochs is chosen by its number, which is therefore a little too high;"
        f" without that its fitness is {_number(sure['corrected']['value'])}"
        f" ({_number(sure['corrected']['low'])} to {_number(sure['corrected']['high'])})."
    )


def _classes(subject: Subject) -> Iterator[str]:
    per_class = subject.summary["best"]["per_class"]
    yield "## Classes"
    yield from _header("class", *_PER_CLASS.values())
    for number, name in enumerate(subject.summary["names"]):
        yield _row(_text(name), *(_number(per_class[key][number]) for key in _PER_CLASS))


def _data(subject: Subject) -> Iterator[str]:
    data = subject.provenance["data"]
    yield "## Data"
    yield from _header("split", "images", "fingerprint")
    for split in ("train", "val"):
        yield _row(split, str(data[f"{split}_images"]), f"`{data[split]}`")
    yield ""
    yield "Equal fingerprints mean the same images with the same labels, wherever they lie."


def _settings(subject: Subject) -> Iterator[str]:
    yield "## Settings that differ from the defaults"
    yield from _header("setting", "value", "default")
    for name, known in describe(Settings).items():
        written = as_written(subject.settings.get(name, known.default))
        if known.bears_on in _TOLD and written != known.default:
            yield _row(name, _text(written), _text(known.default or "(needed)"))


def _origin(subject: Subject) -> Iterator[str]:
    provenance, summary = subject.provenance, subject.summary
    yield "## Where it comes from"
    pretrained = subject.settings.get("pretrained")
    model = str(subject.settings["model"])
    source = pretrained or (model if model.endswith(".pt") else None)
    yield f"- Begun {provenance['created_at']} from {'random weights' if source is None else _text(str(source))}."
    yield from _imported_lines(subject, "Its first weights were imported from")
    for stretch in summary["segments"]:
        yield f"- From epoch {stretch['epoch']} on: {_text(stretch['reason'])}."
    for entry in provenance["lineage"]:
        how = "branched off" if entry["branch"] else "resumed"
        changes = f", with {_text('; '.join(entry['changes']))}" if entry["changes"] else ""
        yield f"- {entry['at']}: {how} in epoch {entry['epoch'] + 1}{changes}. State before: `{entry['parent']}`."
    yield f"- Libraries: {', '.join(f'{name} {version}' for name, version in provenance['versions'].items())}."
    yield f"- Digest of the weights (`peakmark inspect best.pt`): `{subject.model_digest}`."


def _use(subject: Subject) -> Iterator[str]:
    yield "## Use"
    yield from ("```bash", "sha256sum -c SHA256SUMS          # first: is it whole, and what was released?")
    yield "peakmark predict model=best.pt source=images/ save=True"
    yield "peakmark val model=best.pt data=data.yaml"
    yield from ("```", "```python", "from peakmark import YOLO", "")
    yield from ('results = YOLO("best.pt").predict("image.jpg")', "```")
    numbers = "`summary.json` (all numbers), " if "best" in subject.summary else ""
    yield f"Files: `best.pt` (weights as tensors and plain values, no code), {numbers}this card."
    if not subject.whole:
        yield "`best.pt` is stripped: it can be used and fine-tuned, but no run can go on from it."


def _licence(subject: Subject) -> Iterator[str]:
    yield "## Licence"
    there = _licence_there(subject)
    if subject.license:
        yield _text(subject.license)
    elif there is None:
        yield "None was named. Ask whoever released it before you use it."
    if there is not None:
        whose = "its weights come from" if "best" not in subject.summary else "its first weights came from"
        yield f"The file that {whose} says of its licence: {_text(there)}. Whoever passes this model on should heed it."


# --- Markdown -------------------------------------------------------------------------------------------------------


def _header(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|" + "---|" * len(titles)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _text(text: str) -> str:
    """Keeps a class name or a path from being read as Markdown or as HTML."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{mark}" if mark in "\\`*|<[]" else mark for mark in plain)


def _quoted(text: str) -> str:
    """A YAML string, whatever is in it."""
    escaped = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
