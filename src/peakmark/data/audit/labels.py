"""Are the labels of a split sound? Lines, boxes and classes, each by itself and against the others of its image.

It reads no file: an index and a survey say all. Whether splits fit together is not asked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peakmark.data.audit.density import check_density
from peakmark.data.audit.findings import (
    MOST_EXAMPLES,
    Box,
    Example,
    Finding,
    FindingKind,
    Severity,
    Shown,
    counted,
    finding,
)
from peakmark.data.audit.object_size import check_object_sizes
from peakmark.data.index import SurveyedSplit
from peakmark.data.source.indexed_split import Index
from peakmark.data.source.split_notes import MANY_UNLABELLED, unlabelled
from peakmark.geometry.boxes import xyxy_from_cxcywh
from peakmark.nouns.images import FloatArray, IntArray

_SAME_PLACE = 0.9
"""IoU from which two boxes of an image mean the same object: closer than two people draw one."""

_PAIRS_AT_A_TIME = 1 << 18
"""Bounds the memory of a comparison to some 10 MB."""

_WHOLE_SIDE = 0.97
"""Share of both sides from which a box is nearly the whole image."""

_FEW = 0.005
"""Share of a split's boxes up to which a fault of single boxes is called low: it can't move a metric visibly."""

_MANY_UNREADABLE = 0.01
_IMBALANCE = 50
_STRONG_IMBALANCE = 500
"""The most frequent class has so many times the objects of the rarest."""


def check_labels(split: SurveyedSplit, names: Sequence[str]) -> list[Finding]:
    """Finds what is wrong with the labels and files of one split."""
    index = split.index
    boxes = [*check_boxes(index, names), *check_density(index), *check_object_sizes(index)]
    return [*_files(split), *_lines(split), *boxes]


def check_boxes(index: Index, names: Sequence[str]) -> list[Finding]:
    """Finds what is wrong with the boxes that a training would take."""
    found = [*_repeated(index, names), *_whole_images(index)]
    if index.split == "train":
        found += _imbalance(index, names)
    return found


def _files(split: SurveyedSplit) -> Iterator[Finding]:
    index, survey, name = split.index, split.survey, split.index.split
    listed = len(survey.files)
    if index.unreadable:
        share = len(index.unreadable) / listed
        yield finding(
            "unreadable image",
            "high" if share > _MANY_UNREADABLE else "medium",
            f"{name}: {counted(len(index.unreadable), 'image')} of {listed:,} can't be read and would be left out.",
            "Get these files again from where they come from, or delete them with their labels.",
            (Example(f"{file}: {reason}") for file, reason in index.unreadable),
        )
    if without := unlabelled(survey):
        share = len(without) / listed
        yield finding(
            "no label file",
            "medium" if share > MANY_UNLABELLED else "low",
            f"{name}: {counted(len(without), 'image has', 'images have')} no label file ({share:.1%}); each is"
            " taken as an image without objects.",
            "Label them. Where they really show nothing, an empty .txt file says so.",
            (Example(survey.files[row], (Shown(name, Path(survey.files[row])),)) for row in without),
        )
    if split.orphans:
        yield finding(
            "label without image",
            "low",
            f"{name}: {counted(len(split.orphans), 'label file has', 'label files have')} no image and is not used.",
            "Put the images beside them, or delete the label files.",
            map(Example, split.orphans),
        )
    if again := split.listing.listed_again:
        yield finding(
            "listed twice",
            "low",
            f"{name}: {counted(again, 'image is', 'images are')} listed more than once and taken once.",
            "Take the repeated lines out of the list.",
            (),
            again,
        )


def _lines(split: SurveyedSplit) -> Iterator[Finding]:
    survey, name = split.survey, split.index.split
    if split.bad_lines:
        dropped = split.index.bad_labels
        what = "no training starts with them" if dropped == "refuse" else f"bad_labels={dropped} does without them"
        yield finding(
            "bad label line",
            "high" if dropped == "refuse" else "medium",
            f"{name}: {counted(len(split.bad_lines), 'label line')} can't be used; {what}.",
            "Correct or delete the lines, or train without them: bad_labels=drop or bad_labels=drop_image.",
            map(Example, split.bad_lines),
        )
    dropped_or_cut: tuple[tuple[FindingKind, NDArray[np.int32], str, str], ...] = (
        (
            "repeated line",
            survey.duplicates,
            "the same as another of the image, left out.",
            "Delete the repeated lines; look whether the labels were exported twice.",
        ),
        (
            "box over the edge",
            survey.clipped,
            "over the edge of the image, cut there.",
            "Cut the boxes at the edge, or look whether labels and images belong together.",
        ),
    )
    for kind, counts, text, remedy in dropped_or_cut:
        if total := int(counts.sum()):
            rows = np.flatnonzero(counts).tolist()
            yield finding(
                kind,
                _by_share(total, len(split.index.classes)),
                f"{name}: {counted(total, 'label')} {text}",
                remedy,
                (Example(f"{survey.files[row]}: {counts[row]}") for row in rows),
                total,
            )


def _repeated(index: Index, names: Sequence[str]) -> Iterator[Finding]:
    # Counted in arrays, and examples made of the first ones only: 10,000 boxes in one place are 50 million pairs.
    examples: dict[bool, list[Example]] = {True: [], False: []}
    counts = {True: 0, False: 0}
    for number, first_P, second_P, iou_P in boxes_in_one_place(index):
        same_P = index.classes[first_P] == index.classes[second_P]
        for same in (True, False):
            pairs = np.flatnonzero(same_P == same)
            counts[same] += len(pairs)
            for pair in pairs[: MOST_EXAMPLES - len(examples[same])].tolist():
                first, second = int(first_P[pair]), int(second_P[pair])
                label = [names[c] for c in index.classes[[first, second]].tolist()]
                what = f"two of {label[0]}" if same else f"{label[0]} and {label[1]}"
                text = f"{index.files[number]}: {what}, IoU {iou_P[pair]:.2f}"
                examples[same].append(Example(text, (show(index, number, (first, second)),)))
    boxes = len(index.classes)
    if doubled := counts[True]:
        yield finding(
            "doubled box",
            _by_share(doubled, boxes),
            f"{index.split}: {counted(doubled, 'object is', 'objects are')} labelled twice, by boxes that overlap"
            f" by {_SAME_PLACE:.0%} or more.",
            "Delete one of each two; a model finds the object once and the other counts as missed.",
            examples[True],
            doubled,
        )
    if contradicting := counts[False]:
        yield finding(
            "same box, two classes",
            _by_share(contradicting, boxes),
            f"{index.split}: {counted(contradicting, 'object has', 'objects have')} two classes: equal boxes"
            f" (IoU from {_SAME_PLACE}).",
            "Decide for one class of each; whichever the model says, the other counts as missed.",
            examples[False],
            contradicting,
        )


def boxes_in_one_place(index: Index) -> Iterator[tuple[int, IntArray, IntArray, FloatArray]]:
    """Gives the pairs of boxes of an image that mean the same place: its number, rows of both boxes (P,), IoU (P,).

    Some MB however many boxes an image has: one with very many comes in several parts. Ordered within a part.
    """
    corners = xyxy_from_cxcywh(index.boxes_cxcywh_norm)
    bounds = index.offsets.tolist()
    for number in np.flatnonzero(np.diff(index.offsets) > 1).tolist():
        start = bounds[number]
        boxes = corners[start : bounds[number + 1]]
        for first_P, second_P in _near_pairs(boxes):
            iou_P = _iou(boxes[first_P], boxes[second_P])
            alike = np.flatnonzero(iou_P >= _SAME_PLACE)
            if len(alike):
                alike = alike[np.argsort(first_P[alike] * len(boxes) + second_P[alike])]
                yield number, start + first_P[alike], start + second_P[alike], iou_P[alike]


def _near_pairs(boxes_xyxy: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Gives all pairs that can overlap enough, in parts; far too many to compare each with each.

    With d between left or upper edges, the overlap is at most side - d wide or high, and so IoU at most 1 - d / side.
    """
    order = np.argsort(boxes_xyxy[:, 0], kind="stable")
    left, top, right, bottom = boxes_xyxy[order].astype(np.float64).T
    share = 1 - _SAME_PLACE + 1e-3
    reach, reach_down = left + share * (right - left), share * (bottom - top)
    rank = np.arange(len(order))
    counts = np.searchsorted(left, reach, side="right") - rank - 1
    parts = np.cumsum(counts) // _PAIRS_AT_A_TIME
    for part in np.unique(parts):
        rows = np.flatnonzero((parts == part) & (counts > 0))
        ones = np.repeat(rows, counts[rows])
        begins = np.cumsum(counts[rows]) - counts[rows]
        others = ones + 1 + np.arange(len(ones)) - np.repeat(begins, counts[rows])
        near = np.abs(top[ones] - top[others]) <= np.maximum(reach_down[ones], reach_down[others])
        first, second = order[ones[near]], order[others[near]]
        yield np.minimum(first, second), np.maximum(first, second)


