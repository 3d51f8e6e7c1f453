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

from peakmark.data.augment.outlines import Outlines, hull_of
from peakmark.data.images import DIGEST_BYTES, UnreadableImageError, Verify, probe
from peakmark.data.source.labels import ParsedLabels, read_labels
from peakmark.data.source.listing import label_folders
from peakmark.errors import DataError
from peakmark.files.given_path import NO_FILE_WORDS, is_special

Progress = Callable[[int, int], None]
"""Is told how many files are done, and of how many."""

_CHUNK = 1024
"""Files in work at a time: what bounds the memory, however long the list is."""

_BATCH = 16
"""Files that a thread takes at once: handing over single ones costs more than finding that one is unchanged."""

Stamp = tuple[int, int]
"""Size in bytes and modification time in ns: as long as both are equal, so is the file."""
NO_FILE: Stamp = (-1, -1)
NEVER: Stamp = (-2, -2)
"""Equals no file's stamp: what has it is looked at again."""

_LABEL_SUFFIXES = (".txt", ".TXT", ".Txt")
"""On some systems these are one name, and a copy of the data must be the same data everywhere."""

_MOST_LABEL_BYTES = 64 * 2**20
"""Of a label file: a million objects. More would be read into memory before anybody could say what is wrong."""

_REMEMBERED_BAD_LINES = 10_000
"""A set in another unit has a bad line for each object: beyond these, files are read again rather than remembered."""


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
    remarks: Mapping[int, str]
    """Row of each usable image that somebody should look at, and what is odd about it."""
    label_stamps: NDArray[np.int64]
    """(N, 2)"""
    offsets: NDArray[np.int64]
    """(N + 1,) where each file's objects begin in the two columns below"""
    boxes_cxcywh_norm: NDArray[np.float32]
    classes: NDArray[np.int64]
    outline_points_norm: NDArray[np.float32]
    """(P, 2) of the hulls of objects that are labelled by polygons"""
    outline_offsets: NDArray[np.int64]
    """(M + 1,) where each object's points begin in it"""
    duplicates: NDArray[np.int32]
    """(N,) label lines left out because they repeat another"""
    clipped: NDArray[np.int32]
    """(N,) boxes cut at the image's edge"""
    row_kinds: NDArray[np.int32]
    """(N, 4) good lines that are boxes, the first of them, lines that are polygons, the first of them"""
    bad_lines: Mapping[int, tuple[str, ...]]
    """Row of each file whose labels have bad lines, and a sentence for each of these."""

    @property
    def outlines(self) -> Outlines:
        """The hulls of all objects."""
        return Outlines(self.outline_points_norm, self.outline_offsets)

    @property
    def has_label_file(self) -> NDArray[np.bool_]:
        """(N,) an empty one counts"""
        found: NDArray[np.bool_] = (self.label_stamps != NO_FILE).any(axis=1)
        return found


class _ImageRow(NamedTuple):
    stamp: Stamp
    width_px: int
    height_px: int
    digest: bytes
    reason: str
    remark: str = ""


class _Row(NamedTuple):
    image: _ImageRow
    label_stamp: Stamp
    labels: ParsedLabels


def survey_files(
    files: tuple[str, ...],
    class_count: int | None,
    keypoints: tuple[int, int] | None = None,
    *,
    verify: Verify,
    max_image_pixels: int,
    workers: int,
    known: Survey | None,
    progress: Progress | None,
) -> Survey:
    """Looks at each file that is not `known` or has changed since.

    `class_count` and `keypoints` as in `parse_labels`; `known` must have been made with the same. Deterministic for any
    number of workers (threads). Raises `DataError` if a disk fails.
    """
    folders = label_folders(files)
    if known is not None and _is_as_it_was(files, folders, known, workers):
        if progress:
            progress(len(files), len(files))
        return known
    builder = _SurveyBuilder(files)
    known_rows = {file: row for row, file in enumerate(known.files)} if known else {}

    def look(file: str) -> _Row:
        row = known_rows.get(file)
        image = _look_at_image(file, verify, max_image_pixels, known, row)
        return _Row(image, *_look_at_labels(*label_file(file, folders), class_count, keypoints, known, row))

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
    return builder.build()


