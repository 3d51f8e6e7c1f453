"""What is in each listed image and its label file? Every file looked at once, in parallel, and remembered.

The answer is kept as columns, a row for each listed file: a million images must not become a million objects. A row is
taken from what is remembered only as long as its file still has the size and the time it had.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.data.images import DIGEST_BYTES, UnreadableImageError, Verify, probe
from peakmark.data.labels import ParsedLabels, parse_labels
from peakmark.data.listing import label_folders
from peakmark.errors import DataError

Progress = Callable[[int, int], None]
"""Is told how many files are done, and of how many."""

_CHUNK = 1024
"""Files in work at a time: what bounds the memory, however long the list is."""

_BATCH = 16
"""Files that a thread takes at once: handing over single ones costs more than finding that one is unchanged."""

Stamp = tuple[int, int]
"""Size in bytes and modification time in ns: as long as both are equal, so is the file."""
NO_FILE: Stamp = (-1, -1)
_NEVER: Stamp = (-2, -2)
"""Equals no file's stamp: what has it is looked at again."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of N listed files; rows in the order of the list."""

    files: tuple[str, ...]
    image_stamps: NDArray[np.int64]
    """(N, 2)"""
    sizes_px: NDArray[np.int32]
    """(N, 2) width and height, upright; 0 for a file that is no usable image"""
    digests: NDArray[np.uint8]
    """(N, 16)"""
    reasons: Mapping[int, str]
    """Row of each file that is no usable image, and why."""
    label_stamps: NDArray[np.int64]
    """(N, 2)"""
    offsets: NDArray[np.int64]
    """(N + 1,) where each file's objects begin in the two columns below"""
    boxes_cxcywh_norm: NDArray[np.float32]
    classes: NDArray[np.int64]
    duplicates: NDArray[np.int32]
    """(N,) label lines left out because they repeat another"""
    clipped: NDArray[np.int32]
    """(N,) boxes cut at the image's edge"""


class _ImageRow(NamedTuple):
    stamp: Stamp
    width_px: int
    height_px: int
    digest: bytes
    reason: str


class _Row(NamedTuple):
    image: _ImageRow
    label_stamp: Stamp
    labels: ParsedLabels
    label_file: str


def survey_files(
    files: tuple[str, ...],
    class_count: int,
    *,
    verify: Verify,
    workers: int,
    known: Survey | None,
    progress: Progress | None,
) -> tuple[Survey, list[str]]:
    """Looks at each file that is not `known` or has changed since; also gives all bad label lines, in words.

    Deterministic for any number of workers (threads). Raises `DataError` if a disk fails.
    """
    folders = label_folders(files)
    if known is not None and _is_as_it_was(files, folders, known, workers):
        if progress:
            progress(len(files), len(files))
        return known, []
    builder = _SurveyBuilder(files)
    known_rows = {file: row for row, file in enumerate(known.files)} if known else {}

    def look(file: str) -> _Row:
        row = known_rows.get(file)
        label_file = _label_file(file, folders)
        image = _look_at_image(file, verify, known, row)
        return _Row(image, *_look_at_labels(label_file, class_count, known, row), label_file)

    def look_at_batch(start: int) -> list[_Row]:
        return [look(file) for file in files[start : start + _BATCH]]

    # OpenCV would add lines of its own to stderr for each damaged file; the index lists them in one place.
    log_level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        for start in range(0, len(files), _CHUNK):
            for rows in pool.map(look_at_batch, range(start, min(start + _CHUNK, len(files)), _BATCH)):
                for row in rows:
                    builder.add(row)
                    if progress:
                        progress(builder.done, len(files))
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.utils.logging.setLogLevel(log_level)
    return builder.build(), builder.bad_lines


def _is_as_it_was(files: tuple[str, ...], folders: Mapping[str, str], known: Survey, workers: int) -> bool:
    """Whether no file has changed: asked of the disk alone, since going through a million rows takes a minute."""
    if files != known.files:
        return False

    def chunk_is_as_it_was(start: int) -> bool:
        rows = slice(start, start + _CHUNK)
        images = np.array([_stamp(file) for file in files[rows]], np.int64)
        labels = np.array([_stamp(_label_file(file, folders)) for file in files[rows]], np.int64)
        same = np.array_equal(images, known.image_stamps[rows]) and np.array_equal(labels, known.label_stamps[rows])
        return bool(same)

    pool = ThreadPoolExecutor(max(1, workers))
    try:
        return all(pool.map(chunk_is_as_it_was, range(0, len(files), _CHUNK)))
    finally:
        pool.shutdown(cancel_futures=True)


