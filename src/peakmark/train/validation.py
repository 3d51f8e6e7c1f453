"""How good are these weights on that set? The one way to ask, for the log of a run and for `val` alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peakmark.data.cache import ImageCache
from peakmark.data.index import Index
from peakmark.data.loader import VALIDATION_CHUNK, validation_batches
from peakmark.evaluate.fitness import fitness
from peakmark.evaluate.validator import BatchPrediction, validate
from peakmark.loss.detection import detection_loss
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import Detector
from peakmark.model.predictor import Predictor
from peakmark.nouns import Evaluation, Observer, ValidationBatch, ValidationProgress
from peakmark.resume.state import RunState
from peakmark.train.loop import ValidationStopped


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as a detection; the defaults are the protocol's, by which every logged number was made."""

    confidence: float = 0.001
    iou: float = 0.7
    max_detections: int = 300


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """A split, ready to be validated on."""

    index: Index
    cache: ImageCache
    side_px: int
    workers: int
    images_ahead: int
    names: tuple[str, ...]


def validate_weights(
    model: Detector,
    data: ValidationSet,
    arithmetic: Arithmetic,
    gains: tuple[float, float, float],
    *,
    thresholds: Thresholds = Thresholds(),
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Validates a model; deterministic, and independent of workers and of how many images are read ahead."""
    predictor = Predictor(
        model,
        arithmetic,
        confidence=thresholds.confidence,
        iou_threshold=thresholds.iou,
        max_detections=thresholds.max_detections,
        chunk=VALIDATION_CHUNK,
        one_class_per_box=False,
    )

    def predict(batch: ValidationBatch) -> BatchPrediction:
        (output,) = predictor.outputs(batch.batch.images_BCHW)  # the loader cuts batches to the predictor's chunk
        return BatchPrediction(tuple(predictor.detections(output)), detection_loss(output, batch.batch))

    batches = validation_batches(
        data.index, data.cache, side_px=data.side_px, workers=data.workers, images_ahead=data.images_ahead
    )
    return validate(predict, batches, data.names, gains=gains, progress=progress)


@dataclass(frozen=True, slots=True)
class EpochValidator:
    """Validates the averaged weights of a run, as the loop asks for it."""

    data: ValidationSet
    arithmetic: Arithmetic
    gains: tuple[float, float, float]
    fitness_name: str
    observe: Observer
    stop_requested: Callable[[], bool]

    def __call__(self, state: RunState) -> tuple[Evaluation, float | None]:
        """Gives the evaluation and its fitness. Raises ValidationStopped where a stop is asked for."""

        def progress(images_done: int) -> None:
            if self.stop_requested():
                raise ValidationStopped
            self.observe(ValidationProgress(state.position.epoch, images_done, len(self.data.index)))

        evaluation = validate_weights(state.ema, self.data, self.arithmetic, self.gains, progress=progress)
        return evaluation, fitness(self.fitness_name, evaluation.metrics)
