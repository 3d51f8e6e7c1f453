"""How is a trained model validated on a split? The part of the facade that `val` and a gate share, so that both agree.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from peakmark.checkpoint.format import Checkpoint
from peakmark.data.dataset import DatasetSpec
from peakmark.errors import ModelFileError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.validator import Validated
from peakmark.events import Notice, Observer, ValidationProgress
from peakmark.machine.devices import Arithmetic, precision_here, settle
from peakmark.model.detector import Detector
from peakmark.model.predictor import Thresholds
from peakmark.settings.fields import ValSettings
from peakmark.train.build import open_cache, open_index, workers_of
from peakmark.train.start import ModelSource
from peakmark.train.validation import ValidationSet, validate_weights

_CONFIDENCES = (0.1, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class OpenedSplit:
    """A part of the data as a checkpoint's run saw it, and the arithmetic that its numbers were made with."""

    checkpoint: Checkpoint
    wishes: ValSettings
    data: ValidationSet
    arithmetic: Arithmetic

    def validate(self, model: Detector, observe: Observer) -> Validated:
        """Gives the numbers that the log gave, where data and machine are the same."""
        wishes, trained = self.wishes, self.checkpoint.settings
        with self.arithmetic.in_force():
            validated = validate_weights(
                model,
                self.data,
                self.arithmetic,
                (trained["box"], trained["cls"], trained["dfl"]),
                thresholds=Thresholds(wishes.conf, wishes.iou, wishes.max_det),
                progress=lambda done: observe(ValidationProgress(0, done, len(self.data.index))),
            )
        if validated.evaluation.truths == 0:
            observe(Notice(_false_alarms(validated.evidence, wishes.split), serious=True))
        return validated


def open_split(checkpoint: Checkpoint, wishes: ValSettings, spec: DatasetSpec, observe: Observer) -> OpenedSplit:
    """Opens the split. Raises ModelFileError where its classes are not the model's, and DataError."""
    arithmetic = arithmetic_of(checkpoint, wishes.device, observe)
    data = _validation_set(checkpoint, wishes, spec, arithmetic)
    for note in (*spec.notes, f"{wishes.split}: {len(data.index):,} images, {data.index.contents}."):
        observe(Notice(note))
    return OpenedSplit(checkpoint, wishes, data, arithmetic)


def _false_alarms(evidence: Evidence, split: str) -> str:
    """What a set of background images says of a model: nothing in it can be found, so all that is found is wrong."""
    counts = []
    for confidence in _CONFIDENCES:
        wrong_D = evidence.scores_D >= confidence
        images = len(np.unique(evidence.image_D[wrong_D]))
        counts.append(f"{int(wrong_D.sum())} in {images} of {evidence.images} images from confidence {confidence} on")
    return (
        f"{split} has no objects, so precision, recall and mAP are not defined on it. Detections, all of them false"
        f" alarms: {'; '.join(counts)}."
    )


def checkpoint_of(source: ModelSource, purpose: str) -> Checkpoint:
    """Gives the checkpoint behind a model. Raises ModelFileError where there is none, so it can't be `purpose`."""
    if source.foreign:
        raise ModelFileError(
            f"model={source.name}: this is a file of another program. Its weights can be trained further, but"
            f" it says too little to be {purpose}; train with model={source.name} first."
        )
    if source.checkpoint is None:
        raise ModelFileError(
            f"model={source.name}: this is an architecture without trained weights and can't be {purpose};"
            " give a checkpoint such as runs/detect/train/weights/best.pt."
        )
    return source.checkpoint


def arithmetic_of(checkpoint: Checkpoint, device: str | int | None, observe: Observer) -> Arithmetic:
    """The arithmetic that the checkpoint's numbers were made with, where this machine has it and no other is wished."""
    stored = Arithmetic.from_plain(checkpoint.arithmetic)
    here = settle(device=device, amp=stored.precision != "float32", deterministic=stored.deterministic)
    if here.device == stored.device:
        precision = precision_here(stored.precision, stored.device)
        # On another processor the last digits are others anyway, and more threads than it has only wait.
        threads = stored.threads if here.device_name == stored.device_name else here.threads
        chosen = dataclasses.replace(stored, precision=precision, threads=threads)
    else:
        chosen = here
    if (here.device, here.device_name, chosen.precision) != (stored.device, stored.device_name, stored.precision):
        lacks = here.device == stored.device and chosen.precision != stored.precision
        why = f", which has no {stored.precision}" if lacks else ""
        observe(
            Notice(
                f"The model was trained on {stored.device_name} ({stored.device}, {stored.precision}), this is"
                f" {here.device_name} ({chosen.device}, {chosen.precision}){why}: numbers may differ from the log in"
                f" their {'last' if chosen.precision == stored.precision else 'third'} digits."
            )
        )
    return chosen


def _validation_set(
    checkpoint: Checkpoint, wishes: ValSettings, spec: DatasetSpec, arithmetic: Arithmetic
) -> ValidationSet:
    single = bool(checkpoint.settings["single_cls"])
    if not single and spec.names != checkpoint.names:
        raise ModelFileError(
            f"data={wishes.data}: its classes ({', '.join(spec.names)}) are not the model's"
            f" ({', '.join(checkpoint.names)}); validate on data with the same classes in the same order."
        )
    # A run says what counts in its data; its log is only repeated on the same.
    bad_labels = wishes.bad_labels or checkpoint.settings.get("bad_labels", "refuse")
    index = open_index(wishes, spec, wishes.split, bad_labels, single_class=single)
    side_px = wishes.imgsz or checkpoint.settings["imgsz"]
    cache = open_cache(index, side_px, "off")  # every image is read once
    return ValidationSet(index, cache, workers_of(wishes, arithmetic), 2 * wishes.batch, checkpoint.names)
