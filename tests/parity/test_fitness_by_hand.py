"""Does every form of fitness give, on a peer's real predictions, what one gets by hand with a plain matcher?"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.beside import PEER

from peakmark.evaluate.fitness import fitness_by
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.tables import DetectionTable, TruthTable
from peakmark.formula.text import as_setting


@pytest.fixture(scope="module")
def files() -> tuple[Any, Any]:
    if not PEER.is_dir():
        pytest.skip(f"the peer's predictions are not here ({PEER.name} in ../shared/peers)")
    return tuple(json.loads((PEER / name).read_text()) for name in ("val-ground-truth.json", "val-predictions.json"))


# --- by hand: plain loops over the files ---------------------------------------------------------------------------


def overlap(one: list[float], other: list[float]) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (one[2] * one[3] + other[2] * other[3] - width * height)


@pytest.fixture(scope="module")
def curves(files) -> dict[str, np.ndarray]:
    """Precision, recall and F1 per class at each of 1,001 confidences, at IoU 0.5."""
    truth_file, found = files
    thresholds = np.arange(1001) / 1000
    classes = sorted(category["id"] for category in truth_file["categories"])
    found_in: dict[tuple[int, int], list[Any]] = {}
    for each in found:
        found_in.setdefault((each["image_id"], each["category_id"]), []).append(each)
    precision, recall = np.zeros((len(classes), 1001)), np.zeros((len(classes), 1001))
    for row, category in enumerate(classes):
        truths: dict[int, list[list[float]]] = {}
        for each in truth_file["annotations"]:
            if each["category_id"] == category:
                truths.setdefault(each["image_id"], []).append(each["bbox"])
        scored: list[tuple[float, bool]] = []
        for image in sorted({each["id"] for each in truth_file["images"]}):
            mine = found_in.get((image, category), [])
            left = list(truths.get(image, []))
            for each in sorted(mine, key=lambda each: -each["score"]):
                best = max(left, key=lambda truth: overlap(truth, each["bbox"]), default=None)
                if right := best is not None and overlap(best, each["bbox"]) >= 0.5:
                    left = [truth for truth in left if truth is not best]
                scored.append((float(np.float32(each["score"])), right))
        count = sum(len(boxes) for boxes in truths.values())
        for place, threshold in enumerate(thresholds):
            kept = [right for score, right in scored if score >= np.float32(threshold)]
            precision[row, place] = sum(kept) / len(kept) if kept else 0.0
            recall[row, place] = sum(kept) / count
    both = precision + recall
    f1 = np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1), 0)
    return {"precision": precision, "recall": recall, "f1": f1, "confidence": thresholds}


def by_hand(curves: dict[str, np.ndarray], stored: dict[str, float]) -> dict[str, float]:
    precision_C, recall_C, f1_C = curves["precision"], curves["recall"], curves["f1"]
    precision, recall, f1 = (values.mean(axis=0) for values in (precision_C, recall_C, f1_C))
    best = np.flatnonzero(f1 == f1.max())
    place = best[len(best) // 2]
    p, r = precision[place], recall[place]
    map50, map50_95 = stored["AP50"], stored["AP"]
    high = [value for value, other in zip(precision, recall, strict=True) if other >= 0.3]
    of_one = [value for value, other in zip(precision_C[1], recall_C[1], strict=True) if other >= 0.2]
    found_at = [value for value, other in zip(recall, precision, strict=True) if other >= 0.5]
    return {
        "map50_95": map50_95,
        "map50": map50,
        "classic": 0.1 * map50 + 0.9 * map50_95,
        "balanced": (0.1 * p + 0.9 * r) * (1 - abs(p - r)),
        "f1": f1[place],
        "{map50: 0.3, recall: 0.7}": 0.3 * map50 + 0.7 * r,
        "max(precision, recall) - 0.5 * min(precision, recall) ** 2": max(p, r) - 0.5 * min(p, r) ** 2,
        "recall[0] + f1[2] / 2": recall_C[0, place] + f1_C[2, place] / 2,
        "precision where recall >= 0.3": max(high),
        "precision[1] where recall[1] >= 0.2": max(of_one),
        "recall where precision >= 0.5": max(found_at),
        "precision where recall >= 0.9999": -(0.9999 - recall.max()),
    }


def test_every_form_gives_what_one_gets_by_hand(files, curves):
    truth_file, found = files
    stored = json.loads((PEER / "val-pycocotools.json").read_text())
    image_of = {number: i for i, number in enumerate(sorted(image["id"] for image in truth_file["images"]))}
    class_of = {number: i for i, number in enumerate(sorted(each["id"] for each in truth_file["categories"]))}
    truths = truth_file["annotations"]
    boxes = np.array([each["bbox"] for each in truths], dtype=np.float64)
    evidence = match(
        TruthTable(
            np.array([image_of[each["image_id"]] for each in truths]),
            np.array([class_of[each["category_id"]] for each in truths]),
            boxes,
            np.zeros(len(boxes), dtype=bool),
            np.array([each["area"] for each in truths], dtype=np.float64),
        ),
        DetectionTable(
            np.array([image_of[each["image_id"]] for each in found]),
            np.array([class_of[each["category_id"]] for each in found]),
            np.array([each["bbox"] for each in found], dtype=np.float64),
            np.array([each["score"] for each in found], dtype=np.float32),
        ),
        images=len(image_of),
        classes=len(class_of),
    )
    names = [str(number) for number in range(len(class_of))]
    evaluation = evaluation_from(evidence, names)
    expected = by_hand(curves, stored)
    values = {text: fitness_by(as_setting(text), names).of_evaluation(evaluation) for text in expected}
    assert values == pytest.approx(expected, abs=1e-9, rel=0)
    assert len({round(value, 6) for value in expected.values()}) == len(expected), "each says something else"
    again = {
        text: fitness_by(as_setting(text), names).resampled(evidence, np.ones((1, len(image_of)), np.uint8))[0]
        for text in expected
    }
    assert again == pytest.approx(expected, abs=1e-9, rel=0)
