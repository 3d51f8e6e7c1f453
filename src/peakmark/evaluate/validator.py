"""How good are the detections of a predict function on a set? It is asked batch by batch, and judged on the whole set.

The predict function is handed in, so this file can't know whether it runs EMA weights, ONNX or int8. It knows no model,
no device and no file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.tables import detection_table, truth_table
from peakmark.geometry.letterbox import Letterbox
from peakmark.nouns.batch import ValidationBatch
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.images import Detections, Truths
from peakmark.nouns.losses import TERMS, Gains, Losses, LossSums


@dataclass(frozen=True, slots=True)
class BatchPrediction:
    """What a predict function says of a batch."""

    detections: tuple[Detections, ...]
    """Per image, in px of the letterboxed one"""
    losses: LossSums | None = None
    """Numbers, or one per image; None where the model has no loss (an exported one)"""


Predict = Callable[[ValidationBatch], BatchPrediction]


@dataclass(frozen=True, slots=True)
class Validated:
    """A validation of a set, and what its numbers are made of."""

    evaluation: Evaluation
    evidence: Evidence


def validate(
    predict: Predict,
    batches: Iterable[ValidationBatch],
    names: Sequence[str],
    *,
    gains: Gains,
    otherwise: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
    found: Callable[[int, Detections], None] | None = None,
) -> Validated:
    """Evaluates a predict function on a set; `gains` are those of the losses.

    `otherwise` is for the protocol: what `predict` does in another way than by default.

    The order of the images is that of their numbers, and how they are cut into batches changes no number as long as
    `predict` answers the same per image. `progress` is told after each batch how many images are done, `found` at the
    end what was found in each image, in their order, in px of the original one. Holds arrays
    of truths and detections only, no pixels. Raises ValueError where `predict` leaves out an image or invents a class.
    """
    seen = Seen()
    for batch in batches:
        seen.add(batch, predict(batch))
        if progress is not None:
            progress(len(seen.truths))
    return judge(seen, names, gains=gains, otherwise=otherwise, found=found)


@dataclass(slots=True)
class LossValues:
    """The loss terms of a set, kept one by one: added up per batch, their last digits would depend on its size."""

    terms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in TERMS})
    target_scores: list[float] = field(default_factory=list)
    complete: bool = True

    def add(self, sums: LossSums | None) -> None:
        if sums is None:
            self.complete = False
            return
        for name, values in self.terms.items():
            values += sums[name].double().reshape(-1).tolist()
        self.target_scores += sums.target_scores.double().reshape(-1).tolist()

    def extend(self, others: LossValues) -> None:
        """Adds those of other images."""
        self.complete = self.complete and others.complete
        for name, values in self.terms.items():
            values += others.terms[name]
        self.target_scores += others.target_scores

    def mean(self, gains: Gains) -> Losses | None:
        """Divides the set's sums by its sum of target scores; None where a batch had no losses or there was none."""
        if not self.complete or not self.target_scores:
            return None
        # fsum is exact: sum's last digits depend on the order of the terms, and on the version of Python.
        divisor = max(math.fsum(self.target_scores), 1.0)
        return Losses(**{name: gain * math.fsum(self.terms[name]) / divisor for name, gain in gains.items()})


@dataclass(slots=True)
class Seen:
    """What a predict function said of images, as far as it was asked."""

    truths: dict[int, Truths] = field(default_factory=dict)
    """By number of the image."""
    detections: dict[int, Detections] = field(default_factory=dict)
    """The same, in px of the original one."""
    losses: LossValues = field(default_factory=LossValues)

    def add(self, batch: ValidationBatch, prediction: BatchPrediction) -> None:
        """Adds what was said of a batch. Raises ValueError where it leaves out an image."""
        for number, letterbox, detected in zip(batch.numbers, batch.letterboxes, prediction.detections, strict=True):
            self.detections[number] = _in_original(detected, letterbox)
        self.truths.update(zip(batch.numbers, batch.truths, strict=True))
        self.losses.add(prediction.losses)


def judge(
    seen: Seen,
    names: Sequence[str],
    *,
    gains: Gains,
    otherwise: Sequence[str] = (),
    found: Callable[[int, Detections], None] | None = None,
) -> Validated:
    """Evaluates what was said of a whole set; see `validate`."""
    order = sorted(seen.truths)
    truths, detections = [seen.truths[n] for n in order], [seen.detections[n] for n in order]
    if found is not None:
        for number, in_image in zip(order, detections, strict=True):
            found(number, in_image)
    evidence = match(truth_table(truths), detection_table(detections), images=len(truths), classes=len(names))
    return Validated(evaluation_from(evidence, names, seen.losses.mean(gains), otherwise), evidence)


def _in_original(found: Detections, letterbox: Letterbox) -> Detections:
    return Detections(letterbox.to_original(found.boxes_xyxy_px), found.scores, found.classes)
