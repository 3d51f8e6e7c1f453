"""What does a model find in letterboxed images? The one predict function: training's validation, `val` and `predict`.

Same fusing, same precision, same padded chunk size whatever the caller's batch is, so that a number never depends on
how images were grouped. Decoding and suppression are float32 in every mode. It knows no files and no metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from peakmark.geometry.suppression import suppress
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import Detector, decode, tensors_of
from peakmark.model.fuse import fused, packed
from peakmark.nouns.images import Detections
from peakmark.nouns.losses import HeadOutput
from peakmark.settings.fields import Settings

_SURE_OF_NOTHING = -1e4
"""A logit whose score and whose loss are 0 in every precision, bit for bit."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as a detection."""

    confidence: float
    """Scores above it count."""
    iou: float
    """Overlap above which the weaker of two boxes of a class is dropped."""
    max_detections: int
    """Of an image."""
    agnostic: bool = False
    """Whether the weaker of two is dropped whatever their classes are."""
    classes: tuple[int, ...] | None = None
    """Of which classes detections count; None for all. The others drop nobody, and take up no place among the most."""

    def unusual(self) -> tuple[str, ...]:
        """Says what of them is another than in a usual validation, by the names of the settings."""
        own = {"conf": self.confidence, "iou": self.iou, "max_det": self.max_detections}
        said = [f"{name}={value:g}" for name, value in own.items() if value != Settings.model_fields[name].default]
        chosen = () if self.classes is None else (f"classes=[{','.join(map(str, self.classes))}]",)
        return (*said, *(("agnostic_nms=True",) if self.agnostic else ()), *chosen)

    def counting(self, classes: int, device: torch.device) -> torch.Tensor | None:
        """(C,) whether each of the model's classes counts; None where all do."""
        if self.classes is None:
            return None
        counts_C = torch.zeros(classes, dtype=torch.bool, device=device)
        counts_C[list(self.classes)] = True
        return counts_C


def of_counting_classes(output: HeadOutput, thresholds: Thresholds) -> HeadOutput:
    """Gives an output that is sure of seeing nothing of the classes that don't count: they add 0 to any loss."""
    logits_BAC = output.class_logits_BAC
    counts_C = thresholds.counting(logits_BAC.shape[2], logits_BAC.device)
    if counts_C is None:
        return output
    # Not -inf: times a target of 0 it is no number.
    return HeadOutput(output.box_logits_BAR4, logits_BAC.masked_fill(~counts_C, _SURE_OF_NOTHING), output.grid)


class Predictor:
    """A fused copy of a model with fixed thresholds."""

    def __init__(
        self,
        model: Detector,
        arithmetic: Arithmetic,
        thresholds: Thresholds,
        *,
        chunk: int,
        one_class_per_box: bool,
    ) -> None:
        """`chunk`: images computed together; fewer are padded. `one_class_per_box`: as a person wants to see it, where
        the metric (False) takes every class of a box above the confidence as a detection of its own."""
        with arithmetic.in_force():
            placed = arithmetic.round_weights(arithmetic.place(fused(model)))
            self._model = placed if arithmetic.on_gpu else packed(placed)
        self._arithmetic = arithmetic
        self._thresholds = thresholds
        self._chunk = chunk
        self._one_class_per_box = one_class_per_box

    def __call__(self, images_BCHW: torch.Tensor) -> list[Detections]:
        """Finds objects in letterboxed images of one shape (B, 3, H, W) uint8 RGB; boxes in px of these."""
        return [detections for output in self.outputs(images_BCHW) for detections in self.detections(output)]

    @torch.inference_mode()
    def outputs(self, images_BCHW: torch.Tensor) -> Iterator[HeadOutput]:
        """Yields the raw head outputs chunk by chunk, the padding cut off again."""
        for start in range(0, len(images_BCHW), self._chunk):
            images = images_BCHW[start : start + self._chunk]
            count = len(images)
            if count < self._chunk:
                # Kernels are chosen by batch size and add up in another order: without padding, the last images of a
                # set would come out differently from the same images in another place.
                images = torch.cat((images, images.new_zeros((self._chunk - count, *images.shape[1:]))))
            # Not over the `yield`: what the caller does in between is computed as the caller wants it.
            with self._arithmetic.in_force(), self._arithmetic.autocast():
                output = self._model(self._arithmetic.prepare(images))
            yield HeadOutput(output.box_logits_BAR4[:count], output.class_logits_BAC[:count], output.grid)

    @torch.inference_mode()
    def detections(self, output: HeadOutput) -> list[Detections]:
        """Decodes, thresholds and suppresses one chunk's outputs."""
        with self._arithmetic.in_force():
            return self._detections(output)

    def _detections(self, output: HeadOutput) -> list[Detections]:
        limits = self._thresholds
        boxes_BA4, scores_BAC = decode(output)
        counts_C = limits.counting(scores_BAC.shape[2], scores_BAC.device)
        if self._one_class_per_box:
            best_BA, class_BA = scores_BAC.max(dim=2)
            counts_BA = best_BA > limits.confidence
            image, anchor = (counts_BA if counts_C is None else counts_BA & counts_C[class_BA]).nonzero(as_tuple=True)
            scores, classes = best_BA[image, anchor], class_BA[image, anchor]
        else:
            counts_BAC = scores_BAC > limits.confidence
            counts_BAC = counts_BAC if counts_C is None else counts_BAC & counts_C
            image, anchor, classes = counts_BAC.nonzero(as_tuple=True)
            scores = scores_BAC[image, anchor, classes]
        boxes = boxes_BA4[image, anchor]
        kept_by_image = suppress(
            boxes,
            scores,
            torch.zeros_like(classes) if limits.agnostic else classes,
            image,
            images=len(boxes_BA4),
            iou_threshold=limits.iou,
            max_kept=limits.max_detections,
        )
        # To the host in one go: each copy from a GPU is a wait.
        kept = torch.cat(kept_by_image)
        ends = np.cumsum([len(each) for each in kept_by_image])[:-1]
        columns = (np.split(column[kept].cpu().numpy(), ends) for column in (boxes, scores, classes))
        return [Detections(*of_image) for of_image in zip(*columns, strict=True)]


class ReadyPredictor:
    """Keeps the predictor of the last call: to fuse a model takes as long as to look at several images."""

    def __init__(self) -> None:
        self._made_for: tuple[Arithmetic, Thresholds, int, bool] | None = None
        self._model: Detector | None = None
        self._weights: list[torch.Tensor] = []
        self._predictor: Predictor | None = None

    def of(
        self,
        model: Detector,
        arithmetic: Arithmetic,
        thresholds: Thresholds,
        *,
        chunk: int,
        one_class_per_box: bool,
        shared: bool,
    ) -> Predictor:
        """Gives a predictor as `Predictor(...)` would, made anew only where the model or anything else differs.

        `shared`: others hold the model, so its weights may have been changed since the last call.
        """
        asked = (arithmetic, thresholds, chunk, one_class_per_box)
        # By value only where it must be: to read all weights takes as long as a quarter of the network's own work.
        same = model is self._model and (not shared or self._has_same_weights(model))
        if self._predictor is None or asked != self._made_for or not same:
            self._predictor = Predictor(model, arithmetic, thresholds, chunk=chunk, one_class_per_box=one_class_per_box)
            self._made_for, self._model = asked, model
            self._weights = [tensor.detach().clone() for tensor in tensors_of(model)] if shared else []
        return self._predictor

    def _has_same_weights(self, model: Detector) -> bool:
        weights = tensors_of(model)
        return len(weights) == len(self._weights) and all(map(torch.equal, weights, self._weights))
