"""Are our twelve COCO figures those of pycocotools, on real predictions and on sets made to trip a matcher?"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.beside import PEER

from peakmark.evaluate.evidence_file import read, to_bytes
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.tables import DetectionTable, TruthTable
from peakmark.formula.terms import METRIC_NAMES
from peakmark.machine.streams import stream

COCO_NAMES = METRIC_NAMES[:12]
TOLERANCE = 1e-9


# --- the two evaluators --------------------------------------------------------------------------------------------


def ours(truths: TruthTable, detections: DetectionTable, images: int, classes: int) -> list[float]:
    evidence = match(truths, detections, images=images, classes=classes)
    metrics = evaluation_from(evidence, [str(c) for c in range(classes)]).metrics
    return [metrics[name] for name in COCO_NAMES]


def pycocotools_says(truths: TruthTable, detections: DetectionTable, images: int, classes: int) -> list[float]:
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_coco(truths, images, classes), _coco(detections, images, classes), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def pycocotools_with_more(
    truths: TruthTable, detections: DetectionTable, images: int, classes: int
) -> dict[str, float]:
    """Its figures with `maxDets` raised beyond all detections; its own summary knows 100 only."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_coco(truths, images, classes), _coco(detections, images, classes), "bbox")
        evaluator.params.maxDets = [1, 10, len(detections.scores_D)]
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recall = evaluator.eval["precision"][..., 2], evaluator.eval["recall"][..., 2]
    figures = {"map50_95": precision[..., 0], "map50": precision[0, :, :, 0], "map75": precision[5, :, :, 0]}
    for area, name in enumerate(("small", "medium", "large"), start=1):
        figures |= {f"map_{name}": precision[..., area], f"recall_{name}": recall[..., area]}
    return {name: float(values[values > -1].mean()) for name, values in figures.items()}


