"""How good are these weights on that set? The one way to ask, for the log of a run and for `val` alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peakmark.data.loader import VALIDATION_CHUNK, Images, validation_batches, validation_chunks
from peakmark.data.source.indexed_split import Index
from peakmark.evaluate.validator import BatchPrediction, Predict, Validated, validate
from peakmark.geometry.views import ONCE, Views, in_words
from peakmark.loss.detection import Objective, detection_loss
from peakmark.machine.devices import Arithmetic
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import Detector
from peakmark.model.predictor import Predictor, of_counting_classes
from peakmark.nouns.batch import ValidationBatch
from peakmark.nouns.images import Detect, Detections, ImageArray, Samples, Truths
from peakmark.nouns.losses import Gains

_SAMPLES = 16
"""Images of a set that pictures are drawn of."""


class ValidationStopped(Exception):  # noqa: N818 - it is no error
    """A stop was asked for during a validation; the resume repeats it."""


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """A split, ready to be validated on."""

    index: Index
    images: Images
    workers: int
    images_ahead: int
    names: tuple[str, ...]
    thresholds: Thresholds
    views: Views = ONCE
    """How each image is looked at: in a training always once."""

    @property
    def otherwise(self) -> tuple[str, ...]:
        """What is done in another way than by default, for the protocol."""
        return (*self.thresholds.unusual(), *in_words(self.views))

    def batches(self, first: int | None = None) -> Iterator[ValidationBatch]:
        """Gives all images, or the `first` so many of them."""
        return self.batches_of(self.chunks(first))

    def chunks(self, first: int | None = None) -> list[list[int]]:
        """Gives the numbers of the images that are looked at together."""
        return validation_chunks(self.index, self.images, first)

    def batches_of(self, chunks: Sequence[list[int]]) -> Iterator[ValidationBatch]:
        """Gives some of the chunks."""
        return validation_batches(
            self.index, self.images, workers=self.workers, images_ahead=self.images_ahead, chunks=chunks
        )


class Speed:
    """How long the parts of a validation take."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(("preprocess", "inference", "loss", "postprocess"), 0.0)
        self.start()

    def start(self) -> None:
        """Counts from here on."""
        self._counted_s = time.perf_counter()

    def count(self, part: str) -> None:
        """Counts the time since the last call as that of a part."""
        now_s = time.perf_counter()
        self._seconds[part] += now_s - self._counted_s
        self._counted_s = now_s

    def ms_per_image(self, images: int) -> dict[str, float]:
        """preprocess (waiting for images), inference, loss, postprocess"""
        return {part: 1000 * seconds / images for part, seconds in self._seconds.items()}


def validate_weights(
    model: Detector,
    data: ValidationSet,
    arithmetic: Arithmetic,
    objective: Objective,
    *,
    progress: Callable[[int], None] | None = None,
    speed: Speed | None = None,
    found: Callable[[int, Detections], None] | None = None,
) -> Validated:
    """Validates a model; deterministic, and independent of workers and of how many images are read ahead.

    `speed` is told how long it took, `found` at the end what was found in each image.
    """
    clock = speed or Speed()
    predict = predict_with(model, data, arithmetic, objective, clock, waits=speed is not None)
    clock.start()
    otherwise = data.otherwise
    batches = data.batches()
    return validate(
        predict, batches, data.names, gains=objective.gains, otherwise=otherwise, progress=progress, found=found
    )


def predict_with(
    model: Detector,
    data: ValidationSet,
    arithmetic: Arithmetic,
    objective: Objective,
    clock: Speed | None = None,
    *,
    waits: bool = False,
) -> Predict:
    """Gives what a validation asks batch by batch; `waits` for the device where `clock` is looked at."""
    predictor = _predictor(model, data, arithmetic, one_class_per_box=False)
    clock = clock or Speed()

    def predict(batch: ValidationBatch) -> BatchPrediction:
        clock.count("preprocess")
        (seen,) = predictor.outputs(batch.batch.images_BCHW)  # the loader cuts batches to the predictor's chunk
        if waits:
            arithmetic.wait()  # a GPU's work would be counted as that of whoever first needs its outcome
        clock.count("inference")
        detections = tuple(predictor.detections(seen))
        clock.count("postprocess")
        losses = detection_loss(
            of_counting_classes(seen.first, data.thresholds),
            batch.batch,
            version=objective.version,
            class_weights=objective.class_weights,
        )
        clock.count("loss")
        return BatchPrediction(detections, losses)

    return predict


def validate_detect(
    detect: Detect,
    data: ValidationSet,
    gains: Gains,
    *,
    otherwise: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
    speed: Speed | None = None,
    found: Callable[[int, Detections], None] | None = None,
) -> Validated:
    """Validates what another program's runtime finds, every class of a box above the confidence; it has no losses.

    `otherwise` is for the protocol: what is done in another way than by torch. The rest is as in `validate_weights`.
    """
    clock = speed or Speed()

    def predict(batch: ValidationBatch) -> BatchPrediction:
        clock.count("preprocess")
        detections = tuple(detect(batch.batch.images_BCHW))
        clock.count("inference")
        return BatchPrediction(detections)

    clock.start()
    otherwise = (*data.thresholds.unusual(), *otherwise)
    batches = data.batches()
    return validate(predict, batches, data.names, gains=gains, otherwise=otherwise, progress=progress, found=found)


def sample_detections(model: Detector, data: ValidationSet, arithmetic: Arithmetic) -> Samples:
    """Detects in the first images of a set, for a picture; everything in px of the letterboxed images."""
    return samples_of(_predictor(model, data, arithmetic, one_class_per_box=True), data)


def samples_of(detect: Detect, data: ValidationSet) -> Samples:
    """Gives the same for whatever detects."""
    found: dict[int, tuple[ImageArray, Truths, Detections, str]] = {}
    for batch in data.batches(first=_SAMPLES):
        pixels = [image.permute(1, 2, 0).cpu().numpy() for image in batch.batch.images_BCHW]
        boxes = [
            Truths(box.to_padded(own.boxes_xyxy_px), own.classes)
            for box, own in zip(batch.letterboxes, batch.truths, strict=True)
        ]
        names = [Path(file).name for file in batch.batch.files]
        parts = zip(pixels, boxes, detect(batch.batch.images_BCHW), names, strict=True)
        found.update(zip(batch.numbers, parts, strict=True))
    images, truths, detections, titles = zip(*(found[number] for number in sorted(found)), strict=True)
    return Samples(images=images, truths=truths, detections=detections, titles=titles)


def _predictor(model: Detector, data: ValidationSet, arithmetic: Arithmetic, *, one_class_per_box: bool) -> Predictor:
    return Predictor(
        model,
        arithmetic,
        data.thresholds,
        chunk=VALIDATION_CHUNK,
        one_class_per_box=one_class_per_box,
        views=data.views,
    )