def _label_file(file: str, folders: Mapping[str, str]) -> str:
    folder, name = os.path.split(file)
    return os.path.join(folders[folder], os.path.splitext(name)[0] + ".txt")


def _stamp(file: str) -> Stamp:
    try:
        found = os.stat(file)
    except OSError:
        return NO_FILE
    return found.st_size, found.st_mtime_ns


def _look_at_image(file: str, verify: Verify, known: Survey | None, row: int | None) -> _ImageRow:
    stamp = _stamp(file)
    if known is not None and row is not None and stamp == tuple(known.image_stamps[row]):
        width_px, height_px = known.sizes_px[row].tolist()
        return _ImageRow(stamp, width_px, height_px, known.digests[row].tobytes(), known.reasons.get(row, ""))
    try:
        facts = probe(Path(file), verify)
    except UnreadableImageError as error:
        return _ImageRow(stamp, 0, 0, bytes(DIGEST_BYTES), error.reason)
    return _ImageRow(stamp, facts.width_px, facts.height_px, facts.digest, "")


def _look_at_labels(file: str, class_count: int, known: Survey | None, row: int | None) -> tuple[Stamp, ParsedLabels]:
    stamp = _stamp(file)
    if known is not None and row is not None and stamp == tuple(known.label_stamps[row]):
        objects = slice(known.offsets[row], known.offsets[row + 1])
        return stamp, ParsedLabels(
            classes=known.classes[objects].tolist(),
            boxes_cxcywh_norm=[tuple(box) for box in known.boxes_cxcywh_norm[objects].tolist()],
            duplicates=int(known.duplicates[row]),
            clipped=int(known.clipped[row]),
        )
    if stamp == NO_FILE:
        return stamp, ParsedLabels()
    try:
        with open(file, encoding="utf-8-sig", errors="replace") as stream:
            labels = parse_labels(stream.read(), class_count)
    except OSError as error:
        raise DataError(f"{file}: this label file can't be read ({error.strerror}); check its rights.") from error
    # A file with bad lines is not remembered: it has to be complained about until it is mended.
    return (_NEVER if labels.bad_lines else stamp), labels


class _SurveyBuilder:
    """Collects rows into columns."""

    def __init__(self, files: tuple[str, ...]) -> None:
        count = len(files)
        self.done = 0
        self.bad_lines: list[str] = []
        self._files = files
        self._image_stamps = np.zeros((count, 2), np.int64)
        self._sizes_px = np.zeros((count, 2), np.int32)
        self._digests = np.zeros((count, DIGEST_BYTES), np.uint8)
        self._reasons: dict[int, str] = {}
        self._label_stamps = np.zeros((count, 2), np.int64)
        self._offsets = np.zeros(count + 1, np.int64)
        self._boxes = array("f")
        self._classes = array("q")
        self._duplicates = np.zeros(count, np.int32)
        self._clipped = np.zeros(count, np.int32)

    def add(self, row: _Row) -> None:
        at = self.done
        self._image_stamps[at] = row.image.stamp
        self._sizes_px[at] = row.image.width_px, row.image.height_px
        self._digests[at] = np.frombuffer(row.image.digest, np.uint8)
        if row.image.reason:
            self._reasons[at] = row.image.reason
        self._label_stamps[at] = row.label_stamp
        self._classes.extend(row.labels.classes)
        for box in row.labels.boxes_cxcywh_norm:
            self._boxes.extend(box)
        self._offsets[at + 1] = len(self._classes)
        self._duplicates[at] = row.labels.duplicates
        self._clipped[at] = row.labels.clipped
        self.bad_lines.extend(f"{row.label_file}, {problem}" for problem in row.labels.bad_lines)
        self.done += 1

    def build(self) -> Survey:
        return Survey(
            files=self._files,
            image_stamps=self._image_stamps,
            sizes_px=self._sizes_px,
            digests=self._digests,
            reasons=self._reasons,
            label_stamps=self._label_stamps,
            offsets=self._offsets,
            boxes_cxcywh_norm=np.array(self._boxes, np.float32).reshape(-1, 4),
            classes=np.array(self._classes, np.int64),
            duplicates=self._duplicates,
            clipped=self._clipped,
        )
