"""What does a model find in letterboxed images? The one predict function: training's validation, `val` and `predict`.

Same fusing, same precision, same padded chunk size whatever the caller's batch is, so that a number never depends on
how images were grouped. Decoding and suppression are float32 in every mode. It knows no files and no metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from peakmark.geometry.views import ONCE, View, Views
from peakmark.machine.devices import Arithmetic
from peakmark.model.candidates import Candidates, Thresholds, candidates_in, joined, suppressed
from peakmark.model.detector import Detector, decode, tensors_of
from peakmark.model.fuse import fused, packed
from peakmark.nouns.images import Detections
from peakmark.nouns.losses import HeadOutput

_SURE_OF_NOTHING = -1e4
"""A logit whose score and whose loss are 0, bit for bit."""


def of_counting_classes(output: HeadOutput, thresholds: Thresholds) -> HeadOutput:
    """Gives an output that is sure of seeing nothing of the classes that don't count: they add 0 to any loss."""
    logits_BAC = output.class_logits_BAC
    counts_C = thresholds.counting(logits_BAC.shape[2], logits_BAC.device)
    if counts_C is None:
        return output
    # Not -inf: times a target of 0 it is no number.
    return HeadOutput(output.box_logits_BAR4, logits_BAC.masked_fill(~counts_C, _SURE_OF_NOTHING), output.grid)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the network says of a chunk."""

    first: HeadOutput
    """Of the images as they were given."""
    others: tuple[Candidates, ...] = ()
    """Of each further view."""


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
        views: Views = ONCE,
    ) -> None:
        """`chunk`: images computed together; fewer are padded. `one_class_per_box`: as a person wants to see it, where
        the metric (False) takes every class of a box above the confidence as a detection of its own. `views`: how each
        image is looked at; what is found in all of them goes through one suppression."""
        with arithmetic.in_force():
            placed = arithmetic.round_weights(arithmetic.place(fused(model)))
            self._model = placed if arithmetic.on_gpu else packed(placed)
        self._arithmetic = arithmetic
        self._thresholds = thresholds
        self._chunk = chunk
        self._one_class_per_box = one_class_per_box
        self._views = views

    def __call__(self, images_BCHW: torch.Tensor) -> list[Detections]:
        """Finds objects in letterboxed images of one shape (B, 3, H, W) uint8 RGB; boxes in px of these."""
        return [detections for seen in self.outputs(images_BCHW) for detections in self.detections(seen)]

    @torch.inference_mode()
    def outputs(self, images_BCHW: torch.Tensor) -> Iterator[Seen]:
        """Yields what the network says chunk by chunk, the padding cut off again."""
        for start in range(0, len(images_BCHW), self._chunk):
            images = images_BCHW[start : start + self._chunk]
            count = len(images)
            if count < self._chunk:
                # Kernels are chosen by batch size and add up in another order: without padding, the last images of a
                # set would come out differently from the same images in another place.
                images = torch.cat((images, images.new_zeros((self._chunk - count, *images.shape[1:]))))
            # Not over the `yield`: what the caller does in between is computed as the caller wants it.
            with self._arithmetic.in_force():
                seen = self._seen(images, count)
            yield seen

    def _seen(self, images_BCHW: torch.Tensor, count: int) -> Seen:
        _, *others = self._views
        first = self._output(images_BCHW, count)
        if not others:
            return Seen(first)
        images_BCHW = images_BCHW.cpu()  # views are made on the processor; once for all of them
        # Only candidates are kept of the others: whole outputs of all views would take as many times the memory.
        return Seen(first, tuple(self._candidates_in(view, images_BCHW, count) for view in others))

    def _output(self, images_BCHW: torch.Tensor, count: int) -> HeadOutput:
        with self._arithmetic.autocast():
            output = self._model(self._arithmetic.prepare(images_BCHW))
        return HeadOutput(output.box_logits_BAR4[:count], output.class_logits_BAC[:count], output.grid)

    def _candidates_in(self, view: View, images_BCHW: torch.Tensor, count: int) -> Candidates:
        found = self._candidates(self._output(view.pixels(images_BCHW), count))
        height_px, width_px = images_BCHW.shape[2:]
        return replace(found, boxes_xyxy_px=view.to_image(found.boxes_xyxy_px, width_px, height_px))

    @torch.inference_mode()
    def detections(self, seen: Seen) -> list[Detections]:
        """Decodes, thresholds and suppresses what was seen of one chunk."""
        with self._arithmetic.in_force():
            found = joined((self._candidates(seen.first), *seen.others))
            return suppressed(found, self._thresholds, images=len(seen.first.class_logits_BAC))

    def _candidates(self, output: HeadOutput) -> Candidates:
        boxes_BA4, scores_BAC = decode(output)
        return candidates_in(boxes_BA4, scores_BAC, self._thresholds, one_class_per_box=self._one_class_per_box)


class ReadyPredictor:
    """Keeps the predictor of the last call: to fuse a model takes as long as to look at several images."""

    def __init__(self) -> None:
        self._made_for: tuple[Arithmetic, Thresholds, int, bool, Views] | None = None
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
        views: Views = ONCE,
    ) -> Predictor:
        """Gives a predictor as `Predictor(...)` would, made anew only where the model or anything else differs.

        `shared`: others hold the model, so its weights may have been changed since the last call.
        """
        asked = (arithmetic, thresholds, chunk, one_class_per_box, views)
        # By value only where it must be: to read all weights takes as long as a quarter of the network's own work.
        same = model is self._model and (not shared or self._has_same_weights(model))
        if self._predictor is None or asked != self._made_for or not same:
            self._predictor = Predictor(
                model, arithmetic, thresholds, chunk=chunk, one_class_per_box=one_class_per_box, views=views
            )
            self._made_for, self._model = asked, model
            self._weights = [tensor.detach().clone() for tensor in tensors_of(model)] if shared else []
        return self._predictor

    def _has_same_weights(self, model: Detector) -> bool:
        weights = tensors_of(model)
        return len(weights) == len(self._weights) and all(map(torch.equal, weights, self._weights))
