"""Which labels does a model contradict that has never seen them, and how surely? Those to look at first.

The model must not have been trained on the image: else it has learnt the mistake. It must not know how it was made.

Shape letters: G truths, D detections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from peakmark.data.audit.findings import Box, Example, Finding, Shown, counted, finding
from peakmark.geometry.boxes import cxcywh_from_xyxy, xyxy_from_cxcywh
from peakmark.geometry.iou import pairwise_iou
from peakmark.nouns.images import FloatArray, IntArray

Kind = Literal["missing label", "another class", "label without object"]
_TEXTS: dict[Kind, tuple[str, str]] = {
    "missing label": (
        "{} where no label is, found by a model that was not trained on the image.",
        "Look at the surest first: label what is there, or note that it is none.",
    ),
    "another class": (
        "{} that a model which was not trained on the image takes for another class.",
        "Look at the surest first, and correct the class where it is wrong.",
    ),
    "label without object": (
        "{} at which a model that was not trained on the image finds nothing.",
        "Look at the surest first: delete or move what is no object. Small and hidden ones may be right.",
    ),
}
_SAME_OBJECT = 0.5
_NEAR = 0.3
"""IoU below which a box has nothing to do with another."""
_LEAST = 0.3
"""How sure a contradiction must be to be shown."""
_FOUND = 0.25
"""Confidence from which an object counts as found, where it is asked how well a class is found at all."""


@dataclass(frozen=True, slots=True)
class LookedAt:
    """An image with its labels, and what a model that never saw it finds in it."""

    file: Path
    split: str
    """Which fold it was held out in."""
    width_px: int
    height_px: int
    truths_cxcywh_norm: FloatArray
    truth_class_G: IntArray
    found_xyxy_px: FloatArray
    found_class_D: IntArray
    found_score_D: FloatArray


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One label, or one that is missing, against a model."""

    kind: Kind
    sure: float
    """0 to 1; comparable between kinds."""
    says: str
    image: LookedAt
    boxes_cxcywh_norm: tuple[Box, ...]
    classes: tuple[int, ...]


def contradictions(images: Sequence[LookedAt], names: Sequence[str]) -> list[Contradiction]:
    """Finds what is contradicted, the surest first. Deterministic."""
    tables = [_overlaps(image) for image in images]
    recall_C = _recall(images, tables, len(names))
    found = [each for image, iou_GD in zip(images, tables, strict=True) for each in _of(image, iou_GD, names, recall_C)]
    return sorted(found, key=lambda each: -each.sure)


def findings_of(found: Iterable[Contradiction]) -> tuple[Finding, ...]:
    """Puts contradictions as an audit puts what it finds, the surest of each kind first."""
    by_kind: dict[Kind, list[Contradiction]] = {kind: [] for kind in _TEXTS}
    for each in found:
        by_kind[each.kind].append(each)
    return tuple(
        finding(
            kind,
            "low",
            _TEXTS[kind][0].format(counted(len(cases), "object" if kind == "missing label" else "label")),
            _TEXTS[kind][1],
            (Example(each.says, (_shown(each),)) for each in cases),
            len(cases),
        )
        for kind, cases in by_kind.items()
        if cases
    )


def _of(image: LookedAt, iou_GD: FloatArray, names: Sequence[str], recall_C: FloatArray) -> Iterator[Contradiction]:
    file = image.file.name
    for d in np.flatnonzero(image.found_score_D >= _LEAST).tolist():
        if iou_GD.shape[0] == 0 or iou_GD[:, d].max() < _NEAR:
            score, number = float(image.found_score_D[d]), int(image.found_class_D[d])
            says = f"{file}: {names[number]} at {score:.2f}, and no label"
            yield Contradiction("missing label", score, says, image, (_found_box(image, d),), (number,))
    for g, own in enumerate(image.truth_class_G.tolist()):
        box: Box = tuple(image.truths_cxcywh_norm[g].tolist())
        at_place_D = iou_GD[g] >= _SAME_OBJECT
        as_own = _best(image.found_score_D[at_place_D & (image.found_class_D == own)])
        others_D = np.flatnonzero(at_place_D & (image.found_class_D != own))
        as_other = _best(image.found_score_D[others_D])
        if as_other - as_own >= _LEAST:
            other = int(image.found_class_D[others_D[np.argmax(image.found_score_D[others_D])]])
            says = f"{file}: labelled {names[own]}; {names[other]} at {as_other:.2f}, {names[own]} at {as_own:.2f}"
            yield Contradiction("another class", as_other - as_own, says, image, (box,), (own,))
        # A model that misses half of a class says little where it finds nothing.
        sure = float(recall_C[own]) * (1 - _best(image.found_score_D[iou_GD[g] >= _NEAR]))
        if sure >= _LEAST and not (iou_GD[g] >= _NEAR)[image.found_score_D >= _FOUND].any():
            says = f"{file}: labelled {names[own]}, and nothing is found there ({sure:.2f})"
            yield Contradiction("label without object", sure, says, image, (box,), (own,))


def _recall(images: Sequence[LookedAt], tables: Sequence[FloatArray], classes: int) -> FloatArray:
    """The share of each class's labels that the model finds, whatever it takes them for; 0 for a class without any."""
    labels_C, found_C = np.zeros(classes), np.zeros(classes)
    for image, iou_GD in zip(images, tables, strict=True):
        is_found_G = (iou_GD[:, image.found_score_D >= _FOUND] >= _SAME_OBJECT).any(axis=1)
        np.add.at(labels_C, image.truth_class_G, 1)
        np.add.at(found_C, image.truth_class_G[is_found_G], 1)
    return (found_C / np.maximum(labels_C, 1)).astype(np.float32)


def _overlaps(image: LookedAt) -> FloatArray:
    sides = np.array([image.width_px, image.height_px] * 2, np.float32)
    truths = torch.from_numpy(xyxy_from_cxcywh(image.truths_cxcywh_norm.astype(np.float32)) * sides)
    table: FloatArray = pairwise_iou(truths, torch.from_numpy(image.found_xyxy_px.astype(np.float32))).numpy()
    return table


def _best(scores: FloatArray) -> float:
    return float(scores.max()) if len(scores) else 0.0


def _found_box(image: LookedAt, d: int) -> Box:
    sides = np.array([image.width_px, image.height_px] * 2, np.float32)
    box: Box = tuple((cxcywh_from_xyxy(image.found_xyxy_px[d : d + 1].astype(np.float32))[0] / sides).tolist())
    return box


def _shown(each: Contradiction) -> Shown:
    return Shown(each.image.split, each.image.file, each.boxes_cxcywh_norm, each.classes)
