"""Which detection gets which truth? The greedy matching of the COCO protocol, for a whole set at once.

Per image and class, detections choose in the order of their scores; each takes the free truth that it overlaps most.
Written without loops over images or classes: all pairs that overlap by 0.5 or more are listed, and the k-th pair of
every image and class is decided in one array operation. The ten thresholds travel together as the bits of a number.
This file must not know what is computed from the matches.

Source: Lin et al., arXiv 1405.0312, section 5; pycocotools 2.0.11, whose figures ours are equal to.
Shape letters: D detections, G truths, P pairs of one of each, A area ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peakmark.evaluate.evidence import BitSets, Evidence
from peakmark.evaluate.protocol import AREA_RANGES_PX2, IOU_50, IOU_THRESHOLDS, cap_for, most_of_a_class
from peakmark.evaluate.tables import BoolArray, DetectionTable, DoubleArray, TruthTable
from peakmark.nouns.images import IntArray

_PAIRS_AT_ONCE = 1_000_000
"""Bounds the memory of a search for pairs to some 200 MB, whatever the size of the set."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Detections and truths of one image that overlap by at least so much."""

    detection_P: IntArray
    truth_P: IntArray
    iou_P: DoubleArray

    def where(self, mask_P: BoolArray) -> Pairs:
        return Pairs(self.detection_P[mask_P], self.truth_P[mask_P], self.iou_P[mask_P])


def match(truths: TruthTable, detections: DetectionTable, *, images: int, classes: int) -> Evidence:
    """Matches a set's detections with its truths by the COCO protocol. Deterministic.

    Raises ValueError where an image or class number lies outside of the set's.
    """
    for image, of_class in ((truths.image_G, truths.classes_G), (detections.image_D, detections.classes_D)):
        _must_lie_below(images, image, "image")
        _must_lie_below(classes, of_class, "class")
    truths = by_image(truths)
    # All of them: a cap takes rows off the end of each group's order, and none of these had a say in the others' match.
    detections, group_D, rank_D = by_image_class_and_score(detections)
    outside_GA, outside_DA = _outside(truths.areas_px2_G), _outside(_areas_px2(detections.boxes_xywh_px))
    ignored_GA = outside_GA | truths.crowd_G[:, None]

    pairs = overlapping(truths, detections, images, least=IOU_THRESHOLDS[IOU_50])
    same_class_P = detections.classes_D[pairs.detection_P] == truths.classes_G[pairs.truth_P]
    matched_DA, ignored_DA = _match_classes(pairs.where(same_class_P), group_D, truths.crowd_G, ignored_GA)
    # A detection that found nothing is no mistake in an area range that it doesn't belong to.
    ignored_DA |= np.where(outside_DA, ~matched_DA, 0)
    return Evidence(
        images=images,
        classes=classes,
        scores_D=detections.scores_D,
        image_D=detections.image_D.astype(np.int32),
        class_D=detections.classes_D.astype(np.int32),
        rank_D=rank_D.astype(np.int32),
        matched_DA=matched_DA,
        ignored_DA=ignored_DA,
        truth_of_D=_match_regardless_of_class(pairs, same_class_P, detections, truths.crowd_G),
        class_G=truths.classes_G.astype(np.int32),
        image_G=truths.image_G.astype(np.int32),
        crowd_G=truths.crowd_G,
        ignored_GA=ignored_GA,
        cap=cap_for(most_of_a_class(truths.image_G[~truths.crowd_G], truths.classes_G[~truths.crowd_G])),
    )


# --- order ---------------------------------------------------------------------------------------------------------


def _must_lie_below(limit: int, numbers: IntArray, what: str) -> None:
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < limit):
        raise ValueError(f"{what} numbers run from {numbers.min()} to {numbers.max()}, the set has {limit}")


def by_image(truths: TruthTable) -> TruthTable:
    order = np.argsort(truths.image_G, kind="stable")
    return TruthTable(
        image_G=truths.image_G[order],
        classes_G=truths.classes_G[order],
        boxes_xywh_px=truths.boxes_xywh_px[order],
        crowd_G=truths.crowd_G[order],
        areas_px2_G=truths.areas_px2_G[order],
    )


