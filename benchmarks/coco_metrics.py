"""How long do the COCO figures of a set as large as COCO val2017 take, here and elsewhere, and are they equal?

Run: python benchmarks/coco_metrics.py [--images 5000]. Makes 36,450 truths and 504,843 detections of 80 classes for
5,000 images (fewer images, proportionally fewer), and times our evaluation, pycocotools and faster-coco-eval on them,
each from data in memory to figures.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faster_coco_eval
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from peakmark.evaluate.evidence_file import to_bytes
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.tables import DetectionTable, TruthTable
from peakmark.formula.terms import METRIC_NAMES
from peakmark.machine.streams import stream

IMAGES, TRUTHS, DETECTIONS, CLASSES = 5_000, 36_450, 504_843, 80


def make_set(images: int) -> tuple[TruthTable, DetectionTable]:
    """Scatters truths, and around each of them detections that fit better the higher their score."""
    rng = stream(0, "benchmark coco metrics")
    truths, detections = TRUTHS * images // IMAGES, DETECTIONS * images // IMAGES
    truth_boxes = np.concatenate(
        [rng.uniform(0, 500, (truths, 2)), np.exp(rng.uniform(np.log(8), np.log(300), (truths, 2)))], axis=1
    )
    truth_image, truth_class = np.sort(rng.integers(0, images, truths)), rng.integers(0, CLASSES, truths)
    source = rng.integers(0, truths, detections)
    scores = (rng.beta(0.4, 4.0, detections)).astype(np.float32)
    spread = 0.4 * (1 - scores[:, None]) * rng.random((detections, 1))
    boxes = truth_boxes[source] + rng.normal(size=(detections, 4)) * spread * np.tile(truth_boxes[source, 2:], 2)
    boxes[:, 2:] = np.abs(boxes[:, 2:]) + 1
    same_class = rng.random(detections) < 0.5
    return (
        TruthTable(
            truth_image, truth_class, truth_boxes, np.zeros(truths, dtype=bool), truth_boxes[:, 2] * truth_boxes[:, 3]
        ),
        DetectionTable(
            truth_image[source],
            np.where(same_class, truth_class[source], rng.integers(0, CLASSES, detections)),
            boxes,
            scores,
        ),
    )


def as_coco(truths: TruthTable, detections: DetectionTable, images: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found_in = zip(truths.image_G, truths.classes_G, truths.boxes_xywh_px, truths.areas_px2_G, strict=True)
    truth_file = {
        "info": {},
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": c, "name": str(c)} for c in range(CLASSES)],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(i),
                "category_id": int(c),
                "bbox": box.tolist(),
                "area": float(area),
                "iscrowd": 0,
            }
            for row, (i, c, box, area) in enumerate(found_in)
        ],
    }
    rows = zip(detections.image_D, detections.classes_D, detections.boxes_xywh_px, detections.scores_D, strict=True)
    results = [
        {"image_id": int(i), "category_id": int(c), "bbox": box.tolist(), "score": float(score)}
        for i, c, box, score in rows
    ]
    return truth_file, results


def library_figures(
    coco_type: Any, evaluator_type: Any, truth_file: dict[str, Any], results: list[dict[str, Any]]
) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truths = coco_type()
        truths.dataset = truth_file
        truths.createIndex()
        evaluator = evaluator_type(truths, truths.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats[:12]]


@dataclass(frozen=True, slots=True)
class Timed:
    """What an evaluator said, and how long it took."""

    name: str
    seconds: float
    figures: list[float]


def timed(name: str, compute: Callable[[], list[float]]) -> Timed:
    start = time.perf_counter()
    figures = compute()
    return Timed(name, time.perf_counter() - start, figures)


def timed_evaluators(images: int) -> tuple[Timed, Timed, Timed]:
    """Runs ours, faster-coco-eval and pycocotools on a set of that many images."""
    truths, detections = make_set(images)
    truth_file, results = as_coco(truths, detections, images)
    names = [str(c) for c in range(CLASSES)]

    def ours() -> list[float]:
        metrics = evaluation_from(match(truths, detections, images=images, classes=CLASSES), names).metrics
        return [metrics[name] for name in METRIC_NAMES[:12]]

    return (
        timed("peakmark", ours),
        timed(
            "faster-coco-eval",
            lambda: library_figures(faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, truth_file, results),
        ),
        timed("pycocotools", lambda: library_figures(COCO, COCOeval, truth_file, results)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=IMAGES)
    images = parser.parse_args().images
    truths, detections = make_set(images)
    rows = timed_evaluators(images)
    reference = rows[-1].figures
    print(
        f"{images:,} images, {len(truths.image_G):,} truths, {len(detections.image_D):,} detections, {CLASSES} classes"
    )
    print(f"{'evaluator':<18}{'seconds':>9}{'mAP50-95':>10}{'largest difference from pycocotools':>38}")
    for row in rows:
        difference = max(abs(a - b) for a, b in zip(row.figures, reference, strict=True))
        print(f"{row.name:<18}{row.seconds:>9.1f}{row.figures[0]:>10.4f}{difference:>38.1e}")
    evidence = match(truths, detections, images=images, classes=CLASSES)
    start = time.perf_counter()
    size_bytes = len(to_bytes(evidence))
    print(f"evidence as it is kept: {size_bytes / 1e6:.1f} MB, made in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