def _is_as_it_was(files: tuple[str, ...], folders: Mapping[str, str], known: Survey, workers: int) -> bool:
    """Whether no file has changed: asked of the disk alone, since going through a million rows takes a minute."""
    if files != known.files:
        return False

    def chunk_is_as_it_was(start: int) -> bool:
        rows = slice(start, start + _CHUNK)
        images = np.array([_stamp(file) for file in files[rows]], np.int64)
        labels = np.array([label_file(file, folders)[1] for file in files[rows]], np.int64)
        same = np.array_equal(images, known.image_stamps[rows]) and np.array_equal(labels, known.label_stamps[rows])
        return bool(same)

    pool = ThreadPoolExecutor(max(1, workers))
    try:
        return all(pool.map(chunk_is_as_it_was, range(0, len(files), _CHUNK)))
    finally:
        pool.shutdown(cancel_futures=True)


def label_file(file: str, folders: Mapping[str, str]) -> tuple[str, Stamp]:
    """Gives the label file of an image, as it is spelt, and its stamp; `folders` is that of `label_folders`."""
    folder, name = os.path.split(file)
    stem = os.path.join(folders[folder], os.path.splitext(name)[0])
    for suffix in _LABEL_SUFFIXES:
        if (stamp := _stamp(stem + suffix)) != NO_FILE:
            return stem + suffix, stamp
    return stem + _LABEL_SUFFIXES[0], NO_FILE


def _stamp(file: str) -> Stamp:
    try:
        found = os.stat(file)
    except OSError:
        return NO_FILE
    return found.st_size, found.st_mtime_ns


def _look_at_image(
    file: str, verify: Verify, max_image_pixels: int, known: Survey | None, row: int | None
) -> _ImageRow:
    stamp = _stamp(file)
    if known is not None and row is not None and stamp == tuple(known.image_stamps[row]):
        width_px, height_px = known.sizes_px[row].tolist()
        return _ImageRow(
            stamp,
            width_px,
            height_px,
            known.digests[row].tobytes(),
            known.reasons.get(row, ""),
            known.remarks.get(row, ""),
        )
    try:
        facts = probe(Path(file), verify, max_image_pixels)
    except UnreadableImageError as error:
        return _ImageRow(stamp, 0, 0, bytes(DIGEST_BYTES), error.reason)
    return _ImageRow(stamp, facts.width_px, facts.height_px, facts.digest, "", facts.remark)


def _look_at_labels(
    file: str,
    stamp: Stamp,
    class_count: int | None,
    keypoints: tuple[int, int] | None,
    known: Survey | None,
    row: int | None,
) -> tuple[Stamp, ParsedLabels]:
    if known is not None and row is not None and stamp == tuple(known.label_stamps[row]):
        objects = slice(known.offsets[row], known.offsets[row + 1])
        boxes, first_box, polygons, first_polygon = known.row_kinds[row].tolist()
        return stamp, ParsedLabels(
            classes=known.classes[objects].tolist(),
            boxes_cxcywh_norm=[tuple(box) for box in known.boxes_cxcywh_norm[objects].tolist()],
            polygons_norm=[tuple(hull.ravel().tolist()) for hull in known.outlines[objects]],
            bad_lines=list(known.bad_lines.get(row, ())),
            duplicates=int(known.duplicates[row]),
            clipped=int(known.clipped[row]),
            boxes=boxes,
            first_box=first_box,
            polygons=polygons,
            first_polygon=first_polygon,
        )
    if stamp == NO_FILE:
        return stamp, ParsedLabels()
    if stamp[0] > _MOST_LABEL_BYTES:
        what = f"{file}, line 1: this file has {stamp[0]:,} bytes, more than labels of an image can take; correct it"
        return stamp, ParsedLabels(bad_lines=[what])
    if is_special(Path(file)):
        raise DataError(f"{file}: {NO_FILE_WORDS} with the labels, or take this away.")
    try:
        with open(file, "rb") as stream:
            labels = read_labels(stream.read(), class_count, keypoints)
    except OSError as error:
        raise DataError(f"{file}: this label file can't be read ({error.strerror}); check its rights.") from error
    labels.bad_lines = [f"{file}, {problem}" for problem in labels.bad_lines]
    return stamp, labels