def by_image_class_and_score(detections: DetectionTable) -> tuple[DetectionTable, IntArray, IntArray]:
    """Orders by image, class and score, and gives the table with each row's group (image and class) and rank in it."""
    # lexsort is stable, so equal scores stay in the order they came in: pycocotools breaks ties like this.
    order = np.lexsort((-detections.scores_D, detections.classes_D, detections.image_D))
    image_D, classes_D = detections.image_D[order], detections.classes_D[order]
    is_first_D = np.ones(len(order), dtype=np.bool_)
    is_first_D[1:] = (np.diff(image_D) != 0) | (np.diff(classes_D) != 0)
    group_D = np.cumsum(is_first_D) - 1
    table = DetectionTable(
        image_D=image_D,
        classes_D=classes_D,
        boxes_xywh_px=detections.boxes_xywh_px[order],
        scores_D=detections.scores_D[order],
    )
    return table, group_D, place_in_group(group_D)


def place_in_group(groups: IntArray) -> IntArray:
    """Counts 0, 1, 2 ... within each run of equal numbers; `groups` ascends."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups, side="left")


# --- overlap -------------------------------------------------------------------------------------------------------


def _areas_px2(boxes_xywh_px: DoubleArray) -> DoubleArray:
    areas: DoubleArray = boxes_xywh_px[:, 2] * boxes_xywh_px[:, 3]
    return areas


def _outside(areas_px2: DoubleArray) -> BoolArray:
    """Tells per object and area range whether its area lies outside of it."""
    smallest_A, largest_A = AREA_RANGES_PX2.T
    outside: BoolArray = (areas_px2[:, None] < smallest_A) | (areas_px2[:, None] > largest_A)
    return outside


def overlapping(truths: TruthTable, detections: DetectionTable, images: int, *, least: float) -> Pairs:
    """Lists the pairs within an image that overlap by at least `least`. Both tables are ordered by image."""
    first_truth_of_image = np.searchsorted(truths.image_G, np.arange(images + 1))
    first_D = first_truth_of_image[detections.image_D]
    count_D = first_truth_of_image[detections.image_D + 1] - first_D
    ends = np.cumsum(count_D)
    chunks: list[Pairs] = []
    start = 0
    while start < len(count_D):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        count = count_D[start:stop]
        detection_P = np.repeat(np.arange(start, stop), count)
        place_P = np.arange(len(detection_P)) - np.repeat(np.cumsum(count) - count, count)
        truth_P = first_D[detection_P] + place_P
        iou_P = _iou(detections.boxes_xywh_px[detection_P], truths.boxes_xywh_px[truth_P], truths.crowd_G[truth_P])
        chunks.append(Pairs(detection_P, truth_P, iou_P).where(iou_P >= least))
        start = stop
    none = np.zeros(0, dtype=np.int64)
    return Pairs(
        np.concatenate([none, *(chunk.detection_P for chunk in chunks)]),
        np.concatenate([none, *(chunk.truth_P for chunk in chunks)]),
        np.concatenate([np.zeros(0), *(chunk.iou_P for chunk in chunks)]),
    )


def _iou(detections_xywh_px: DoubleArray, truths_xywh_px: DoubleArray, crowd_P: BoolArray) -> DoubleArray:
    """Gives the overlap of each pair of rows; with a crowd, the share of the detection that lies in it."""
    detection_P4, truth_P4 = detections_xywh_px, truths_xywh_px
    ends = np.minimum(detection_P4[:, :2] + detection_P4[:, 2:], truth_P4[:, :2] + truth_P4[:, 2:])
    sides = np.maximum(ends - np.maximum(detection_P4[:, :2], truth_P4[:, :2]), 0.0)
    intersection_P = sides[:, 0] * sides[:, 1]
    detection_area_P = _areas_px2(detection_P4)
    union_P = np.where(crowd_P, detection_area_P, detection_area_P + _areas_px2(truth_P4) - intersection_P)
    iou_P: DoubleArray = np.divide(intersection_P, union_P, out=np.zeros_like(union_P), where=intersection_P > 0)
    return iou_P


# --- choice --------------------------------------------------------------------------------------------------------


def _match_classes(
    pairs: Pairs, group_D: IntArray, crowd_G: BoolArray, ignored_GA: BoolArray
) -> tuple[BitSets, BitSets]:
    """Matches within image and class, per area range.

    Gives the thresholds at which each detection got a truth, (D, A), and those at which it got an ignored one.
    """
    matched_DA = np.zeros((len(group_D), len(AREA_RANGES_PX2)), dtype=np.uint16)
    ignored_DA = np.zeros_like(matched_DA)
    reached_P = _thresholds_reached(pairs.iou_P)
    for area in range(len(AREA_RANGES_PX2)):
        ignored_P = ignored_GA[pairs.truth_P, area]
        # Detections in the order of their rows (so of their scores); each prefers a truth that counts, then the larger
        # overlap, then, as pycocotools does, the later truth.
        order = np.lexsort((-pairs.truth_P, -pairs.iou_P, ignored_P, pairs.detection_P))
        detection_P, truth_P = pairs.detection_P[order], pairs.truth_P[order]
        won_P = first_come(detection_P, truth_P, reached_P[order], group_D[detection_P], crowd_G)
        np.bitwise_or.at(matched_DA[:, area], detection_P, won_P)
        np.bitwise_or.at(ignored_DA[:, area], detection_P, np.where(ignored_P[order], won_P, 0).astype(np.uint16))
    return matched_DA, ignored_DA


def _match_regardless_of_class(
    pairs: Pairs, same_class_P: BoolArray, detections: DetectionTable, crowd_G: BoolArray
) -> NDArray[np.int32]:
    """Matches within an image at IoU 0.5 whatever the classes are: the truth of each detection, or -1.

    Of equally good truths a detection prefers the one of its own class, then the earlier one.
    """
    turn_D = np.empty(len(detections.scores_D), dtype=np.int64)
    turn_D[np.lexsort((-detections.scores_D, detections.image_D))] = np.arange(len(turn_D))
    order = np.lexsort((pairs.truth_P, ~same_class_P, -pairs.iou_P, crowd_G[pairs.truth_P], turn_D[pairs.detection_P]))
    detection_P, truth_P = pairs.detection_P[order], pairs.truth_P[order]
    at_50_P = _thresholds_reached(pairs.iou_P)[order] & np.uint16(1 << IOU_50)
    won_P = first_come(detection_P, truth_P, at_50_P, detections.image_D[detection_P], crowd_G) > 0
    truth_of_D = np.full(len(turn_D), -1, dtype=np.int32)
    truth_of_D[detection_P[won_P]] = truth_P[won_P]
    return truth_of_D


def _thresholds_reached(iou_P: DoubleArray) -> BitSets:
    return ((1 << np.searchsorted(IOU_THRESHOLDS, iou_P, side="right")) - 1).astype(np.uint16)


def first_come(
    detection_P: IntArray, truth_P: IntArray, reached_P: BitSets, group_P: IntArray, crowd_G: BoolArray
) -> BitSets:
    """Goes through the pairs of each group in order and gives the thresholds that each wins: where both sides are free.

    `group_P` ascends; groups share neither detections nor truths. A crowd is never used up.
    """
    won_P = np.zeros_like(reached_P)
    if len(won_P) == 0:
        return won_P
    free_D = np.full(detection_P.max() + 1, 0xFFFF, dtype=np.uint16)
    free_G = np.full(len(crowd_G), 0xFFFF, dtype=np.uint16)
    round_P = place_in_group(group_P)
    by_round = np.argsort(round_P, kind="stable")
    # One pair of every group a round: no detection and no truth comes twice in it, so plain assignment is safe.
    for rows in np.split(by_round, np.cumsum(np.bincount(round_P))[:-1]):
        detection, truth = detection_P[rows], truth_P[rows]
        won = reached_P[rows] & free_D[detection] & free_G[truth]
        free_D[detection] &= ~won
        free_G[truth] &= np.where(crowd_G[truth], np.uint16(0xFFFF), ~won)
        won_P[rows] = won
    return won_P
