"""How is a data set of another format trained on as it is? Converted once, into the cache, by what is in its files.

Only where nothing has to be chosen: its splits can be told. Images stay where they are, and the cache points at them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from peakmark.data.audit.findings import counted
from peakmark.data.formats import coco, voc
from peakmark.data.formats.convert import REPORT, convert_set
from peakmark.data.formats.registry import FORMATS
from peakmark.data.formats.yolo import DATA_YAML
from peakmark.data.images import IMAGE_SUFFIXES
from peakmark.errors import DataError, SettingsError
from peakmark.machine.cache_folder import cache_folder

_VERSION = b"peakmark-converted-1"
"""Goes up when the same source becomes another set."""
_DEEPEST = 4
"""Folders below a data set's own in which images are looked for."""
_DIRECT = {"coco": coco.recognises, "voc": voc.recognises}


def is_another_format(source: Path) -> bool:
    """Whether this is a COCO file, or a folder of COCO or VOC without a data.yaml."""
    return _format_of(source) is not None


def converted_in_cache(source: Path, written: str) -> tuple[Path, tuple[str, ...]]:
    """Gives the data.yaml of a source in another format, and what is to be said of it, a sentence each.

    `written`: what the user wrote for it. Raises DataError where its splits can't be told, with the command to run.
    """
    name = _format_of(source)
    assert name is not None
    title = FORMATS[name].title
    whole = _whole(source) if name == "coco" else source
    named = all(part.split for part in coco.parts_of(whole)) if name == "coco" else voc.has_splits(source)
    if not named:
        raise DataError(_ambiguous(written, title))
    folder = cache_folder() / "converted" / _digest(whole)
    if not (folder / DATA_YAML).is_file():
        try:
            convert_set(whole, folder, source_format=name, target_format="yolo", how="symlink")
        except SettingsError:
            # Another process has made it meanwhile; it is the same.
            if not (folder / DATA_YAML).is_file():
                raise
    done = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    counts = ", ".join(
        f"{split} {images:,} images, {objects:,} objects" for split, (images, objects) in done["after"].items()
    )
    notes = [f"data={written} is {title}; it was converted to {folder}: {counts}."]
    if whole != source:
        notes.append(f"The other splits beside {source.name} are taken too.")
    dropped = done["dropped"]
    if dropped:
        objects, images = sum(each["objects"] for each in dropped), sum(each["images"] for each in dropped)
        first = f"{dropped[0]['where']}: {dropped[0]['text']}"
        notes.append(
            f"{counted(objects, 'object')} and {counted(images, 'image')} of it were left out, the first one being"
            f" {first}; all are listed in {folder / REPORT}."
        )
    notes += [
        note for note in done["notes"] if note.startswith(("VOC", "Not kept", f"{title} numbers")) or " VOC " in note
    ]
    return folder / DATA_YAML, tuple(notes)


def _format_of(source: Path) -> str | None:
    if source.is_file() and source.suffix.lower() != ".json":
        return None
    if source.is_dir() and any(source.glob("*.y*ml")):
        return None
    return next((name for name, recognises in _DIRECT.items() if recognises(source)), None)


def _whole(source: Path) -> Path:
    """Gives the folder of a data set where a file of it is named that has its other splits beside it."""
    if source.is_dir() or coco.parts_of(source)[0].split is None:
        return source
    folder = source.parent.parent if source.parent.name.lower() == "annotations" else source.parent
    parts = coco.parts_of(folder)
    splits = [part.split for part in parts]
    is_one = source in [part.file for part in parts] and None not in splits and len(set(splits)) == len(splits)
    return folder if is_one and len(parts) > 1 else source


def _ambiguous(written: str, title: str) -> str:
    return (
        f"data={written} is {title} without a split into train and val, which no training can do without; make one:"
        f" peakmark convert source={written} target=NEW_FOLDER to=yolo split=0.8,0.2, and train with"
        " data=NEW_FOLDER/data.yaml."
    )


def _digest(source: Path) -> str:
    """Of all that the converted set follows from: annotations by their content, images by name, size and time."""
    digest = hashlib.sha256(_VERSION + b"|" + os.fsencode(os.path.realpath(source)))
    root = source if source.is_dir() else source.parent
    for path in _files(source, root):
        digest.update(b"|" + os.fsencode(os.path.relpath(path, root)))
        if path.suffix.lower() in (".xml", ".json", ".txt"):
            with open(path, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        else:
            state = path.stat()
            digest.update(f"|{state.st_size}|{state.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


def _files(source: Path, root: Path) -> Iterable[Path]:
    if source.is_file():
        root = root.parent if root.name.lower() == "annotations" else root
    wanted = {".xml", ".json", ".txt"} | IMAGE_SUFFIXES
    found = []
    for place, folders, names in os.walk(root, followlinks=True):
        # A file may lie anywhere: without an end, whoever keeps one in a home folder would wait for all of it.
        if len(Path(place).relative_to(root).parts) >= _DEEPEST:
            folders.clear()
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        found += [Path(place) / name for name in names if os.path.splitext(name)[1].lower() in wanted]
    # A single file is converted by itself: the JSON files beside it are none of its business.
    return sorted(path for path in found if source.is_dir() or path == source or path.suffix.lower() in IMAGE_SUFFIXES)
