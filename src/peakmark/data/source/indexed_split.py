"""Which images and truths does a split consist of? Everything that is known before the first batch, and a fingerprint.

From here on an image is a number. Pixels, order and augmentation are none of this file's business, nor where an index
comes from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peakmark.data.augment.outlines import Outlines
from peakmark.data.images import Verify
from peakmark.data.source.split_notes import (
    BadLabels,
)
from peakmark.events import SplitContents
from peakmark.geometry.boxes import xyxy_from_cxcywh
from peakmark.nouns.images import FloatArray, IntArray, Truths
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS

_FINGERPRINT_VERSION = b"peakmark-data-1"
_SHORT_DIGEST_BYTES = 6
"""To tell one version of a file from another; the fingerprint is what proves that all are the same."""


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image of an index."""

    path: Path
    width_px: int
    height_px: int
    boxes_cxcywh_norm: FloatArray
    """(G, 4) in fractions of the image, inside it"""
    classes: IntArray
    """(G,)"""


@dataclass(frozen=True)
class Index:
    """The N usable images of a split and their M truths, as columns."""

    split: str
    folder: Path
    """What `files` are relative to."""
    files: tuple[str, ...]
    widths_px: NDArray[np.int32]
    heights_px: NDArray[np.int32]
    digests: NDArray[np.uint8]
    """(N, 16) of each image file's content"""
    offsets: IntArray
    """(N + 1,) where each image's truths begin in the two columns below"""
    boxes_cxcywh_norm: FloatArray
    """(M, 4)"""
    classes: IntArray
    """(M,)"""
    unreadable: tuple[tuple[str, str], ...]
    """File and reason of each image that was left out."""
    warnings: tuple[str, ...]
    """What the user should read, a sentence each."""
    verify: Verify
    labelled: NDArray[np.bool_]
    """(N,) whether an image has a label file, be it empty"""
    rows: tuple[int, int] = (0, 0)
    """How many of the split's good label lines are boxes, and how many polygons."""
    bad_labels: BadLabels = "refuse"
    dropped: tuple[tuple[str, int], ...] = ()
    """Each image that had bad label lines, and how many, where `bad_labels` lets the index do without them."""
    max_image_pixels: int = MAX_IMAGE_PIXELS
    """Larger images were left out; none of these needs more when it is decoded again."""
    remarked: frozenset[str] = frozenset()
    """Files of which `warnings` says what is odd about them. With `verify="fast"` most are only seen when decoded."""
    outlines: Outlines | None = None
    """Of the polygons among the labels; None where there is none, or nobody asked for them."""
    unchosen: IntArray | None = None
    """(N,) how many objects of each image were left out as of no chosen class; None where all classes are taken."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def image_of_truth(self) -> IntArray:
        """(M,) the number of each truth's image"""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def objects_per_class(self, classes: int) -> tuple[int, ...]:
        """Counts the truths of each of so many classes."""
        return tuple(np.bincount(self.classes, minlength=classes).tolist())

    def path(self, number: int) -> Path:
        """Gives the absolute path of an image."""
        return self.folder / self.files[number]

    def entry(self, number: int) -> ImageEntry:
        """Gives all that is known of an image."""
        objects = slice(self.offsets[number], self.offsets[number + 1])
        return ImageEntry(
            path=self.path(number),
            width_px=int(self.widths_px[number]),
            height_px=int(self.heights_px[number]),
            boxes_cxcywh_norm=self.boxes_cxcywh_norm[objects],
            classes=self.classes[objects],
        )

    def truths_px(self, number: int) -> Truths:
        """Gives an image's truths in px of the original image, inside it."""
        objects = slice(self.offsets[number], self.offsets[number + 1])
        size = np.array([self.widths_px[number], self.heights_px[number]] * 2, np.float32)
        # Clipped again: turning centres into corners and fractions into pixels may round a hair past the edge.
        boxes_xyxy_px = np.clip(xyxy_from_cxcywh(self.boxes_cxcywh_norm[objects] * size), 0, size)
        outlines = None if self.outlines is None else [points * size[:2] for points in self.outlines[objects]]
        return Truths(boxes_xyxy_px.astype(np.float32), self.classes[objects], outlines)

    def select(self, numbers: Sequence[int] | IntArray) -> Index:
        """Gives an index of these images only, in this order."""
        rows = np.asarray(numbers, np.int64)
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        objects = np.repeat(self.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        return replace(
            self,
            files=tuple(self.files[row] for row in rows.tolist()),
            widths_px=self.widths_px[rows],
            heights_px=self.heights_px[rows],
            digests=self.digests[rows],
            labelled=self.labelled[rows],
            offsets=offsets,
            boxes_cxcywh_norm=self.boxes_cxcywh_norm[objects],
            classes=self.classes[objects],
            outlines=None if self.outlines is None else self.outlines.select(objects),
            unchosen=None if self.unchosen is None else self.unchosen[rows],
        )

    def first(self, fraction: float) -> Index:
        """Gives an index of the first `fraction` (above 0, at most 1) of the images, at least one."""
        return self if fraction == 1 else self.select(np.arange(max(1, round(len(self) * fraction))))

    def of_classes(self, numbers: Sequence[int]) -> Index:
        """Gives an index of the same images whose truths are of these classes alone; numbers and names stay."""
        objects = np.flatnonzero(np.isin(self.classes, numbers))
        offsets = np.searchsorted(objects, self.offsets)
        return replace(
            self,
            offsets=offsets,
            boxes_cxcywh_norm=self.boxes_cxcywh_norm[objects],
            classes=self.classes[objects],
            outlines=None if self.outlines is None else self.outlines.select(objects),
            unchosen=np.diff(self.offsets) - np.diff(offsets),
        )

    def as_single_class(self) -> Index:
        """Gives an index whose truths all have class 0."""
        return replace(self, classes=np.zeros_like(self.classes))

    @property
    def contents(self) -> SplitContents:
        """Counts the images with objects and those without."""
        has_objects = np.diff(self.offsets) > 0
        emptied = np.zeros(len(self), np.bool_)
        unchosen = emptied if self.unchosen is None else (self.unchosen > 0) & ~has_objects
        if self.dropped:  # otherwise no file is gone through: a set that has not changed starts at once
            had_bad_lines = {file for file, _ in self.dropped}
            emptied = np.array([file in had_bad_lines for file in self.files], np.bool_) & ~has_objects & ~unchosen
        return SplitContents(
            images=len(self),
            with_objects=int(has_objects.sum()),
            objects=len(self.classes),
            background_by_empty_file=int((self.labelled & ~has_objects & ~emptied & ~unchosen).sum()),
            without_label_file=int((~self.labelled).sum()),
            background_by_dropped_lines=int(emptied.sum()),
            background_by_choice=int(unchosen.sum()),
        )

    def file_digests(self) -> Iterator[tuple[str, str, str]]:
        """Gives each image's name with short digests of what the fingerprint covers: the image, and its truths."""
        sizes = np.stack((self.widths_px, self.heights_px), axis=1).astype(np.int32)
        boxes, classes = (np.ascontiguousarray(column) for column in (self.boxes_cxcywh_norm, self.classes))
        bounds = self.offsets.tolist()
        for row, file in enumerate(self.files):
            image = hashlib.blake2b(self.digests[row].data, digest_size=_SHORT_DIGEST_BYTES)
            image.update(sizes[row].data)
            objects = slice(bounds[row], bounds[row + 1])
            truths = hashlib.blake2b(classes[objects].data, digest_size=_SHORT_DIGEST_BYTES)
            truths.update(boxes[objects].data)
            if self.outlines is not None:
                for points in self.outlines[objects]:
                    truths.update(np.ascontiguousarray(points).data)
            yield file, image.hexdigest(), truths.hexdigest()

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the content: image files, truths, order, and what was left out, images as well as label lines.

        Equal for a copy at another place. With `verify="fast"` it covers only both ends of each image file, says so,
        and so never equals that of a full index.
        """
        digest = hashlib.sha256(_FINGERPRINT_VERSION)
        left_out = [os.path.relpath(file, self.folder) for file, _ in self.unreadable]
        for names in (self.files, left_out):
            digest.update(b"%d|" % len(names) + b"\0".join(os.fsencode(name) for name in names))
        for column in (
            self.widths_px,
            self.heights_px,
            self.digests,
            self.offsets,
            self.boxes_cxcywh_norm,
            self.classes,
        ):
            digest.update(np.ascontiguousarray(column).data)
        if self.outlines is not None:
            for column in (self.outlines.offsets, self.outlines.points_norm):
                digest.update(np.ascontiguousarray(column).data)
        if self.dropped:
            digest.update(repr((self.bad_labels, self.dropped)).encode("utf-8", "surrogateescape"))
        return ("" if self.verify == "full" else "fast:") + digest.hexdigest()
