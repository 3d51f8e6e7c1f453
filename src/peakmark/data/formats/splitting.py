"""Which image goes to which split, where the source has none? What belongs together goes as a whole, classes evenly.

Frames of a sequence, copies of one picture and pictures that are nearly the same are one group, as an audit finds them.
Groups are dealt out one by one, those with the rarest class first, each to the split that lacks most of that class: the
iterative stratification of Sechidis, Tsoumakas and Vlahavas (2011), with groups in the place of examples.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peakmark.data.audit.findings import counted
from peakmark.data.audit.pool import Pool, look_at
from peakmark.data.audit.together import groups_in
from peakmark.data.formats.annotated_set import SPLITS, AnnotatedImage, AnnotatedSet
from peakmark.data.formats.wishes import Progress
from peakmark.data.images import probe
from peakmark.data.source.indexed_split import Index
from peakmark.errors import DataError
from peakmark.machine.cores import granted_cores
from peakmark.machine.streams import stream
from peakmark.nouns.images import IntArray
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS

Counts = NDArray[np.float64]
_UNEVEN = 0.05
"""From this much more or less than its share of the images on, a split is told to be uneven."""


def make_split(annotated: AnnotatedSet, shares: Sequence[float], seed: int, progress: Progress) -> None:
    """Gives every image of a set its split, by shares for train, val and (with three) test. Deterministic.

    Raises DataError where an image lies inside an annotation, and where groups leave a split without an image.
    """
    images = annotated.images
    if any(image.path is None for image in images):
        raise DataError("split= looks at pictures, and some lie inside their annotations: convert first, then split.")
    groups = _groups(images, progress)
    numbers = {name: number for number, name in enumerate(annotated.names)}
    counts_GK = np.zeros((len(groups), len(numbers) + 1))
    for row, group in enumerate(groups):
        # The last column counts images: those without objects are dealt out by it alone.
        counts_GK[row, -1] = len(group)
        for each in (each for number in group for each in images[number].objects):
            counts_GK[row, numbers[each.name]] += 1
    dealt = deal(counts_GK, np.asarray(shares, np.float64), seed)
    for row, group in enumerate(groups):
        for number in group:
            images[number].split = SPLITS[int(dealt[row])]
    empty = [split for split, share in zip(SPLITS, shares, strict=False) if share and split not in annotated.splits]
    if empty:
        raise DataError(
            f"split={','.join(f'{share:g}' for share in shares)}: {' and '.join(empty)} would have no image, since"
            f" {len(images):,} images hang together in {counted(len(groups), 'group')} (sequences, near duplicates),"
            " which are not torn apart: give more images, or larger shares."
        )
    _say(annotated, groups, shares)


def deal(counts_GK: Counts, shares_S: Counts, seed: int) -> IntArray:
    """Gives the split of each group, by what it holds of each of K kinds, the images being the last. Deterministic."""
    lacking_SK = shares_S[:, None] * counts_GK.sum(axis=0)
    total_K = np.maximum(counts_GK.sum(axis=0), 1)
    split_G = np.full(len(counts_GK), -1)
    draws_G = stream(seed, "split").permutation(len(counts_GK))
    # Rarest kind first: what little there is of it can still go where it is needed.
    for kind in [*np.argsort(total_K[:-1], kind="stable").tolist(), len(total_K) - 1]:
        waiting = np.flatnonzero((split_G < 0) & (counts_GK[:, kind] > 0))
        # Large groups first: small ones even out what those could not.
        for group in waiting[np.lexsort((draws_G[waiting], -counts_GK[waiting, kind]))]:
            relative_SK = lacking_SK / (np.maximum(shares_S, 1e-12)[:, None] * total_K)
            order = np.lexsort((-np.arange(len(shares_S)), relative_SK[:, -1], relative_SK[:, kind]))
            allowed = [split for split in order[::-1] if shares_S[split] > 0]
            split_G[group] = allowed[0]
            lacking_SK[allowed[0]] -= counts_GK[group]
    return split_G


def _groups(images: Sequence[AnnotatedImage], progress: Progress) -> list[tuple[int, ...]]:
    return groups_in(_pool(images, progress))


def _pool(images: Sequence[AnnotatedImage], progress: Progress) -> Pool:
    paths = [Path(os.path.abspath(image.path)) for image in images if image.path is not None]
    digests = [np.frombuffer(probe(path, "fast").digest, np.uint8) for path in paths]
    nothing = np.zeros(0, np.int64)
    index = Index(
        split="train",
        folder=Path("/"),
        files=tuple(str(path).lstrip("/") for path in paths),
        widths_px=np.array([image.width_px for image in images], np.int32),
        heights_px=np.array([image.height_px for image in images], np.int32),
        digests=np.stack(digests),
        offsets=np.zeros(len(paths) + 1, np.int64),
        boxes_cxcywh_norm=np.zeros((0, 4), np.float32),
        classes=nothing,
        unreadable=(),
        warnings=(),
        verify="fast",
        labelled=np.ones(len(paths), np.bool_),
        max_image_pixels=MAX_IMAGE_PIXELS,
    )
    return look_at({"train": index}, workers=granted_cores(), progress=progress)


def _say(annotated: AnnotatedSet, groups: Sequence[tuple[int, ...]], shares: Sequence[float]) -> None:
    grouped = [group for group in groups if len(group) > 1]
    account, counts, of = annotated.account, annotated.counts(), len(annotated.images)
    if grouped:
        account.note(
            f"{sum(map(len, grouped)):,} images hang together in {counted(len(grouped), 'group')} (sequences, copies,"
            " near duplicates); each is in one split as a whole."
        )
    for split, share in zip(SPLITS, shares, strict=False):
        images = counts.get(split, (0, 0))[0]
        if abs(images / of - share) > _UNEVEN:
            account.note(
                f"{split} has {images / of:.1%} of the images instead of {share:.1%}: groups are not torn apart."
            )
