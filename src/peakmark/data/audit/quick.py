"""What should be said of the data before every training? What an audit finds without a look at the pictures.

Remembered by the data's fingerprint: a second start asks nothing again. The whole audit is a command of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peakmark.data.audit.duplicates import MANY_REPEATED, label_bytes
from peakmark.data.audit.findings import counted, worst_first
from peakmark.data.audit.labels import check_boxes
from peakmark.data.audit.size import check_size
from peakmark.data.source.indexed_split import Index
from peakmark.errors import MachineError
from peakmark.files.durable import write_text
from peakmark.machine.cache_folder import cache_folder

_VERSION = 2
"""Goes up whenever something else would be said of the same data."""


def quick_notes(train: Index, val: Index | None, names: Sequence[str]) -> tuple[str, ...]:
    """Says what of high or medium severity is wrong with the data of a training; empty where nothing is."""
    splits = [train] if val is None else [train, val]
    key = json.dumps([_VERSION, *(index.fingerprint for index in splits), *names])
    file = cache_folder() / "audit" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    known = _remembered(file)
    if known is not None:
        return known
    notes = _notes(train, val, names)
    # Where it can't be written, the index has said so already, and looking again costs a second.
    with contextlib.suppress(MachineError):
        write_text(file, json.dumps(notes))
    return notes


def _notes(train: Index, val: Index | None, names: Sequence[str]) -> tuple[str, ...]:
    splits = {index.split: index for index in (train, val) if index is not None}
    findings = [found for index in splits.values() for found in check_boxes(index, names)]
    findings += check_size(splits, names)
    notes = [found.text for found in worst_first(findings) if found.severity != "low"]
    notes += [note for index in splits.values() for note in _within(index)]
    if val is not None and (leaked := int(np.isin(_digests(val), _digests(train)).sum())):
        images = counted(leaked, "image of val is", "images of val are")
        notes.insert(0, f"{images} in train too, as equal files ({leaked / len(val):.1%} of val).")
    return (*notes, "peakmark audit data=... shows where, and looks for more.") if notes else ()


def _within(index: Index) -> Iterator[str]:
    """Says of equal files in a split what an audit calls medium: that they are many, or labelled in different ways."""
    _, inverse, counts = np.unique(_digests(index), return_inverse=True, return_counts=True)
    extra = len(index) - len(counts)
    if extra >= MANY_REPEATED * len(index):
        images = counted(extra, "image is", "images are")
        yield f"{index.split}: {images} the very same file as another one of the split; their objects count again."
    labels: dict[int, set[bytes]] = {}
    for row in np.flatnonzero(counts[inverse] > 1).tolist():
        entry = index.entry(row)
        labels.setdefault(int(inverse[row]), set()).add(label_bytes(entry.classes, entry.boxes_cxcywh_norm))
    if differing := sum(len(ways) > 1 for ways in labels.values()):
        images = counted(differing, "image is", "images are")
        yield f"{index.split}: {images} there more than once with other labels each time."


def _digests(index: Index) -> NDArray[np.bytes_]:
    # As hexadecimal text: NumPy's byte strings drop zero bytes at their end.
    return np.array([digest.tobytes().hex() for digest in index.digests], "S32")


def _remembered(file: Path) -> tuple[str, ...] | None:
    try:
        return tuple(map(str, json.loads(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError):
        return None
