"""Is a metric of a resample the metric of a set in which images are copied? And are resamples drawn fairly?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.resampling import ResampledMetrics, Weights, draw_resamples
from peakmark.evaluate.tables import BoolArray, DetectionTable, TruthTable
from peakmark.formula.terms import METRIC_NAMES

CLASSES = 4


def tables(
    seed: int, *, images: int = 12, crowds: float = 0.0, detections: int = 400
) -> tuple[TruthTable, DetectionTable]:
    """The last class is rare, so that some resamples have none of it; no two detections of a class score alike."""
    rng = np.random.default_rng(seed)
    truths = 60
    boxes = np.concatenate([rng.uniform(0, 60, (truths, 2)), rng.uniform(10, 140, (truths, 2))], axis=1)
    image_G = rng.integers(0, images, truths)
    class_G = np.minimum(rng.integers(0, 40, truths) // 13, CLASSES - 1)
    source = rng.integers(0, truths, detections)
    scores = rng.permutation(detections) / detections
    spread = 0.3 * (1.1 - scores[:, None])
    found = boxes[source] + rng.normal(size=(detections, 4)) * spread * np.tile(boxes[source, 2:], 2)
    found[:, 2:] = np.abs(found[:, 2:]) + 1
    return (
        TruthTable(image_G, class_G, boxes, rng.random(truths) < crowds, boxes[:, 2] * boxes[:, 3]),
        DetectionTable(image_G[source], class_G[source], found, scores.astype(np.float32)),
    )


def copied(truths: TruthTable, detections: DetectionTable, weights_I: Weights) -> Evidence:
    """Matches the set that a resample stands for, with its images copied."""
    sources = np.repeat(np.arange(len(weights_I)), weights_I)
    rows_G = [np.flatnonzero(truths.image_G == source) for source in sources]
    rows_D = [np.flatnonzero(detections.image_D == source) for source in sources]
    take_G, take_D = np.concatenate(rows_G), np.concatenate(rows_D)
    return match(
        TruthTable(
            np.repeat(np.arange(len(sources)), [len(rows) for rows in rows_G]),
            truths.classes_G[take_G],
            truths.boxes_xywh_px[take_G],
            truths.crowd_G[take_G],
            truths.areas_px2_G[take_G],
        ),
        DetectionTable(
            np.repeat(np.arange(len(sources)), [len(rows) for rows in rows_D]),
            detections.classes_D[take_D],
            detections.boxes_xywh_px[take_D],
            detections.scores_D[take_D],
        ),
        images=len(sources),
        classes=CLASSES,
    )


@pytest.mark.parametrize(("seed", "crowds"), [(0, 0.0), (1, 0.0), (2, 0.3), (3, 0.8)])
def test_each_metric_is_that_of_the_set_with_its_images_copied(seed: int, crowds: float) -> None:
    truths, detections = tables(seed, crowds=crowds)
    evidence = match(truths, detections, images=12, classes=CLASSES)
    weights_BI = draw_resamples(12, 25, seed)
    metrics = ResampledMetrics(evidence, weights_BI)
    spread = []
    for b, weights_I in enumerate(weights_BI):
        expected = evaluation_from(copied(truths, detections, weights_I), "abcd").metrics
        for name in METRIC_NAMES:
            assert metrics[name][b] == pytest.approx(expected[name], rel=0, abs=1e-12, nan_ok=True), (b, name)
        spread.append(expected["map50_95"])
    assert np.std(spread) > 0.01  # resamples that hardly differ would show little


def test_where_images_hold_more_than_a_hundred_truths_of_a_class_their_resamples_have_no_cap_either() -> None:
    truths, detections = tables(9, images=4, detections=900)
    one = np.zeros(900, dtype=int)
    image_G, boxes = np.arange(900) % 4, np.tile([0.0, 0.0, 20.0, 20.0], (900, 1))
    boxes[:, 0] = 40 * np.arange(900)
    truths = TruthTable(image_G, one, boxes, np.zeros(900, bool), np.full(900, 400.0))
    detections = DetectionTable(truths.image_G, one, truths.boxes_xywh_px * [1, 1, 1.2, 1], detections.scores_D)
    weights_BI = draw_resamples(4, 6, 0)
    evidence = match(truths, detections, images=4, classes=CLASSES)
    metrics = ResampledMetrics(evidence, weights_BI)
    assert evidence.cap is None
    for b, weights_I in enumerate(weights_BI):
        expected = evaluation_from(copied(truths, detections, weights_I), "abcd").metrics
        assert expected["recall_100"] < 0.5 < expected["map50"]
        for name in METRIC_NAMES:
            assert metrics[name][b] == pytest.approx(expected[name], rel=0, abs=1e-12, nan_ok=True), (b, name)


def test_what_is_looked_at_of_all_detections_does_not_grow_with_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a class, it would take hours for 1,203 of them."""
    looks: list[str] = []

    def counted(name: str) -> Callable[..., BoolArray]:
        whole = getattr(Evidence, name)

        def look(*arguments: Any) -> BoolArray:
            looks.append(name)
            found: BoolArray = whole(*arguments)
            return found

        return look

    for name in ("right", "counted"):
        monkeypatch.setattr(Evidence, name, counted(name))
    truths, detections = tables(10)
    for classes in (CLASSES, 40 * CLASSES):
        looks.clear()
        metrics = ResampledMetrics(match(truths, detections, images=12, classes=classes), draw_resamples(12, 25, 0))
        assert [len(metrics[name]) for name in ("map50_95", "f1", "recall_small")] == [25] * 3
        assert metrics.along("recall", None).shape == (25, 1001)
        assert len(looks) < 50