def _coco(table: TruthTable | DetectionTable, images: int, classes: int) -> Any:
    """Builds a COCO object by hand: `loadRes` refuses an empty list of results."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": c, "name": str(c)} for c in range(classes)],
        "annotations": _truth_rows(table) if isinstance(table, TruthTable) else _detection_rows(table),
    }
    coco.createIndex()
    return coco


def _truth_rows(table: TruthTable) -> list[dict[str, Any]]:
    columns = zip(table.image_G, table.classes_G, table.boxes_xywh_px, table.crowd_G, table.areas_px2_G, strict=True)
    return [
        # Numbers start at 1: pycocotools takes a match with number 0 for none.
        {
            "id": row + 1,
            "image_id": int(i),
            "category_id": int(c),
            "bbox": box.tolist(),
            "iscrowd": int(crowd),
            "area": a,
        }
        for row, (i, c, box, crowd, a) in enumerate(columns)
    ]


def _detection_rows(table: DetectionTable) -> list[dict[str, Any]]:
    columns = zip(table.image_D, table.classes_D, table.boxes_xywh_px, table.scores_D, strict=True)
    return [
        {
            "id": row + 1,
            "image_id": int(i),
            "category_id": int(c),
            "bbox": box.tolist(),
            "score": float(score),
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for row, (i, c, box, score) in enumerate(columns)
    ]


def assert_equal_figures(truths: TruthTable, detections: DetectionTable, images: int, classes: int) -> list[float]:
    found = ours(truths, detections, images, classes)
    expected = pycocotools_says(truths, detections, images, classes)
    for name, value, reference in zip(COCO_NAMES, found, expected, strict=True):
        if reference == -1:
            assert np.isnan(value), f"{name}: {value} instead of no value"
        else:
            assert value == pytest.approx(reference, abs=TOLERANCE, rel=0), name
    return found


# --- sets ----------------------------------------------------------------------------------------------------------


def truth_table(image: Any, classes: Any, boxes: Any, crowd: Any = None, areas: Any = None) -> TruthTable:
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return TruthTable(
        image_G=np.asarray(image, dtype=np.int64),
        classes_G=np.asarray(classes, dtype=np.int64),
        boxes_xywh_px=boxes,
        crowd_G=np.zeros(len(boxes), dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool),
        areas_px2_G=boxes[:, 2] * boxes[:, 3] if areas is None else np.asarray(areas, dtype=np.float64),
    )


def detection_table(image: Any, classes: Any, boxes: Any, scores: Any) -> DetectionTable:
    return DetectionTable(
        image_D=np.asarray(image, dtype=np.int64),
        classes_D=np.asarray(classes, dtype=np.int64),
        boxes_xywh_px=np.asarray(boxes, dtype=np.float64).reshape(-1, 4),
        scores_D=np.asarray(scores, dtype=np.float32),
    )


NO_TRUTHS = truth_table([], [], [])
NO_DETECTIONS = detection_table([], [], [], [])


def random_set(
    seed: int,
    *,
    images: int = 20,
    classes: int = 4,
    truths: int = 150,
    detections: int = 900,
    score_steps: int = 10_000,
    crowds: float = 0.0,
) -> tuple[TruthTable, DetectionTable, int, int]:
    """Makes detections around truths, some of another class, and some anywhere; few `score_steps` give many ties."""
    rng = stream(seed, "coco parity")
    sides = np.exp(rng.uniform(np.log(6), np.log(250), (truths, 2)))
    truth_boxes = np.concatenate([rng.uniform(-20, 500, (truths, 2)), sides], axis=1)
    truth_image, truth_class = rng.integers(0, images, truths), rng.integers(0, classes, truths)

    source = rng.integers(0, truths, detections)
    spread = rng.choice([0.0, 0.03, 0.1, 0.3], (detections, 1))
    noise = rng.normal(size=(detections, 4)) * spread * np.tile(truth_boxes[source, 2:], 2)
    boxes = truth_boxes[source] + noise
    boxes[:, 2:] = np.abs(boxes[:, 2:]) + 0.5
    detection_class = np.where(rng.random(detections) < 0.8, truth_class[source], rng.integers(0, classes, detections))
    detection_image = np.where(rng.random(detections) < 0.9, truth_image[source], rng.integers(0, images, detections))
    scores = rng.integers(0, score_steps + 1, detections) / score_steps
    crowd = rng.random(truths) < crowds
    areas = truth_boxes[:, 2] * truth_boxes[:, 3] * rng.uniform(0.5, 1.0, truths)
    return (
        truth_table(truth_image, truth_class, truth_boxes, crowd, areas),
        detection_table(detection_image, detection_class, boxes, scores),
        images,
        classes,
    )


# --- real predictions ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer_set() -> tuple[TruthTable, DetectionTable, int, int]:
    if not PEER.is_dir():
        pytest.skip(f"the peer's predictions are not here ({PEER.name} in ../shared/peers)")
    truth_file = json.loads((PEER / "val-ground-truth.json").read_text())
    found = json.loads((PEER / "val-predictions.json").read_text())
    truths = truth_file["annotations"]
    image_of = {number: i for i, number in enumerate(sorted(image["id"] for image in truth_file["images"]))}
    class_of = {number: i for i, number in enumerate(sorted(each["id"] for each in truth_file["categories"]))}
    return (
        truth_table(
            [image_of[each["image_id"]] for each in truths],
            [class_of[each["category_id"]] for each in truths],
            [each["bbox"] for each in truths],
            [each.get("iscrowd", 0) for each in truths],
            [each["area"] for each in truths],
        ),
        detection_table(
            [image_of[each["image_id"]] for each in found],
            [class_of[each["category_id"]] for each in found],
            [each["bbox"] for each in found],
            [each["score"] for each in found],
        ),
        len(image_of),
        len(class_of),
    )


def test_the_peers_predictions_give_the_figures_stored_beside_them(peer_set: Any) -> None:
    stored = json.loads((PEER / "val-pycocotools.json").read_text())
    assert ours(*peer_set) == pytest.approx(list(stored.values()), abs=TOLERANCE, rel=0)


def test_the_peers_predictions_give_the_figures_of_pycocotools_run_here(peer_set: Any) -> None:
    assert_equal_figures(*peer_set)


def test_the_peers_predictions_give_the_same_numbers_from_stored_evidence(peer_set: Any, tmp_path: Path) -> None:
    truths, detections, images, classes = peer_set
    evidence = match(truths, detections, images=images, classes=classes)
    (tmp_path / "epoch1.npz").write_bytes(to_bytes(evidence))
    stored = read(tmp_path / "epoch1.npz")
    assert stored is not None
    names = [str(c) for c in range(classes)]
    logged, again = evaluation_from(evidence, names), evaluation_from(stored, names)
    assert again.metrics == pytest.approx(logged.metrics, rel=0, abs=1e-9, nan_ok=True)
    assert list(again.metrics.values())[:12] == pytest.approx(
        list(json.loads((PEER / "val-pycocotools.json").read_text()).values()), rel=0, abs=1e-9
    )
    assert np.array_equal(again.confusion, logged.confusion)


# --- sets made by chance -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_random_sets_agree(seed: int) -> None:
    figures = assert_equal_figures(*random_set(seed))
    assert 0.1 < figures[0] < 0.9  # a set of nothing but hits or misses would show little


@pytest.mark.parametrize("score_steps", [1, 3, 20])
def test_tied_scores_agree(score_steps: int) -> None:
    assert_equal_figures(*random_set(10, score_steps=score_steps))


@pytest.mark.parametrize("crowds", [0.2, 0.8, 1.0])
def test_crowds_agree(crowds: float) -> None:
    assert_equal_figures(*random_set(20, crowds=crowds, score_steps=50))


def test_more_than_a_hundred_detections_of_an_image_and_class_agree() -> None:
    truths, detections, images, classes = random_set(30, images=2, classes=2, truths=60, detections=1200)
    assert np.bincount(detections.image_D * classes + detections.classes_D).min() > 100
    assert_equal_figures(truths, detections, images, classes)


@pytest.mark.parametrize(("truths", "detections"), [(500, 900), (900, 2400)])
def test_more_than_a_hundred_truths_agree_with_pycocotools_without_its_cap(truths: int, detections: int) -> None:
    table, found, images, classes = random_set(
        31, images=2, classes=2, truths=truths, detections=detections, crowds=0.02
    )
    evidence = match(table, found, images=images, classes=classes)
    assert evidence.cap is None
    evaluation = evaluation_from(evidence, ["0", "1"])
    capped = dict(zip(COCO_NAMES, pycocotools_says(table, found, images, classes), strict=True))
    assert evaluation.coco == pytest.approx(capped, abs=TOLERANCE, rel=0)
    raised = pycocotools_with_more(table, found, images, classes)
    assert {name: evaluation.metrics[name] for name in raised} == pytest.approx(raised, abs=TOLERANCE, rel=0)
    assert all(evaluation.metrics[name] > capped[name] for name in ("map50_95", "map50", "recall_small"))
    hundred = {name: evaluation.metrics[name] for name in ("recall_1", "recall_10", "recall_100")}
    assert hundred == pytest.approx({name: capped[name] for name in hundred}, abs=TOLERANCE, rel=0)


def test_images_and_classes_without_truths_or_detections_agree() -> None:
    truths, detections, images, classes = random_set(40, images=60, truths=25, detections=60)
    assert len(np.unique(truths.image_G)) < images
    assert_equal_figures(truths, detections, images, classes + 3)


def test_nothing_detected_agrees() -> None:
    truths, _, images, classes = random_set(50)
    assert_equal_figures(truths, NO_DETECTIONS, images, classes)


def test_nothing_to_detect_agrees() -> None:
    _, detections, images, classes = random_set(51)
    assert_equal_figures(NO_TRUTHS, detections, images, classes)


def test_an_empty_set_agrees() -> None:
    assert_equal_figures(NO_TRUTHS, NO_DETECTIONS, 3, 2)


def test_boxes_without_area_agree() -> None:
    truths = truth_table([0, 0], [0, 0], [[5, 5, 0, 10], [20, 20, 10, 10]])
    detections = detection_table(
        [0, 0, 0], [0, 0, 0], [[5, 5, 0, 10], [20, 20, 10, 0], [20, 20, 10, 10]], [0.9, 0.8, 0.7]
    )
    assert_equal_figures(truths, detections, 1, 1)


def test_areas_on_the_border_of_two_sizes_agree() -> None:
    boxes = [[0, 0, 32, 32], [100, 0, 96, 96], [300, 0, 31, 33], [0, 200, 96, 97]]
    truths = truth_table([0] * 4, [0] * 4, boxes)
    detections = detection_table([0] * 4, [0] * 4, np.add(boxes, [0, 0, 0, 1]), [0.9, 0.8, 0.7, 0.6])
    assert_equal_figures(truths, detections, 1, 1)


def test_overlaps_exactly_on_a_threshold_agree() -> None:
    # 10 x 10 truths and detections of 10 x k inside of them: IoU k / 10.
    truths = truth_table(range(6), [0] * 6, [[0, 0, 10, 10]] * 6)
    boxes = [[0, 0, 10, height] for height in range(5, 11)]
    assert_equal_figures(truths, detection_table(range(6), [0] * 6, boxes, [0.5] * 6), 6, 1)


def test_of_equal_overlaps_the_later_truth_is_taken_as_in_pycocotools() -> None:
    # The first detection lies halfway between both truths; what it leaves decides whether the second one fits.
    left, right = [0, 0, 20, 20], [8, 0, 20, 20]
    detections = detection_table([0, 0], [0, 0], [[4, 0, 20, 20], [10, 0, 20, 20]], [0.9, 0.8])
    later_is_right = assert_equal_figures(truth_table([0, 0], [0, 0], [left, right]), detections, 1, 1)
    later_is_left = assert_equal_figures(truth_table([0, 0], [0, 0], [right, left]), detections, 1, 1)
    assert later_is_left[8] > later_is_right[8]


def test_the_order_that_detections_come_in_within_an_image_breaks_ties_as_in_pycocotools() -> None:
    truths = truth_table([0], [0], [[0, 0, 20, 20]])
    good, poor = [0, 0, 20, 19], [0, 0, 20, 11]
    first = detection_table([0, 0], [0, 0], [good, poor], [0.5, 0.5])
    last = detection_table([0, 0], [0, 0], [poor, good], [0.5, 0.5])
    assert assert_equal_figures(truths, first, 1, 1)[0] > assert_equal_figures(truths, last, 1, 1)[0]


# --- sets made to trip ---------------------------------------------------------------------------------------------

# Few places, few sizes, few scores: nearly every set has equal overlaps, equal scores, duplicates and border cases.
_sides = st.sampled_from([0, 8, 10, 16, 20, 31, 32, 33, 96, 97])
_boxes = st.tuples(st.integers(-2, 6).map(lambda n: 4 * n), st.integers(0, 3).map(lambda n: 4 * n), _sides, _sides)
_truths = st.tuples(st.integers(0, 2), st.integers(0, 1), _boxes, st.sampled_from([False, False, True]))
_detections = st.tuples(st.integers(0, 2), st.integers(0, 1), _boxes, st.integers(0, 4).map(lambda n: n / 4))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(truths=st.lists(_truths, max_size=12), detections=st.lists(_detections, max_size=25))
def test_small_adversarial_sets_agree(truths: list[Any], detections: list[Any]) -> None:
    assert_equal_figures(
        truth_table(*([row[i] for row in truths] for i in range(4))),
        detection_table(*([row[i] for row in detections] for i in range(4))),
        images=3,
        classes=2,
    )
