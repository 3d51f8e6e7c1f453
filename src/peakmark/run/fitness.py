"""What makes an epoch of this run best? The setting, opened for the run's classes and held against what is validated.

It must not know how a fitness is computed, nor when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from peakmark.data.source.indexed_split import Index
from peakmark.errors import DataError, SettingsError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import read
from peakmark.evaluate.fitness import Fitness, FitnessFunction, fitness_by
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.protocol import ALL_SIZES, AREA_NAMES
from peakmark.evaluate.tables import detection_table, truth_table
from peakmark.formula.terms import Metric
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.images import Detections
from peakmark.nouns.run import EpochRecord, History
from peakmark.record.folder import RunFolder

_SAME = 1e-9
_OF_SOME_SIZES = tuple(f"_{name}" for area, name in enumerate(AREA_NAMES) if area != ALL_SIZES)


def open_fitness(
    text: str, class_names: Sequence[str], val_index: Index | None, function: FitnessFunction | None
) -> Fitness | None:
    """Opens a run's fitness; None where nothing is validated.

    Raises SettingsError where it names a class that isn't there, needs a number that this validation set can't give,
    or is a Python function that was not given, or fails.
    """
    if val_index is None:
        return None
    fitness = fitness_by(text, class_names, function)
    if fitness.function is not None:
        fitness.try_out()
    elif any(map(_may_have_no_truths, fitness.formula.metrics)):
        _check_measurable(fitness, _nothing_detected(val_index, class_names))
    return fitness


def evidence_of(folder: RunFolder, epoch: int) -> Evidence | None:
    """Gives what an epoch's numbers are made of; None where it is not there any more or damaged."""
    try:
        return read(folder.evidence_file(epoch))
    except DataError:
        return None


def value_again(fitness: Fitness, folder: RunFolder, record: EpochRecord) -> float | None:
    """Gives an epoch's value by any fitness, from its record and, where that doesn't say it, from its evidence."""
    return fitness.of_record(record, lambda: evidence_of(folder, record.epoch))


def check_same_function(fitness: Fitness, history: History) -> None:
    """Refuses a function that doesn't give the values it gave: two kinds of fitness under one name."""
    if fitness.function is None:
        return
    text = fitness.formula.text
    for record in history.records:
        if record.metrics is None or history.segments[record.segment].settings.get("fitness") != text:
            continue
        now = fitness.of_record(record, lambda: None)
        if not _equal(now, record.fitness):
            raise SettingsError(
                [
                    f"fitness={text}: it gives {now} for epoch {record.epoch + 1}, where {record.fitness} is recorded;"
                    " this is another function. Give back the one that the run began with, or give this one another"
                    " name, and it is taken as a change of fitness."
                ]
            )


def _equal(one: float | None, other: float | None) -> bool:
    return one is other or (one is not None and other is not None and math.isclose(one, other, abs_tol=_SAME))


def _may_have_no_truths(metric: Metric) -> bool:
    """Whether a set with truths may have none that this metric is about; of the others nothing need be looked at."""
    return metric.of_class is not None or metric.name.endswith(_OF_SOME_SIZES)


def _nothing_detected(index: Index, class_names: Sequence[str]) -> Evaluation:
    """Evaluates the set as if nothing had been found: what is no number then is never one."""
    truths = [index.truths_px(image) for image in range(len(index))]
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    table = detection_table([empty] * len(truths))
    evidence = match(truth_table(truths), table, images=len(truths), classes=len(class_names))
    return evaluation_from(evidence, class_names)


def _check_measurable(fitness: Fitness, nothing_detected: Evaluation) -> None:
    """Raises SettingsError where a formula needs truths that are not there."""
    metrics, per_class = nothing_detected.metrics, nothing_detected.per_class
    never = []
    for metric in fitness.formula.metrics:
        if metric.of_class is None:
            value = metrics[metric.name]
        else:
            value = per_class["recall" if metric.name == "f1" else metric.name][fitness.number_of(metric)]
        if math.isnan(value):
            never.append(str(metric))
    if never:
        raise SettingsError(
            [
                f"fitness={fitness.formula.text}: the validation set has no truths for {' and '.join(never)}, so no"
                " epoch would have a fitness. Choose another, or put such truths into the validation set."
            ]
        )