def test_the_set_itself_is_one_of_its_resamples() -> None:
    truths, detections = tables(5, images=30, detections=900)
    evidence = match(truths, detections, images=30, classes=CLASSES)
    metrics = ResampledMetrics(evidence, np.ones((1, 30), dtype=np.uint8))
    logged = evaluation_from(evidence, "abcd").metrics
    for name in METRIC_NAMES:
        assert metrics[name].tolist() == pytest.approx([logged[name]], rel=0, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("truths_of_class", [7, 25, 50, 100, 200, 29, 58])
def test_recall_levels_are_reached_as_in_pycocotools_whatever_the_number_of_truths(truths_of_class: int) -> None:
    """Where a level is a whole number of truths, a last bit decides."""
    count = truths_of_class
    boxes = np.tile([0.0, 0.0, 20.0, 20.0], (count, 1))
    missed = np.where(np.arange(count)[:, None] % 3 == 2, 100.0, 0.0)
    truths = TruthTable(np.arange(count), np.zeros(count, int), boxes, np.zeros(count, bool), np.full(count, 400.0))
    scores = (1 - np.arange(count) / count).astype(np.float32)
    detections = DetectionTable(np.arange(count), np.zeros(count, int), boxes + missed * [1, 0, 0, 0], scores)
    evidence = match(truths, detections, images=count, classes=1)
    metrics = ResampledMetrics(evidence, np.ones((1, count), dtype=np.uint8))
    assert metrics["map50"][0] == pytest.approx(evaluation_from(evidence, "a").metrics["map50"], rel=0, abs=1e-12)


def test_a_set_that_does_not_fit_at_once_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    truths, detections = tables(6)
    evidence = match(truths, detections, images=12, classes=CLASSES)
    weights_BI = draw_resamples(12, 25, 0)
    whole = ResampledMetrics(evidence, weights_BI)
    expected = {name: whole[name] for name in METRIC_NAMES}
    monkeypatch.setattr("peakmark.evaluate.resampling._CELLS_AT_ONCE", 300)
    parts = ResampledMetrics(evidence, weights_BI)
    for name in METRIC_NAMES:
        assert np.array_equal(parts[name], expected[name], equal_nan=True), name


def test_sets_without_truths_or_detections_have_no_number_or_none_found() -> None:
    truths, detections = tables(7)
    no_truths = TruthTable(*(getattr(truths, name)[:0] for name in TruthTable.__slots__))
    no_detections = DetectionTable(*(getattr(detections, name)[:0] for name in DetectionTable.__slots__))
    weights_BI = draw_resamples(12, 3, 0)
    nothing_there = ResampledMetrics(match(no_truths, detections, images=12, classes=CLASSES), weights_BI)
    nothing_found = ResampledMetrics(match(truths, no_detections, images=12, classes=CLASSES), weights_BI)
    for name in ("map50_95", "map50", "map75", "recall_100", "precision", "recall", "f1"):
        assert np.isnan(nothing_there[name]).all(), name
        assert (nothing_found[name] == 0).all(), name


def test_resamples_hold_as_many_images_as_the_set_and_each_as_often_as_any() -> None:
    weights_BI = draw_resamples(40, 2000, seed=3)
    assert (weights_BI.sum(axis=1) == 40).all()
    assert np.abs(weights_BI.mean(axis=0) - 1).max() < 0.12
    assert weights_BI.astype(float).var(axis=0).mean() == pytest.approx(1 - 1 / 40, abs=0.03)
    assert np.array_equal(weights_BI, draw_resamples(40, 2000, seed=3))
    assert not np.array_equal(weights_BI, draw_resamples(40, 2000, seed=4))


def test_a_name_that_is_no_metric_is_refused() -> None:
    truths, detections = tables(8)
    metrics = ResampledMetrics(match(truths, detections, images=12, classes=CLASSES), draw_resamples(12, 2, 0))
    with pytest.raises(KeyError):
        metrics["accuracy"]
