"""How is a trained model validated on a split? The part of the facade that `val` and a gate share, so that both agree.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peakmark.api.model.found import check_asked
from peakmark.api.model.results import ValResults
from peakmark.api.model.trained import Trained, arithmetic_of
from peakmark.data.audit.density import density_notes
from peakmark.data.choice import choice_notes
from peakmark.data.dataset import DatasetSpec
from peakmark.data.source.indexed_split import Index
from peakmark.deploy.found_files import CocoResults, FoundLabels
from peakmark.errors import ModelFileError, SettingsError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.fitness import fitness_by
from peakmark.evaluate.validator import Validated
from peakmark.events import Notice, Observer, ValidationProgress
from peakmark.export.about import About, in_words_of
from peakmark.export.exported import ExportedModel, RuntimePredictor
from peakmark.export.format import Runtime
from peakmark.files.durable import write_text
from peakmark.formula.terms import DEFAULT
from peakmark.geometry.views import views_for
from peakmark.loss.detection import Objective
from peakmark.machine.devices import Arithmetic
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import Detector
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.images import Detect, Detections, Samples
from peakmark.nouns.losses import Gains
from peakmark.record.folder import create_run_folder
from peakmark.record.plain_json import as_json
from peakmark.report.pages.validation_page import write_validation_page
from peakmark.report.pictures.painter import draw_evaluation
from peakmark.run.end.pictures import drawn
from peakmark.run.open_data import open_cache, open_index, workers_of
from peakmark.settings.chosen_classes import class_numbers
from peakmark.settings.fields import ValSettings
from peakmark.settings.parse import Parsed
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS
from peakmark.validation.gallery import make_gallery
from peakmark.validation.validation import (
    Speed,
    ValidationSet,
    sample_detections,
    samples_of,
    validate_detect,
    validate_weights,
)

_CONFIDENCES = (0.1, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class OpenedSplit:
    """A part of the data as a checkpoint's run saw it, and the arithmetic that its numbers were made with."""

    trained: Trained
    wishes: ValSettings
    data: ValidationSet
    arithmetic: Arithmetic

    def validate(
        self,
        model: Detector | ExportedModel,
        observe: Observer,
        speed: Speed | None = None,
        found: Callable[[int, Detections], None] | None = None,
    ) -> Validated:
        """Gives the numbers that the log gave, where data and machine are the same.

        `speed` is told what it took, `found` what was found in each image.
        """
        with self.arithmetic.in_force():
            validated = self._validated(model, observe, speed, found)
        for remark in self.data.images.new_remarks():
            observe(Notice(remark, serious=True))
        if validated.evaluation.truths == 0:
            observe(Notice(_false_alarms(validated.evidence, self.wishes.split), serious=True))
        return validated

    def _validated(
        self,
        model: Detector | ExportedModel,
        observe: Observer,
        speed: Speed | None,
        found: Callable[[int, Detections], None] | None,
    ) -> Validated:
        gains = Gains.of(self.trained.settings)

        def progress(done: int) -> None:
            observe(ValidationProgress(0, done, len(self.data.index)))

        if isinstance(model, ExportedModel):
            detect = self.detect_by(model.runtime, model.about, one_class_per_box=False)
            otherwise = in_words_of(model.about)
            return validate_detect(
                detect, self.data, gains, otherwise=otherwise, progress=progress, speed=speed, found=found
            )
        objective = Objective(gains, self.trained.version, self.trained.class_weights)
        return validate_weights(
            model, self.data, self.arithmetic, objective, progress=progress, speed=speed, found=found
        )

    def detect_by(self, runtime: Runtime, about: About, *, one_class_per_box: bool) -> Detect:
        """Detects by a runtime, with the thresholds of this validation. Raises SettingsError where it can't."""
        return RuntimePredictor(runtime, about, self.data.thresholds, one_class_per_box=one_class_per_box)

    def samples(self, model: Detector | ExportedModel) -> Samples:
        """What is found in the first images, for a picture."""
        if isinstance(model, ExportedModel):
            return samples_of(self.detect_by(model.runtime, model.about, one_class_per_box=True), self.data)
        return sample_detections(model, self.data, self.arithmetic)


def open_split(trained: Trained, wishes: ValSettings, spec: DatasetSpec, observe: Observer) -> OpenedSplit:
    """Opens the split. Raises ModelFileError where its classes are not the model's, and DataError."""
    arithmetic = arithmetic_of(trained, wishes.device, observe)
    data = _validation_set(trained, wishes, spec, arithmetic)
    contents = f"{wishes.split}: {len(data.index):,} images, {data.index.contents}."
    chosen = _chosen_notes(trained, wishes, data.index, spec)
    for note in (*spec.notes, contents, *chosen, *density_notes(data.index, data.thresholds.max_detections)):
        observe(Notice(note))
    return OpenedSplit(trained, wishes, data, arithmetic)