def _iou(some_xyxy: FloatArray, others_xyxy: FloatArray) -> FloatArray:
    # That of geometry.iou works on tensors; an audit must not wait for torch to load.
    low = np.maximum(some_xyxy[:, :2], others_xyxy[:, :2])
    overlap = np.maximum(np.minimum(some_xyxy[:, 2:], others_xyxy[:, 2:]) - low, 0)
    intersection = overlap[:, 0] * overlap[:, 1]
    sides = [boxes[:, 2:] - boxes[:, :2] for boxes in (some_xyxy, others_xyxy)]
    areas = [side[:, 0] * side[:, 1] for side in sides]
    iou: FloatArray = intersection / (areas[0] + areas[1] - intersection)
    return iou


def _whole_images(index: Index) -> Iterator[Finding]:
    rows = np.flatnonzero((index.boxes_cxcywh_norm[:, 2:] >= _WHOLE_SIDE).all(axis=1))
    if len(rows) == 0:
        return
    numbers = np.searchsorted(index.offsets, rows, side="right") - 1
    yield finding(
        "box of the whole image",
        _by_share(len(rows), len(index.classes)),
        f"{index.split}: {counted(len(rows), 'box is', 'boxes are')} nearly the whole image"
        f" ({len(rows) / len(index.classes):.2%} of all).",
        "Look whether they are meant for a class of the image instead of an object in it; delete them if so.",
        (
            Example(index.files[number], (show(index, number, (row,)),))
            for number, row in zip(numbers.tolist(), rows.tolist(), strict=True)
        ),
    )


