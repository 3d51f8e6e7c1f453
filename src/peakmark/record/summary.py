"""How did a run end, in one file that a pipeline can read? summary.json, rendered from the history and what is known.

`Summary` is its schema; new keys may come, these stay. It must not know any file, nor decide what is best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from peakmark.nouns.outcome import Outcome
from peakmark.nouns.run import EpochRecord, History
from peakmark.record.plain_json import as_json


class Best(TypedDict):
    """The best epoch. Values that could not be computed are null."""

    epoch: int
    """1-based, as in results.csv."""
    fitness: float
    reason: str
    """Why it became best, in a sentence."""
    metrics: Mapping[str, float]
    per_class: Mapping[str, tuple[float, ...]]
    """A value a class, in the order of `names`."""
    file: str
    """Relative to the run's folder."""


class Stretch(TypedDict):
    """A part of the run under one set of settings."""

    epoch: int
    """The first one, 1-based."""
    images: int
    """Of that epoch's images, how many belong to the stretch before."""
    reason: str
    """start, or what was changed."""


class Compared(TypedDict):
    """An epoch that could be the best one, beside the one that is."""

    epoch: int
    """1-based"""
    fitness: Mapping[str, float]
    ahead: Mapping[str, float]
    """How far the best is ahead of it, corrected for having been chosen."""
    tied: bool
    """Whether it can't be told from the best."""


class Certainty(TypedDict):
    """How sure the best epoch and its numbers are. Each estimate has value, standard_error, low and high (95 %)."""

    images: int
    resamples: int
    fitness: Mapping[str, float]
    """Of the best, as if it had not been chosen."""
    corrected: Mapping[str, float]
    """Without what being chosen added to it."""
    metrics: Mapping[str, Mapping[str, float]]
    """Of the best: map50_95, map50, precision, recall."""
    confidence: float | None
    """At which the best has its fitness, where that is read along the confidences (`where`): to predict with."""
    epochs: tuple[Compared, ...]
    """Those that could be the best, and the last."""
    text: str
    """For people who skip tables."""


class Tried(TypedDict):
    """An average that was made."""

    epochs: tuple[int, ...]
    """1-based: whose weights."""
    fitness: float | None


class Averaging(TypedDict):
    """What came of averaging the weights of the best epochs."""

    tried: tuple[Tried, ...]
    epochs: tuple[int, ...]
    """Of the average that is compared with the best epoch: the better one of uniform and greedy."""
    fitness: float
    gain: Mapping[str, float]
    """What it reaches more than the best: value, standard_error, low and high, widened for having tried several."""
    file: str | None
    """Relative to the run's folder; null where the gain can't be told from chance."""
    text: str


class Summary(TypedDict):
    """Everything in summary.json, in its order."""

    format: Literal["peakmark-summary"]
    format_version: int
    outcome: Outcome
    text: str
    """What ended the run and what to do next."""
    epochs: int
    """How many have been trained; how many were asked for is in `settings`."""
    best: Best | None
    """null where no epoch was validated."""
    certainty: Certainty | None
    """null before the run's end, and where there is no evidence of the best epoch."""
    averaging: Averaging | None
    """null before the run's end, with average=False, and where fewer than two epochs are kept."""
    fitness: str
    """What makes an epoch best: the name and the formula."""
    protocol: str
    """What the metrics mean."""
    coco: Mapping[str, float] | None
    """The twelve figures of COCO of the best, where the metrics are without its cap of 100 detections of an image and
    class; null where they are its own, and before the run's end."""
    names: tuple[str, ...]
    segments: tuple[Stretch, ...]
    """One more than the settings were changed at resumes; resumes that change nothing leave no trace in a run."""
    train_s: float
    validation_s: float
    settings: Mapping[str, Any]
    weights_bytes: int
    """What the run's weights take on the disk."""
    data: Mapping[str, Any]
    """Fingerprints of what was trained and validated on."""
    versions: Mapping[str, str]
    digests: Mapping[str, str]
    """Of the last state: model, training_weights, optimizer, everything."""


def render(summary: Summary) -> str:
    """Gives the file's text. A pure function."""
    return as_json(summary, indent=2) + "\n"


def summarise(
    history: History,
    *,
    best_epoch: int | None,
    best_reason: str,
    certainty: Certainty | None,
    averaging: Averaging | None,
    outcome: Outcome,
    text: str,
    fitness: str,
    protocol: str,
    coco: Mapping[str, float] | None,
    names: tuple[str, ...],
    settings: Mapping[str, Any],
    weights_bytes: int,
    data: Mapping[str, Any],
    versions: Mapping[str, str],
    digests: Mapping[str, str],
) -> Summary:
    """Puts a summary together; `best_epoch` (0-based) and its reason are as `selection` decided. A pure function."""
    best = next((record for record in history.records if record.epoch == best_epoch), None)
    return {
        "format": "peakmark-summary",
        "format_version": 1,
        "outcome": outcome,
        "text": text,
        "epochs": len(history.records),
        "best": None if best is None else _best(best, best_reason),
        "certainty": certainty,
        "averaging": averaging,
        "fitness": fitness,
        "protocol": protocol,
        "coco": coco,
        "names": names,
        "segments": tuple(
            Stretch(epoch=segment.from_epoch + 1, images=segment.from_images, reason=segment.reason)
            for segment in history.segments
        ),
        "train_s": sum(record.train_s for record in history.records),
        "validation_s": sum(record.validation_s for record in history.records),
        "settings": settings,
        "weights_bytes": weights_bytes,
        "data": data,
        "versions": versions,
        "digests": digests,
    }


def _best(record: EpochRecord, reason: str) -> Best:
    if record.fitness is None or record.metrics is None:
        raise ValueError(f"epoch {record.epoch} was not validated and can't be best")
    return {
        "epoch": record.epoch + 1,
        "fitness": record.fitness,
        "reason": reason,
        "metrics": record.metrics,
        "per_class": record.per_class or {},
        "file": "weights/best.pt",
    }