def run_validation(
    model: Detector | ExportedModel, trained: Trained, parsed: Parsed[ValSettings], spec: DatasetSpec, observe: Observer
) -> ValResults:
    """Validates a model on a split, and writes the numbers, pictures and a page into a folder."""
    wishes, speed = parsed.settings, Speed()
    check_asked(model, wishes)
    split = open_split(trained, wishes, spec, observe)
    folder, said = create_run_folder(Path(wishes.project), wishes.name, exist_ok=wishes.exist_ok)
    for note in (*parsed.notes, *split.data.index.warnings, *said):
        observe(Notice(note))
    writers = _writers(folder.path, wishes, split.data.index)
    all_found: dict[int, Detections] = {}

    def found(number: int, detections: Detections) -> None:
        for write in writers:
            write.add(number, detections)
        if wishes.plots:
            all_found[number] = detections

    validated = split.validate(model, observe, speed, found if writers or wishes.plots else None)
    evaluation = validated.evaluation
    for write in writers:
        observe(Notice(write.finish()))
    write_text(folder.path / "metrics.json", _metrics_json(evaluation))
    if wishes.plots:
        drawn("The pictures", partial(_draw, folder.path, evaluation, model, split), observe)
        drawn("The page", partial(_write_page, folder.path, validated, all_found, split), observe)
    observe(Notice(f"Written to {folder.path}"))
    return ValResults(
        save_dir=folder.path,
        names=dict(enumerate(evaluation.names)),
        metrics=evaluation.metrics,
        per_class=evaluation.per_class,
        fitness=_fitness_of(evaluation, trained),
        evaluation=evaluation,
        speed=speed.ms_per_image(evaluation.images),
    )


def _writers(folder: Path, wishes: ValSettings, index: Index) -> list[CocoResults | FoundLabels]:
    writers: list[CocoResults | FoundLabels] = []
    if wishes.save_json:
        writers.append(CocoResults(folder / "predictions.json", index))
    if wishes.save_txt:
        writers.append(FoundLabels(folder / "labels", index, with_confidence=wishes.save_conf))
    return writers


def _draw(folder: Path, evaluation: Evaluation, model: Detector | ExportedModel, split: OpenedSplit) -> None:
    draw_evaluation(folder, evaluation, split.samples(model))


def _write_page(folder: Path, validated: Validated, found: Mapping[int, Detections], split: OpenedSplit) -> None:
    index, wishes = split.data.index, split.wishes
    in_order = [found[number] for number in range(len(index))]
    confidence = validated.evaluation.curves.best_confidence
    gallery = make_gallery(index, in_order, validated.evidence, confidence)
    write_validation_page(
        folder, validated, gallery, model=str(wishes.model), data=str(wishes.data), split=wishes.split
    )


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


def _validation_set(trained: Trained, wishes: ValSettings, spec: DatasetSpec, arithmetic: Arithmetic) -> ValidationSet:
    single = bool(trained.settings["single_cls"])
    # Of weights that came without names only their number is known.
    names = spec.names if trained.nameless and len(spec.names) == len(trained.names) else trained.names
    if not single and spec.names != names:
        raise ModelFileError(
            f"data={wishes.data}: its classes ({', '.join(spec.names)}) are not the model's"
            f" ({', '.join(names)}); validate on data with the same classes in the same order."
        )
    # A run says what counts in its data; its log is only repeated on the same.
    bad_labels = wishes.bad_labels or trained.settings.get("bad_labels", "refuse")
    most_px = wishes.max_image_pixels or trained.settings.get("max_image_pixels", MAX_IMAGE_PIXELS)
    classes = measured_classes(trained, wishes, spec)
    index = open_index(
        wishes,
        spec,
        wishes.split,
        bad_labels=bad_labels,
        max_image_pixels=most_px,
        classes=classes,
        single_class=single,
    )
    side_px = wishes.imgsz or trained.settings["imgsz"]
    cache = open_cache(index, side_px, "off", square=trained.square)  # every image is read once
    # United classes can't be told apart in what is detected.
    counting = None if single else classes
    workers, thresholds = workers_of(wishes, arithmetic), _thresholds(wishes, trained.settings, counting)
    views = views_for(augment=wishes.augment)
    return ValidationSet(index, cache, workers, 2 * wishes.batch, names, thresholds, views)


def measured_classes(trained: Trained, wishes: ValSettings, spec: DatasetSpec) -> tuple[int, ...] | None:
    """The classes that are measured, by their numbers. Raises SettingsError where the data don't have them."""
    wish = trained.settings.get("classes") if wishes.classes is None else wishes.classes
    return class_numbers(wish, spec.names, f"data={wishes.data}")


def _chosen_notes(trained: Trained, wishes: ValSettings, index: Index, spec: DatasetSpec) -> Iterator[str]:
    chosen = measured_classes(trained, wishes, spec)
    yield from choice_notes(index, chosen, spec.names)
    then = trained.settings.get("classes")
    if trained.settings["single_cls"] and chosen != (None if then is None else tuple(then)):
        yield (
            "The model knows one class only (single_cls=True), made of other classes than are measured now: what it"
            " finds of those that are left out counts as false alarms."
        )


def _thresholds(wishes: ValSettings, trained: Mapping[str, Any], classes: tuple[int, ...] | None) -> Thresholds:
    """What is not wished otherwise is as in the training's validations, so that `val` repeats the log."""
    return Thresholds(
        confidence=trained["conf"] if wishes.conf is None else wishes.conf,
        iou=trained["iou"] if wishes.iou is None else wishes.iou,
        max_detections=trained["max_det"] if wishes.max_det is None else wishes.max_det,
        agnostic=wishes.agnostic_nms,
        classes=classes,
    )


def _fitness_of(evaluation: Evaluation, trained: Trained) -> float | None:
    """By what made the run's epochs best; None where that can't be told of these numbers alone."""
    try:
        return fitness_by(trained.settings.get("fitness", DEFAULT), evaluation.names).of_evaluation(evaluation)
    except SettingsError:
        # A function in Python, or a class that these data don't have: the numbers stand without it.
        return None


def _metrics_json(evaluation: Evaluation) -> str:
    return as_json(
        {
            "protocol": evaluation.protocol,
            "metrics": evaluation.metrics,
            "coco": evaluation.coco,
            "names": evaluation.names,
            "per_class": evaluation.per_class,
            "images": evaluation.images,
            "truths": evaluation.truths,
        },
        indent=2,
    )
