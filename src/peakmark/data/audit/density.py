"""Do the images of a split hold more objects than a validation looks at? By class for COCO's cap, in all for max_det.

It must not know how anything is measured, only how many objects there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from peakmark.data.audit.findings import Example, Finding, counted, finding, worst_first
from peakmark.data.source.indexed_split import Index
from peakmark.nouns.evaluation import MAX_DETECTIONS
from peakmark.settings.fields import Settings

_IN_ALL: int = Settings.model_fields["max_det"].default
"""Detections of an image that are kept, where max_det says nothing else."""


def check_density(index: Index, max_det: int = _IN_ALL) -> list[Finding]:
    """Finds images of which not all objects could be found, or would count by COCO; of splits that are validated on."""
    return [] if index.split == "train" else [*_beyond_max_det(index, max_det), *_beyond_coco(index)]


def density_notes(index: Index, max_det: int) -> tuple[str, ...]:
    """Says the same before a training or validation, with what to do."""
    return tuple(f"{found.text} {found.remedy}" for found in worst_first(check_density(index, max_det)))


def _beyond_max_det(index: Index, max_det: int) -> Iterator[Finding]:
    objects = np.diff(index.offsets)
    beyond = np.flatnonzero(objects > max_det)
    if len(beyond) == 0:
        return
    most = int(objects.max())
    lost = int((objects[beyond] - max_det).sum())
    yield finding(
        "more objects than max_det",
        "high",
        f"{index.split}: {counted(len(beyond), 'image holds', 'images hold')} more objects than the {max_det}"
        f" detections that are kept of an image (max_det), up to {most:,}: {counted(lost, 'object')} of"
        f" {len(index.classes):,} can never be found.",
        f"Set max_det={_round_up(most)} for training, val and predict.",
        (Example(f"{index.files[n]}: {objects[n]:,} objects") for n in _most_first(objects, beyond)),
        len(beyond),
    )


def _beyond_coco(index: Index) -> Iterator[Finding]:
    if len(index.classes) == 0:
        return
    classes = int(index.classes.max()) + 1
    pairs, counts = np.unique(index.image_of_truth * classes + index.classes, return_counts=True)
    dense = counts > MAX_DETECTIONS
    if not dense.any():
        return
    images = np.unique(pairs[dense] // classes)
    most = np.zeros(len(index), dtype=np.int64)
    np.maximum.at(most, pairs // classes, counts)
    yield finding(
        "more objects than COCO counts",
        "low",
        f"{index.split}: {counted(len(images), 'image holds', 'images hold')} more than {MAX_DETECTIONS} objects of a"
        f" class, up to {int(counts.max()):,}, and COCO looks at {MAX_DETECTIONS} detections of an image and class.",
        "The metrics of this set are without that cap, and the protocol says so; COCO's own figures stand beside them.",
        (Example(f"{index.files[n]}: {most[n]:,} of a class") for n in _most_first(most, images)),
        len(images),
    )


def _most_first(counts: NDArray[np.int64], numbers: NDArray[np.int64]) -> list[int]:
    order: list[int] = numbers[np.argsort(-counts[numbers], kind="stable")].tolist()
    return order


def _round_up(most: int) -> int:
    """A third more, in hundreds: a detector keeps some mistakes beside what is there."""
    return -(-most * 4 // 300) * 100
