"""Is evidence what the protocol says, where it can be worked out by hand?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import match
from peakmark.evaluate.protocol import ALL_SIZES, IOU_50, IOU_75
from peakmark.evaluate.tables import DetectionTable, TruthTable, detection_table, truth_table
from peakmark.machine.streams import stream
from peakmark.nouns.images import Detections, Truths


def truths_of(*rows: tuple[int, int, list[float]], crowd: list[bool] | None = None) -> TruthTable:
    boxes = np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 4)
    return TruthTable(
        image_G=np.array([row[0] for row in rows], dtype=np.int64),
        classes_G=np.array([row[1] for row in rows], dtype=np.int64),
        boxes_xywh_px=boxes,
        crowd_G=np.array(crowd if crowd is not None else [False] * len(rows), dtype=bool),
        areas_px2_G=boxes[:, 2] * boxes[:, 3],
    )


def detections_of(*rows: tuple[int, int, list[float], float]) -> DetectionTable:
    return DetectionTable(
        image_D=np.array([row[0] for row in rows], dtype=np.int64),
        classes_D=np.array([row[1] for row in rows], dtype=np.int64),
        boxes_xywh_px=np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 4),
        scores_D=np.array([row[3] for row in rows], dtype=np.float32),
    )


BOX = [10.0, 10.0, 40.0, 40.0]


def right(evidence: Evidence, threshold: int = IOU_50) -> list[bool]:
    return [bool(each) for each in evidence.right(ALL_SIZES, threshold)]


def test_the_higher_score_gets_the_truth_and_the_double_is_wrong() -> None:
    evidence = match(
        truths_of((0, 0, BOX)), detections_of((0, 0, [10, 10, 40, 30], 0.9), (0, 0, BOX, 0.8)), images=1, classes=1
    )
    assert right(evidence) == [True, False]
    assert right(evidence, 6) == [False, True]  # at 0.80 the first one no longer fits, so the truth is free
    assert evidence.counted(ALL_SIZES, IOU_50).all()


def test_another_image_or_class_is_no_match() -> None:
    evidence = match(truths_of((0, 0, BOX)), detections_of((1, 0, BOX, 0.9), (0, 1, BOX, 0.8)), images=2, classes=2)
    assert right(evidence) == [False, False]


def test_detections_in_a_crowd_do_not_count_and_a_crowd_is_never_used_up() -> None:
    evidence = match(
        truths_of((0, 0, [0, 0, 100, 100]), crowd=[True]),
        detections_of((0, 0, [5, 5, 20, 20], 0.9), (0, 0, [50, 50, 20, 20], 0.8), (0, 0, [200, 0, 20, 20], 0.7)),
        images=1,
        classes=1,
    )
    assert evidence.counted(ALL_SIZES, IOU_75).tolist() == [False, False, True]
    assert right(evidence) == [False, False, False]
    assert evidence.truths_per_class(ALL_SIZES).tolist() == [0]


def test_a_truth_that_counts_goes_before_a_crowd_that_fits_better() -> None:
    evidence = match(
        truths_of((0, 0, [0, 0, 100, 100]), (0, 0, [10, 10, 40, 30]), crowd=[True, False]),
        detections_of((0, 0, BOX, 0.9)),
        images=1,
        classes=1,
    )
    assert right(evidence) == [True]


def test_sizes_leave_out_what_lies_outside_of_them() -> None:
    small, large = [0.0, 0.0, 20.0, 20.0], [100.0, 100.0, 120.0, 120.0]
    evidence = match(
        truths_of((0, 0, small), (0, 0, large)),
        detections_of((0, 0, small, 0.9), (0, 0, large, 0.8), (0, 0, [300, 300, 20, 20], 0.7)),
        images=1,
        classes=1,
    )
    assert [evidence.truths_per_class(area).tolist() for area in range(4)] == [[2], [1], [0], [1]]
    assert [evidence.counted(area, IOU_50).tolist() for area in range(4)] == [
        [True, True, True],
        [True, False, True],
        [False, False, False],
        [False, True, False],
    ]


def test_every_detection_is_kept_with_its_rank_in_image_and_class() -> None:
    rows: list[Any] = [(0, 0, BOX, score / 200) for score in range(150)] + [(0, 1, BOX, 0.5)]
    evidence = match(truths_of((0, 0, BOX)), detections_of(*rows), images=1, classes=2)
    assert np.bincount(evidence.class_D).tolist() == [150, 1]
    assert (np.diff(evidence.scores_D[:150]) < 0).all()
    assert evidence.rank_D.tolist() == [*range(150), 0]
    assert evidence.among_best(100).sum() == 101
    assert evidence.among_best(None).all()


@pytest.mark.parametrize(("most", "cap"), [(100, 100), (101, None)])
def test_cocos_cap_holds_where_no_image_has_more_objects_of_a_class(most: int, cap: int | None) -> None:
    one_class = [(1, 0, [40.0 * n, 0.0, 20.0, 20.0]) for n in range(most)]
    others = [(image, n % 2, [40.0 * n, 50.0, 20.0, 20.0]) for image in (0, 2) for n in range(180)]
    assert match(truths_of(*one_class, *others), detections_of(), images=3, classes=2).cap == cap


def test_objects_in_a_crowd_don_t_lift_the_cap() -> None:
    truths = truths_of(*((0, 0, [40.0 * n, 0.0, 20.0, 20.0]) for n in range(120)))
    truths = dataclasses.replace(truths, crowd_G=np.arange(120) >= 100)
    assert match(truths, detections_of(), images=1, classes=1).cap == 100


def test_truths_in_any_order_give_the_same_evidence() -> None:
    rows = [(1, 0, BOX), (0, 1, BOX), (0, 0, [100.0, 0.0, 30.0, 30.0])]
    detections = detections_of((0, 1, BOX, 0.4), (1, 0, BOX, 0.3), (0, 0, [100, 0, 30, 28], 0.2))
    evidence = match(truths_of(*rows), detections, images=2, classes=2)
    assert right(evidence) == [True, True, True]
    assert evidence.image_G.tolist() == [0, 0, 1]
    assert evidence.truth_of_D.tolist() == [1, 0, 2]


def test_regardless_of_class_a_detection_takes_the_truth_it_overlaps_most() -> None:
    evidence = match(
        truths_of((0, 0, BOX), (0, 1, [10, 10, 40, 36])),
        detections_of((0, 0, [10, 10, 40, 35], 0.9), (0, 1, BOX, 0.8), (0, 1, BOX, 0.7)),
        images=1,
        classes=2,
    )
    assert evidence.truth_of_D.tolist() == [1, 0, -1]


def test_regardless_of_class_the_own_class_wins_among_equal_overlaps() -> None:
    evidence = match(
        truths_of((0, 0, BOX), (0, 1, BOX)),
        detections_of((0, 1, BOX, 0.9), (0, 0, BOX, 0.8)),
        images=1,
        classes=2,
    )
    assert dict(zip(evidence.class_D.tolist(), evidence.truth_of_D.tolist(), strict=True)) == {0: 0, 1: 1}


def truths_one_by_one(truths: TruthTable, evidence: Evidence, boxes_xywh_px: np.ndarray) -> list[int]:
    """The rule of `truth_of_D` as plain loops, for boxes in the order of the evidence."""
    taken: set[int] = set()
    chosen = [-1] * len(boxes_xywh_px)
    for d in sorted(range(len(boxes_xywh_px)), key=lambda row: -evidence.scores_D[row]):
        candidates = []
        for g, truth in enumerate(truths.boxes_xywh_px):
            box = boxes_xywh_px[d]
            sides = np.minimum(box[:2] + box[2:], truth[:2] + truth[2:]) - np.maximum(box[:2], truth[:2])
            intersection = sides[0] * sides[1] if (sides > 0).all() else 0.0
            crowd = truths.crowd_G[g]
            iou = intersection / (box[2] * box[3] + (0 if crowd else truth[2] * truth[3] - intersection))
            if iou >= 0.5 and g not in taken and truths.image_G[g] == evidence.image_D[d]:
                candidates.append((not crowd, iou, truths.classes_G[g] == evidence.class_D[d], -g))
        if candidates:
            chosen[d] = -max(candidates)[-1]
            if not truths.crowd_G[chosen[d]]:
                taken.add(chosen[d])
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_regardless_of_class_the_choice_is_the_one_of_plain_loops(seed: int) -> None:
    rng = stream(seed, "matching test")

    def boxes(count: int) -> list[list[float]]:
        return [[*(4.0 * rng.integers(0, 8, 2)), *(4.0 * rng.integers(6, 10, 2))] for _ in range(count)]

    truths = truths_of(
        *((image, int(rng.integers(3)), box) for image in range(3) for box in boxes(8)),
        crowd=(rng.random(24) < 0.1).tolist(),
    )
    scores = rng.permutation(60) / 60  # all different, so that a score names its detection
    found = [(n % 3, int(rng.integers(3)), box, float(scores[n])) for n, box in enumerate(boxes(60))]
    evidence = match(truths, detections_of(*found), images=3, classes=3)
    box_of_score = {np.float32(row[3]): row[2] for row in found}
    ordered = np.array([box_of_score[score] for score in evidence.scores_D])
    assert evidence.truth_of_D.tolist() == truths_one_by_one(truths, evidence, ordered)
    assert evidence.truth_of_D.max() >= 0


def test_pairs_found_in_small_portions_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Any] = [(image, 0, [x, 0.0, 20.0, 20.0]) for image in range(4) for x in range(0, 60, 7)]
    truths, detections = truths_of(*rows), detections_of(*((*row, 0.5 + n / 100) for n, row in enumerate(rows)))
    whole = match(truths, detections, images=4, classes=1)
    monkeypatch.setattr("peakmark.evaluate.matching._PAIRS_AT_ONCE", 5)  # fewer than the truths of an image
    portions = match(truths, detections, images=4, classes=1)
    assert whole.truth_of_D.max() > 0
    np.testing.assert_array_equal(whole.truth_of_D, portions.truth_of_D)
    np.testing.assert_array_equal(whole.matched_DA, portions.matched_DA)


def test_a_class_or_image_outside_of_the_set_is_refused() -> None:
    with pytest.raises(ValueError, match="class numbers run from 2 to 2, the set has 2"):
        match(truths_of(), detections_of((0, 2, BOX, 0.5)), images=1, classes=2)
    with pytest.raises(ValueError, match="image numbers run from 1 to 1, the set has 1"):
        match(truths_of((1, 0, BOX)), detections_of(), images=1, classes=2)


def test_tables_hold_widths_that_float32_would_round() -> None:
    corners = np.array([[0.1, 0.2, 1000.3, 2000.4]], dtype=np.float32)
    truths = truth_table([Truths(np.zeros((0, 4), np.float32), np.zeros(0, np.int64)), Truths(corners, np.array([3]))])
    found = detection_table([Detections(corners, np.array([0.5], np.float32), np.array([3]))])
    assert truths.image_G.tolist() == [1]
    # As Python numbers: NumPy would round them to the array's precision before comparing.
    x, y, width, height = truths.boxes_xywh_px[0].tolist()
    left, top, right_edge, bottom = corners[0].tolist()
    assert (x, y, width, height) == (left, top, right_edge - left, bottom - top)
    assert truths.areas_px2_G.tolist() == [width * height]
    np.testing.assert_array_equal(found.boxes_xywh_px, truths.boxes_xywh_px)