def _imbalance(index: Index, names: Sequence[str]) -> Iterator[Finding]:
    counts = np.bincount(index.classes, minlength=len(names))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return
    most, least = int(present[np.argmax(counts[present])]), int(present[np.argmin(counts[present])])
    ratio = counts[most] / counts[least]
    if ratio >= _IMBALANCE:
        yield finding(
            "class imbalance",
            "medium" if ratio >= _STRONG_IMBALANCE else "low",
            f"{index.split}: {names[most]} has {counts[most]:,} objects, {names[least]} {counts[least]:,}:"
            f" {ratio:,.0f} times as many.",
            "Label more images with the rare classes, and read their AP class by class: mAP counts all classes alike.",
            (Example(f"{names[c]}: {counts[c]:,}") for c in present[np.argsort(counts[present], kind="stable")]),
        )


def show(index: Index, number: int, rows: Sequence[int]) -> Shown:
    """Gives an image of an index to look at, with these of the index's boxes."""
    boxes: tuple[Box, ...] = tuple(tuple(index.boxes_cxcywh_norm[row].tolist()) for row in rows)
    return Shown(index.split, index.path(number), boxes, tuple(index.classes[list(rows)].tolist()))


def _by_share(faults: int, of: int) -> Severity:
    return "low" if faults <= _FEW * of else "medium"
