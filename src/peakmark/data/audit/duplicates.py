"""Which images are in the data set twice? Equal files, and pictures that are nearly the same, across and within splits.

What a duplicate across splits means: the model is measured on what it was trained on. What one within a split means:
its objects count twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from peakmark.data.audit.findings import Example, Finding, FindingKind, Severity, counted, finding
from peakmark.data.audit.likeness import alike_pairs
from peakmark.data.audit.pool import Pool
from peakmark.nouns.images import FloatArray, IntArray

_MANY_LEAKED = 0.02
"""Share of a validation or test split from which a leak is called high: it can then move a metric visibly."""

MANY_REPEATED = 0.05
_SHOWN_OF_GROUP = 4

_REMEDY_ACROSS = "Keep each in one split only; peakmark audit fix=split writes lists that do."
_REMEDY_WITHIN = "Delete all but one of each, with their labels."


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Groups of images of a pool; no image is in two groups of a kind."""

    exact: tuple[tuple[int, ...], ...]
    """Files of equal content."""
    near: tuple[tuple[int, ...], ...]
    """Pictures that are nearly the same; of equal files the first stands for all."""


def find_duplicates(pool: Pool) -> Duplicates:
    """Finds all equal files, and pictures that are nearly the same. Deterministic."""
    exact = equal_files(pool)
    alone = np.ones(len(pool), np.bool_)
    for group in exact:
        alone[list(group[1:])] = False
    kept = np.flatnonzero(alone)
    pairs = alike_pairs(pool.thumbnails[kept])
    return Duplicates(exact, groups_of(len(pool), zip(kept[pairs.first_P], kept[pairs.second_P], strict=True)))


def equal_files(pool: Pool) -> tuple[tuple[int, ...], ...]:
    """Gives the groups of images whose files are equal, byte for byte."""
    _, inverse, counts = np.unique(pool.digests, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[inverse] > 1)
    groups: dict[int, list[int]] = {}
    for image in repeated.tolist():
        groups.setdefault(int(inverse[image]), []).append(image)
    return tuple(tuple(group) for group in groups.values())


def groups_of(count: int, pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Gives the groups of two and more that hang together by pairs, each in ascending order."""
    parents = list(range(count))

    def root(image: int) -> int:
        while parents[image] != image:
            parents[image] = image = parents[parents[image]]
        return image

    for one, other in pairs:
        first, second = sorted((root(int(one)), root(int(other))))
        parents[second] = first
    groups: dict[int, list[int]] = {}
    for image in range(count):
        groups.setdefault(root(image), []).append(image)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def check_duplicates(pool: Pool, found: Duplicates) -> list[Finding]:
    """Says what the duplicates are worth."""
    return [
        *_across(pool, found.exact, "duplicate across splits", "the very same file", "same file"),
        *_across(pool, found.near, "near duplicate across splits", "nearly the same picture", "nearly the same"),
        *_within(pool, found.exact, "duplicate", "the very same file"),
        *_within(pool, found.near, "near duplicate", "nearly the same picture"),
        *_other_labels(pool, found.exact),
    ]


def _across(
    pool: Pool, groups: Iterable[tuple[int, ...]], kind: FindingKind, what: str, says: str
) -> Iterator[Finding]:
    torn = [group for group in groups if len(set(pool.split_N[list(group)].tolist())) > 1]
    if not torn:
        return
    # Counted where they do harm: images to measure with that are in the training set, or in both sets to measure with.
    leaked = [image for group in torn for image in group if pool.split(image) != "train"]
    shares = []
    for number, index in enumerate(pool.indexes):
        if index.split != "train" and (here := int((pool.split_N[leaked] == number).sum())):
            shares.append((here / len(index), f"{counted(here, 'image')} of {index.split} ({here / len(index):.1%})"))
    severity: Severity = "high" if max(share for share, _ in shares) >= _MANY_LEAKED else "medium"
    yield finding(
        kind,
        severity,
        f"{' and '.join(text for _, text in shares)}: {what} as one in another split. What was measured on them says"
        " how well they were learnt by heart.",
        _REMEDY_ACROSS,
        (example_of(pool, one_of_each_split(pool, group), says) for group in torn),
    )


def _within(pool: Pool, groups: Iterable[tuple[int, ...]], kind: FindingKind, what: str) -> Iterator[Finding]:
    for number, index in enumerate(pool.indexes):
        inside = [[image for image in group if pool.split_N[image] == number] for group in groups]
        repeated = [group for group in inside if len(group) > 1]
        if not repeated:
            continue
        extra = sum(len(group) - 1 for group in repeated)
        yield finding(
            kind,
            "medium" if extra >= MANY_REPEATED * len(index) else "low",
            f"{index.split}: {counted(extra, 'image is', 'images are')} {what} as another one of the split.",
            _REMEDY_WITHIN,
            (example_of(pool, group, kind) for group in repeated),
            extra,
        )


def _other_labels(pool: Pool, groups: Iterable[tuple[int, ...]]) -> Iterator[Finding]:
    differing = [group for group in groups if len({labels_of(pool, image) for image in group}) > 1]
    if differing:
        yield finding(
            "equal images, other labels",
            "medium",
            f"{counted(len(differing), 'image is', 'images are')} there more than once with other labels each time.",
            "Decide which labels are right, and delete the others with their images.",
            (example_of(pool, group, "other labels", labelled=True) for group in differing),
        )


def labels_of(pool: Pool, image: int) -> bytes:
    """Gives what tells an image's labels from another's; their order doesn't count."""
    entry = pool.index(image).entry(int(pool.row_N[image]))
    return label_bytes(entry.classes, entry.boxes_cxcywh_norm)


def label_bytes(classes: IntArray, boxes_cxcywh_norm: FloatArray) -> bytes:
    """Gives what tells these labels from others; their order doesn't count."""
    rows = np.column_stack((classes.astype(np.float64), boxes_cxcywh_norm.astype(np.float64)))
    order = np.lexsort(rows.T[::-1])
    return rows[order].tobytes()


def one_of_each_split(pool: Pool, group: tuple[int, ...]) -> list[int]:
    """Gives the first image of a group in each split that it is in."""
    first: dict[int, int] = {}
    for image in group:
        first.setdefault(int(pool.split_N[image]), image)
    return list(first.values())


def example_of(pool: Pool, images: Iterable[int], what: str, *, labelled: bool = False) -> Example:
    """Makes an example of images that belong together; the first few are shown."""
    images = list(images)
    names = ", ".join(f"{pool.split(image)}: {pool.file(image)}" for image in images[:_SHOWN_OF_GROUP])
    more = f" and {len(images) - _SHOWN_OF_GROUP} more" if len(images) > _SHOWN_OF_GROUP else ""
    look = pool.shown_with_labels if labelled else pool.shown
    return Example(f"{what}: {names}{more}", tuple(look(image) for image in images[:_SHOWN_OF_GROUP]))
