"""How does a model of another program get in, for good? The part of the facade behind `peakmark import`.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.api.asking import watch_by
from peakmark.api.watching import watching
from peakmark.checkpoint.format import IMPORTED, Checkpoint
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError
from peakmark.events import Notice, Observer
from peakmark.files.download import in_kilobytes
from peakmark.files.given_path import given_path
from peakmark.run.imported import origin_in_words
from peakmark.run.known_models import KNOWN_MODELS, fetch_known_model
from peakmark.run.weights import ModelSource, find_model, with_names
from peakmark.settings.fields import ImportSettings
from peakmark.settings.parse import parse


@dataclass(frozen=True, slots=True)
class Imported:
    """What was brought in."""

    path: Path
    """Of the checkpoint that was written."""
    architecture: str
    names: tuple[str, ...]
    imgsz: int
    origin: dict[str, Any]
    """What its file says of itself: program, version, license, sha256 of the file ..."""
    notes: tuple[str, ...]
    """What whoever uses it should know."""


def import_model(
    file: str | Path, to: str | Path | None = None, *, observer: Observer | None = None, **settings: Any
) -> Imported:
    """Writes a checkpoint of ours of a YOLOv8 detector that another program trained; nothing in its file is executed.

    `settings`: those of `peakmark import --help`. It carries no numbers, since nothing was measured here. Raises
    SettingsError, ModelFileError where the file is none or computes otherwise, and MachineError.
    """
    parsed = parse(ImportSettings, settings if to is None else {**settings, "to": to})
    wishes = parsed.settings
    with watching(observer) as observe:
        for note in parsed.notes:
            observe(Notice(note))
        source = find_model(fetched(file, wishes.sha256, observe) if wishes.download else file)
        checkpoint = _checkpoint(source, wishes)
        target = given_path(wishes.to, "to") if wishes.to else Path(f"{Path(str(file)).stem}-imported.pt")
        if target.exists():
            raise ModelFileError(f"{target} is there already, and no weights file is written over: give another to=.")
        save(checkpoint, target)
    origin = checkpoint.provenance[IMPORTED]
    return Imported(
        target,
        checkpoint.architecture,
        checkpoint.names,
        checkpoint.settings["imgsz"],
        origin,
        (f"It was imported from {origin_in_words(origin)}.", *origin["notes"]),
    )


def fetched(name: str | Path, sha256: str | None, observe: Observer) -> str | Path:
    """The file of a known model, fetched where it isn't there; any other name as it is."""
    text = str(name)
    if text not in KNOWN_MODELS or Path(text).exists():
        return name
    progress = in_kilobytes(watch_by(observe)(f"fetching {text} (kB)"))
    return fetch_known_model(text, lambda words: observe(Notice(words)), sha256, progress=progress)


def _checkpoint(source: ModelSource, wishes: ImportSettings) -> Checkpoint:
    if source.weights is None:
        raise ModelFileError(f"{source.name}: this is an architecture without weights; give a model file to import.")
    if not source.is_foreign:
        raise ModelFileError(f"{source.name} is a checkpoint of Peakmark already; use it as it is.")
    checkpoint = with_names(source, wishes.names)
    origin = checkpoint.provenance[IMPORTED]
    if wishes.sha256 is not None and origin["sha256"] != wishes.sha256.lower():
        raise ModelFileError(f"{source.name}: its SHA-256 is {origin['sha256']}, not {wishes.sha256}: another file.")
    if wishes.imgsz is not None:
        checkpoint = dataclasses.replace(checkpoint, settings={**checkpoint.settings, "imgsz": wishes.imgsz})
    return checkpoint
