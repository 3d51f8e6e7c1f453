"""Does the validator judge a set as a whole: boxes back in their images, losses over the set, whatever the batches?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.validator import BatchPrediction, validate
from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns.batch import Batch, ValidationBatch
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.images import Detections, Truths
from peakmark.nouns.losses import Gains, Losses, LossSums

NAMES = ("cat", "dog")
GAINS = Gains(7.5, 0.5, 1.5)
SIDE_PX = 320
SHAPES_PX = [(640, 480), (333, 500), (320, 320), (41, 900), (1000, 999)]


def truths_of(image: int) -> Truths:
    """Two objects in every image but the third, one of them cut off by the edge."""
    width, height = SHAPES_PX[image]
    if image == 2:
        return Truths(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    boxes = np.array([[0, 0, width * 0.6, height * 0.5], [width * 0.5, height * 0.7, width, height]], np.float32)
    return Truths(boxes, np.array([0, 1]))


def batches_of(size: int, images: Sequence[int] = range(5)) -> list[ValidationBatch]:
    batches = []
    for start in range(0, len(images), size):
        chosen = images[start : start + size]
        pixels = torch.zeros(len(chosen), 3, 32, 32, dtype=torch.uint8)
        none = torch.zeros(0, dtype=torch.int64)
        batches.append(
            ValidationBatch(
                batch=Batch(pixels, torch.zeros(0, 4), none, none, tuple(str(image) for image in chosen)),
                numbers=tuple(chosen),
                letterboxes=tuple(Letterbox(*SHAPES_PX[image], SIDE_PX) for image in chosen),
                truths=tuple(truths_of(image) for image in chosen),
            )
        )
    return batches


def predict_truths(batch: ValidationBatch, *, beyond_px: float = 0.0, losses: bool = True) -> BatchPrediction:
    """Finds every truth; `beyond_px` lets the boxes at an edge reach out of the image, as detectors do."""
    found = []
    for letterbox, truths in zip(batch.letterboxes, batch.truths, strict=True):
        boxes = letterbox.to_padded(truths.boxes_xyxy_px)
        if len(boxes):
            boxes += np.array([[-beyond_px, -beyond_px, 0, 0], [0, 0, beyond_px, beyond_px]], np.float32)
        found.append(Detections(boxes, np.full(len(boxes), 0.9, np.float32), truths.classes))
    terms = torch.tensor([0.1 * (int(file) + 1) for file in batch.batch.files])
    sums = LossSums(box=terms, cls=terms * 2, dfl=terms * 3, target_scores=terms * 7)
    return BatchPrediction(tuple(found), sums if losses else None)


def every_digit(evaluation: Evaluation) -> str:
    """Text, because NaN is not equal to itself."""
    return repr((evaluation.metrics, evaluation.per_class, evaluation.losses, evaluation.confusion.tolist()))


def test_a_perfect_predictor_in_the_letterbox_is_perfect_in_the_images() -> None:
    evaluation = validate(predict_truths, batches_of(2), NAMES, gains=GAINS).evaluation
    assert evaluation.metrics["map50_95"] == evaluation.metrics["recall_100"] == 1.0
    assert (evaluation.images, evaluation.truths, evaluation.detections) == (5, 8, 8)


def test_boxes_that_reach_out_of_the_image_are_clipped_before_matching() -> None:
    evaluation = validate(
        lambda batch: predict_truths(batch, beyond_px=40.0), batches_of(2), NAMES, gains=GAINS
    ).evaluation
    assert evaluation.metrics["map50_95"] == 1.0


def test_truths_are_sized_in_the_original_image() -> None:
    # 900 px high, 320 px in its letterbox, where the lower object of 5,535 px² would be a small one of 700 px².
    evaluation = validate(predict_truths, batches_of(1, [3]), NAMES, gains=GAINS).evaluation
    assert math.isnan(evaluation.metrics["map_small"])
    assert evaluation.metrics["map_medium"] == pytest.approx(1.0)


def test_batches_change_no_number() -> None:
    expected = every_digit(validate(predict_truths, batches_of(1), NAMES, gains=GAINS).evaluation)
    for size in (2, 3, 5):
        assert every_digit(validate(predict_truths, batches_of(size), NAMES, gains=GAINS).evaluation) == expected


def test_the_order_of_a_set_is_that_of_its_numbers() -> None:
    """What is kept of each image is told by its place: it must not depend on which shapes were looked at together."""
    expected = validate(predict_truths, batches_of(1), NAMES, gains=GAINS)
    shuffled = validate(predict_truths, batches_of(2, [3, 0, 4, 2, 1]), NAMES, gains=GAINS)
    assert every_digit(shuffled.evaluation) == every_digit(expected.evaluation)
    for field in dataclasses.fields(expected.evidence):
        assert repr(getattr(shuffled.evidence, field.name)) == repr(getattr(expected.evidence, field.name)), field.name


def test_losses_are_the_sets_sums_over_the_sets_target_scores() -> None:
    losses = validate(predict_truths, batches_of(2), NAMES, gains=GAINS).evaluation.losses
    assert losses is not None
    assert losses.box == pytest.approx(7.5 * 1.5 / 10.5)
    assert losses.cls == pytest.approx(0.5 * 3.0 / 10.5)
    assert losses.dfl == pytest.approx(1.5 * 4.5 / 10.5)


def test_a_set_without_positives_divides_its_losses_by_one() -> None:
    def predict(batch: ValidationBatch) -> BatchPrediction:
        sums = LossSums(*(torch.tensor(value) for value in (0.0, 4.0, 0.0, 0.25)))
        return BatchPrediction(predict_truths(batch).detections, sums)

    assert validate(predict, batches_of(5), NAMES, gains=GAINS).evaluation.losses == Losses(box=0.0, cls=2.0, dfl=0.0)


def test_losses_are_added_without_rounding_in_between() -> None:
    def predict(batch: ValidationBatch) -> BatchPrediction:
        box = torch.tensor([2.0**53, 1.0, 1.0], dtype=torch.float64)
        zero = torch.zeros(3)
        return BatchPrediction(predict_truths(batch).detections, LossSums(box, zero, zero, zero))

    losses = validate(predict, batches_of(5), NAMES, gains=Gains(1.0, 1.0, 1.0)).evaluation.losses
    assert losses is not None
    assert losses.box == 2.0**53 + 2.0


def test_a_model_without_losses_is_judged_all_the_same() -> None:
    evaluation = validate(
        lambda batch: predict_truths(batch, losses=False), batches_of(2), NAMES, gains=GAINS
    ).evaluation
    assert evaluation.losses is None
    assert evaluation.metrics["map50"] == 1.0


def test_progress_counts_images() -> None:
    seen: list[int] = []
    validate(predict_truths, batches_of(2), NAMES, gains=GAINS, progress=seen.append)
    assert seen == [2, 4, 5]


def test_an_image_left_out_by_the_predict_function_is_refused() -> None:
    def forgetful(batch: ValidationBatch) -> BatchPrediction:
        return BatchPrediction(predict_truths(batch).detections[1:])

    with pytest.raises(ValueError, match="shorter"):
        validate(forgetful, batches_of(2), NAMES, gains=GAINS)


def test_detections_that_are_not_finite_find_nothing_and_raise_nothing() -> None:
    def broken(batch: ValidationBatch) -> BatchPrediction:
        boxes = [np.full((1, 4), np.nan, np.float32) for _ in batch.letterboxes]
        return BatchPrediction(tuple(Detections(box, np.array([0.5], np.float32), np.array([0])) for box in boxes))

    assert validate(broken, batches_of(2), NAMES, gains=GAINS).evaluation.metrics["map50"] == 0.0


def test_the_evidence_is_what_the_numbers_are_made_of() -> None:
    validated = validate(predict_truths, batches_of(2), NAMES, gains=GAINS)
    assert every_digit(evaluation_from(validated.evidence, NAMES, validated.evaluation.losses)) == every_digit(
        validated.evaluation
    )
