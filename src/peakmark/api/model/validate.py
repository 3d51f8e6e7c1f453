"""How is a trained model validated on a split? The part of the facade that `val` and a gate share, so that both agree.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peakmark.api.model.results import ValResults
from peakmark.checkpoint.format import IMPORTED, Checkpoint
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
from peakmark.files.durable import write_text
from peakmark.formula.terms import DEFAULT
from peakmark.geometry.views import views_for
from peakmark.loss.detection import Objective
from peakmark.machine.devices import Arithmetic, precision_here, settle
from peakmark.model.detector import Detector
from peakmark.model.predictor import Thresholds
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.images import Detections
from peakmark.nouns.losses import Gains
from peakmark.record.folder import create_run_folder
from peakmark.record.plain_json import as_json
from peakmark.report.pictures.painter import draw_evaluation
from peakmark.run.end.pictures import drawn
from peakmark.run.open_data import open_cache, open_index, workers_of
from peakmark.run.weights import ModelSource, origin_notes
from peakmark.settings.chosen_classes import class_numbers
from peakmark.settings.fields import Settings, ValSettings
from peakmark.settings.parse import Parsed
from peakmark.settings.recipe import VERSION, recipe_of
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS
from peakmark.validation.validation import Speed, ValidationSet, sample_detections, validate_weights


@dataclass(frozen=True, slots=True)
class Trained:
    """What one must know of trained weights to use them."""

    names: tuple[str, ...]
    settings: Mapping[str, Any]
    """Of the run: imgsz, classes, single_cls, fitness, the gains of its losses"""
    arithmetic: Mapping[str, Any] | None
    """That its numbers were made with; None where nobody knows."""
    data_yaml: str | None
    """What it was trained on, where that is known."""
    note: str = ""
    """What is guessed or should be known of them, for a person."""
    nameless: bool = False
    """Whether their classes have no names but those of the data."""
    trained_on: str | None = None
    """What its file calls the data, where they are on another machine."""
    version: int = VERSION
    """Of the rules of training, by which the losses of a validation are what the log says."""
    class_weights: tuple[float, ...] = ()
    """In the class loss; they are the run's, whatever the objects that are validated on."""

    @staticmethod
    def of(checkpoint: Checkpoint) -> Trained:
        if checkpoint.is_imported:
            # Whose precision nobody knows: in float32 the outputs are those of the program that trained it.
            settings = {**checkpoint.settings, "amp": False}
            return Trained(checkpoint.names, settings, None, None, trained_on=checkpoint.provenance[IMPORTED]["data"])
        data_yaml = checkpoint.provenance["data"]["yaml"]
        recipe = recipe_of(checkpoint.history.segments[-1])
        return Trained(
            checkpoint.names,
            checkpoint.settings,
            checkpoint.arithmetic,
            data_yaml,
            version=recipe.version,
            class_weights=recipe.class_weights,
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
        model: Detector,
        observe: Observer,
        speed: Speed | None = None,
        found: Callable[[int, Detections], None] | None = None,
    ) -> Validated:
        """Gives the numbers that the log gave, where data and machine are the same.

        `speed` is told what it took, `found` what was found in each image.
        """
        trained = self.trained.settings
        with self.arithmetic.in_force():
            validated = validate_weights(
                model,
                self.data,
                self.arithmetic,
                Objective(Gains.of(trained), self.trained.version, self.trained.class_weights),
                progress=lambda done: observe(ValidationProgress(0, done, len(self.data.index))),
                speed=speed,
                found=found,
            )
        for remark in self.data.images.new_remarks():
            observe(Notice(remark, serious=True))
        if validated.evaluation.truths == 0:
            observe(Notice(_false_alarms(validated.evidence, self.wishes.split), serious=True))
        return validated


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
    model: Detector, trained: Trained, parsed: Parsed[ValSettings], spec: DatasetSpec, observe: Observer
) -> ValResults:
    """Validates a model on a split, and writes the numbers and pictures into a folder."""
    wishes, speed = parsed.settings, Speed()
    split = open_split(trained, wishes, spec, observe)
    folder, said = create_run_folder(Path(wishes.project), wishes.name, exist_ok=wishes.exist_ok)
    for note in (*parsed.notes, *split.data.index.warnings, *said):
        observe(Notice(note))
    writers = _writers(folder.path, wishes, split.data.index)

    def found(number: int, detections: Detections) -> None:
        for write in writers:
            write.add(number, detections)

    evaluation = split.validate(model, observe, speed, found if writers else None).evaluation
    for write in writers:
        observe(Notice(write.finish()))
    write_text(folder.path / "metrics.json", _metrics_json(evaluation))
    if wishes.plots:
        drawn("The pictures", partial(_draw, folder.path, evaluation, model, split), observe)
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


def _draw(folder: Path, evaluation: Evaluation, model: Detector, split: OpenedSplit) -> None:
    draw_evaluation(folder, evaluation, sample_detections(model, split.data, split.arithmetic))


def data_of(trained: Trained, given: object) -> object:
    """What a model is validated on: the data that are given, else those it was trained on.

    Raises SettingsError where nobody knows them.
    """
    if given or trained.data_yaml:
        return given or trained.data_yaml
    known = "nothing says what these weights were trained on"
    if trained.trained_on:
        known = f"the file says that these weights were trained on {trained.trained_on}, somewhere else"
    raise SettingsError([f"data is missing; {known}: write data=data.yaml."])


def trained_of(source: ModelSource, purpose: str) -> Trained:
    """Gives what is known of a model's weights. Raises ModelFileError where they can't be `purpose`."""
    if source.weights is None:
        raise ModelFileError(
            f"model={source.name}: this is an architecture without trained weights and can't be {purpose};"
            " give a checkpoint such as runs/detect/train/weights/best.pt."
        )
    if source.checkpoint is not None:
        note = " ".join(origin_notes(source)) if source.checkpoint.is_imported else ""
        return dataclasses.replace(Trained.of(source.checkpoint), note=note)
    names = source.class_names
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    came = "lie in this file alone" if source.bare_origin else "were given in Python"
    note = (
        f"The weights {came}, without the settings they were trained with. Where nothing else is said,"
        f" imgsz={defaults['imgsz']} is taken; the {len(names)} classes are called {', '.join(names[:3])} ..."
    )
    if source.bare_origin:
        note = " ".join((*source.bare_origin["notes"], note))
    return Trained(names, defaults, None, None, note, nameless=True)


def say_what_is_guessed(trained: Trained, observe: Observer) -> None:
    """Tells what is taken for granted of weights that came without their settings."""
    if trained.note:
        observe(Notice(trained.note))


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


def arithmetic_of(trained: Trained, device: str | int | None, observe: Observer) -> Arithmetic:
    """The arithmetic that the model's numbers were made with, where this machine has it and no other is wished."""
    if trained.arithmetic is None:
        return settle(device=device, amp=trained.settings["amp"], deterministic=trained.settings["deterministic"])
    stored = Arithmetic.from_plain(trained.arithmetic)
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
    cache = open_cache(index, side_px, "off")  # every image is read once
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
