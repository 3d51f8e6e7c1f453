"""How sure is it that the best epoch is the best, and how good is it? Judged at a run's end, from the evidence it left.

It must not know how evidence is resampled, nor where the answer is shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import read_logged
from peakmark.evaluate.fitness import Fitness
from peakmark.evaluate.resampling import ResampledMetrics, Weights, draw_resamples
from peakmark.evaluate.uncertainty import RESAMPLES, RESAMPLING_SEED, BestOfSeveral, Estimate, best_of_several, estimate
from peakmark.events import Notice, Observer
from peakmark.nouns.run import EpochRecord, History
from peakmark.record.folder import RunFolder
from peakmark.record.summary import Certainty
from peakmark.selection.best import best_record, candidates, fitness_of

_METRICS = ("map50_95", "map50", "precision", "recall")
"""Of the best epoch, each gets a standard error."""
_OUT_OF_REACH = 5.0
"""Standard errors behind the best from which on an epoch is not looked at: no resample would make it the best."""


def how_sure(
    history: History, folder: RunFolder, fitness: Fitness, tell: Observer, go_on: Callable[[], None]
) -> Certainty | None:
    """Judges the choice of the best epoch; None where there is none, or its evidence says nothing.

    Epochs whose evidence is missing, damaged or not theirs are left out, and that is told. `go_on` is called before
    each further epoch and may raise.
    """
    best = best_record(history)
    if best is None:
        return None
    evidence = _evidence_of(best, folder, fitness)
    if isinstance(evidence, str):
        tell(Notice(f"How sure the best epoch is can't be said: {evidence}"))
        return None
    if evidence.images < 2:
        return None
    weights_BI = draw_resamples(evidence.images, RESAMPLES, RESAMPLING_SEED)
    resample = partial(fitness.resampled, weights_BI=weights_BI)
    compared, left_out = {best.epoch: resample(evidence)}, []
    for record in _contenders(history, best, float(np.nanstd(compared[best.epoch]))):
        go_on()
        other = _evidence_of(record, folder, fitness)
        if isinstance(other, str):
            left_out.append(other)
        else:
            compared[record.epoch] = resample(other)
    if left_out:
        more = f" The same holds for {len(left_out) - 1} more." if len(left_out) > 1 else ""
        tell(Notice(f"An epoch is not compared with the best: {left_out[0]}{more}"))
    records = [record for record in history.records if record.epoch in compared]
    resampled_EB = np.stack([compared[record.epoch] for record in records])
    several = best_of_several([fitness_of(record) for record in records], resampled_EB, evidence.images)
    confidence = fitness.confidence_of(best, evidence)
    return None if several is None else _in_words(several, records, evidence, weights_BI, confidence)


def _contenders(history: History, best: EpochRecord, standard_error: float) -> list[EpochRecord]:
    """Gives the other epochs that could be the best; and the next best and the last, which people ask for."""
    others = [record for record in candidates(history) if record.epoch != best.epoch]
    asked_for = (max(others, key=fitness_of), others[-1]) if others else ()
    reach = fitness_of(best) - _OUT_OF_REACH * standard_error
    return [record for record in others if fitness_of(record) >= reach or record in asked_for]


def _evidence_of(record: EpochRecord, folder: RunFolder, fitness: Fitness) -> Evidence | str:
    """Reads an epoch's evidence, or gives a sentence that says why it can't be used."""

    def fitness_again(evidence: Evidence) -> Sequence[float]:
        return list(fitness.resampled(evidence, np.ones((1, evidence.images), dtype=np.uint8)))

    path, epoch = folder.evidence_file(record.epoch), f"epoch {record.epoch + 1}"
    missing = f"the evidence of {epoch} is not there ({path})."
    return read_logged(path, epoch, [fitness_of(record)], fitness_again, missing=missing)


# --- the answer ----------------------------------------------------------------------------------------------------


def _in_words(
    several: BestOfSeveral,
    records: Sequence[EpochRecord],
    evidence: Evidence,
    weights_BI: Weights,
    confidence: float | None,
) -> Certainty:
    best = records[several.best]
    return {
        "images": evidence.images,
        "resamples": len(weights_BI),
        "fitness": asdict(several.fitness[several.best]),
        "corrected": asdict(several.corrected),
        "metrics": _metrics(best, evidence, weights_BI),
        "confidence": confidence,
        "epochs": tuple(
            {
                "epoch": record.epoch + 1,
                "fitness": asdict(several.fitness[place]),
                "ahead": asdict(several.ahead[place]),
                "tied": place in several.tied,
            }
            for place, record in enumerate(records)
        ),
        "text": _sentences(several, records, evidence.images) + _at(confidence),
    }


def _metrics(best: EpochRecord, evidence: Evidence, weights_BI: Weights) -> Mapping[str, Mapping[str, float]]:
    logged, resampled = best.metrics or {}, ResampledMetrics(evidence, weights_BI)
    return {name: asdict(estimate(logged[name], resampled[name], evidence.images)) for name in _METRICS}


def _sentences(several: BestOfSeveral, records: Sequence[EpochRecord], images: int) -> str:
    own = several.fitness[several.best]
    if own.standard_error == 0:
        # Nothing is found yet, or everything: other images would not have told more.
        return (
            f"Fitness {own.value:.4f} in every choice of images: nothing more can be said from these {images} images."
        )
    said = [f"Fitness {_with_error(own)} (one standard error, {images} validation images)"]
    if len(records) == 1:
        return f"{said[0]}."
    said[0] += f"; {several.corrected.value:.4f} once corrected for having been chosen."
    said.append(_lead(several, records))
    tied = [records[place].epoch + 1 for place in several.tied if place != several.best]
    if tied:
        said.append(f"It can't be told from {'epochs' if len(tied) > 1 else 'epoch'} {_ranges(tied)}.")
    return " ".join(said)


def _at(confidence: float | None) -> str:
    return "" if confidence is None else f" It reaches this at a confidence of {confidence:g}: predict with that conf=."


def _lead(several: BestOfSeveral, records: Sequence[EpochRecord]) -> str:
    """Says whether the best is really ahead of the last; where it is the last itself, of the one behind it."""
    others = [place for place in range(len(records)) if place != several.best]
    is_last = several.best == len(records) - 1
    other = max(others, key=lambda place: several.fitness[place].value) if is_last else others[-1]
    whom = f"{'the next best' if is_last else 'the last'}, epoch {records[other].epoch + 1},"
    ahead, epoch = several.ahead[other], records[several.best].epoch + 1
    if ahead.value <= 0:
        number = _with_error(ahead)
        return f"Without what being chosen added to it, epoch {epoch} is not ahead of {whom[:-1]} ({number})."
    meaning = "that may be chance"
    if ahead.is_above_zero:
        # Two answers to two questions: of many epochs, some pair is far apart by chance alone.
        by_itself = "more than chance between these two, but not with the choice among all epochs counted"
        meaning = by_itself if other in several.tied else "a real difference"
    return f"Epoch {epoch} is ahead of {whom} by {_with_error(ahead)}: {meaning}."


def _with_error(number: Estimate) -> str:
    return f"{number.value:.4f} ± {number.standard_error:.4f}"


def _ranges(numbers: Sequence[int]) -> str:
    """Writes ascending numbers as 3, 5 to 9, 12."""
    parts = []
    for _, group in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)))
    return ", ".join(parts)