class _SurveyBuilder:
    """Collects rows into columns."""

    def __init__(self, files: tuple[str, ...]) -> None:
        count = len(files)
        self.done = 0
        self._bad_lines: dict[int, tuple[str, ...]] = {}
        self._remembered_bad_lines = 0
        self._files = files
        self._image_stamps = np.zeros((count, 2), np.int64)
        self._sizes_px = np.zeros((count, 2), np.int32)
        self._digests = np.zeros((count, DIGEST_BYTES), np.uint8)
        self._reasons: dict[int, str] = {}
        self._remarks: dict[int, str] = {}
        self._label_stamps = np.zeros((count, 2), np.int64)
        self._offsets = np.zeros(count + 1, np.int64)
        self._boxes = array("f")
        self._classes = array("q")
        self._outline_points = array("f")
        self._outline_offsets = array("q", [0])
        self._duplicates = np.zeros(count, np.int32)
        self._clipped = np.zeros(count, np.int32)
        self._row_kinds = np.zeros((count, 4), np.int32)

    def add(self, row: _Row) -> None:
        at = self.done
        self._image_stamps[at] = row.image.stamp
        self._sizes_px[at] = row.image.width_px, row.image.height_px
        self._digests[at] = np.frombuffer(row.image.digest, np.uint8)
        if row.image.reason:
            self._reasons[at] = row.image.reason
        if row.image.remark:
            self._remarks[at] = row.image.remark
        self._label_stamps[at] = row.label_stamp
        if row.labels.bad_lines:
            self._bad_lines[at] = tuple(row.labels.bad_lines)
            self._remembered_bad_lines += len(row.labels.bad_lines)
            if self._remembered_bad_lines > _REMEMBERED_BAD_LINES:
                self._label_stamps[at] = NEVER
        self._classes.extend(row.labels.classes)
        for box in row.labels.boxes_cxcywh_norm:
            self._boxes.extend(box)
        for polygon in row.labels.polygons_norm:
            if polygon:
                self._outline_points.extend(hull_of(polygon).ravel())
            self._outline_offsets.append(len(self._outline_points) // 2)
        self._offsets[at + 1] = len(self._classes)
        self._duplicates[at] = row.labels.duplicates
        self._clipped[at] = row.labels.clipped
        labels = row.labels
        self._row_kinds[at] = labels.boxes, labels.first_box, labels.polygons, labels.first_polygon
        self.done += 1

    def build(self) -> Survey:
        return Survey(
            files=self._files,
            image_stamps=self._image_stamps,
            sizes_px=self._sizes_px,
            digests=self._digests,
            reasons=self._reasons,
            remarks=self._remarks,
            label_stamps=self._label_stamps,
            offsets=self._offsets,
            boxes_cxcywh_norm=np.array(self._boxes, np.float32).reshape(-1, 4),
            classes=np.array(self._classes, np.int64),
            outline_points_norm=np.array(self._outline_points, np.float32).reshape(-1, 2),
            outline_offsets=np.array(self._outline_offsets, np.int64),
            duplicates=self._duplicates,
            clipped=self._clipped,
            row_kinds=self._row_kinds,
            bad_lines=self._bad_lines,
        )
