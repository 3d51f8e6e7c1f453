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

from peakmark.data.images import Verify
from peakmark.data.source.data_yaml import DatasetSpec
from peakmark.data.source.survey import NEVER, Survey
from peakmark.files import durable

_VERSION = 4
"""Goes up whenever a survey of the same files would say something else."""

_COLUMNS = (
    "image_stamps",
    "sizes_px",
    "digests",
    "label_stamps",
    "offsets",
    "boxes_cxcywh_norm",
    "classes",
    "outline_points_norm",
    "outline_offsets",
    "duplicates",
    "clipped",
    "row_kinds",
)


def survey_file(
    folder: Path, spec: DatasetSpec, split: str, verify: Verify, max_image_pixels: int, class_count: int | None
) -> Path:
    """Names the file that remembers one split of one data set at one place."""
    # What decides which lines are bad is in the key, and what decides which images are: OpenCV, and the limit.
    sources = [str(source) for source in spec.splits[split]]
    labels = [class_count, spec.keypoints]
    key = json.dumps([_VERSION, str(spec.root), split, sources, labels, verify, max_image_pixels, cv2.__version__])
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
    reasons, remarks, bad_lines = (
        np.frombuffer(json.dumps(list(sentences.items())).encode(), np.uint8)
        for sentences in (
            survey.reasons,
            survey.remarks,
            {row: lines for row, lines in survey.bad_lines.items() if tuple(survey.label_stamps[row]) != NEVER},
        )
    )
    stream = io.BytesIO()
    np.savez(stream, files=names, reasons=reasons, remarks=remarks, bad_lines=bad_lines, **columns)
    durable.write_bytes(file, stream.getvalue())


def _unpack(stored: Mapping[str, NDArray[np.generic]]) -> Survey:
    files = tuple(os.fsdecode(name) for name in stored["files"].tobytes().split(b"\0"))
    reasons = {int(row): str(reason) for row, reason in json.loads(stored["reasons"].tobytes())}
    remarks = {int(row): str(remark) for row, remark in json.loads(stored["remarks"].tobytes())}
    bad_lines = {int(row): tuple(map(str, lines)) for row, lines in json.loads(stored["bad_lines"].tobytes())}
    columns = {name: stored[name] for name in _COLUMNS}
    return Survey(files=files, reasons=reasons, remarks=remarks, bad_lines=bad_lines, **columns)  # type: ignore[arg-type]
