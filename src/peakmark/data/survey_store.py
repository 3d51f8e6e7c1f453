"""How is a survey kept on disk between starts? As one .npz of plain arrays in the user's cache folder.

It is only a memory: a file that is missing, damaged or of another version counts as nothing remembered.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.data.dataset import DatasetSpec
from peakmark.data.images import Verify
from peakmark.data.survey import Survey
from peakmark.machine import durable

_VERSION = 1
"""Goes up whenever a survey of the same files would say something else."""

_COLUMNS = (
    "image_stamps",
    "sizes_px",
    "digests",
    "label_stamps",
    "offsets",
    "boxes_cxcywh_norm",
    "classes",
    "duplicates",
    "clipped",
)


def survey_file(folder: Path, spec: DatasetSpec, split: str, verify: Verify) -> Path:
    """Names the file that remembers one split of one data set at one place."""
    # The class count is in the key since it decides which lines are bad; OpenCV, since it decides which images are.
    sources = [str(source) for source in spec.splits[split]]
    key = json.dumps([_VERSION, str(spec.root), split, sources, len(spec.names), verify, cv2.__version__])
    return folder / "index" / f"{split}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"


def load_survey(file: Path) -> Survey | None:
    """Gives what is remembered in `file`; None where that is nothing."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return _unpack(stored)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_survey(file: Path, survey: Survey) -> None:
    """Remembers a survey. Raises `MachineError` if the file can't be written."""
    columns = {name: getattr(survey, name) for name in _COLUMNS}
    names = np.frombuffer(b"\0".join(os.fsencode(name) for name in survey.files), np.uint8)
    reasons = np.frombuffer(json.dumps(list(survey.reasons.items())).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, files=names, reasons=reasons, **columns)
    durable.write_bytes(file, stream.getvalue())


def _unpack(stored: Mapping[str, NDArray[np.generic]]) -> Survey:
    files = tuple(os.fsdecode(name) for name in stored["files"].tobytes().split(b"\0"))
    reasons = {int(row): str(reason) for row, reason in json.loads(stored["reasons"].tobytes())}
    return Survey(files=files, reasons=reasons, **{name: stored[name] for name in _COLUMNS})  # type: ignore[arg-type]
