"""What do `train` and `val` give back? Their numbers, in our words and in those that YOLO users know.

A part of the facade: it composes what the rooms below say and computes nothing itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.evaluate.familiar import BoxMetrics, ConfusionMatrix
from peakmark.evaluate.tables import DoubleArray
from peakmark.markup import data_url, render
from peakmark.nouns.evaluation import Curves, Evaluation
from peakmark.nouns.images import IntArray
from peakmark.nouns.losses import Losses
from peakmark.nouns.outcome import Outcome
from peakmark.record.folder import RunFolder
from peakmark.record.results_csv import FAMILIAR_METRICS
from peakmark.run.end.end import EndedRun

_CLASSES_SHOWN = 20
_SHORT = {"mAP50-95": "map50_95", "mAP50": "map50", "P": "precision", "R": "recall"}


@dataclass(frozen=True, slots=True)
class _ClassTable:
    """The classes, for a notebook."""

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]
    """A name with its numbers."""
    more: int
    """Classes that are left out."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Figures:
    """Numbers of a model on a set."""

    save_dir: Path
    names: Mapping[int, str]
    """Class number to name."""
    metrics: Mapping[str, float]
    """By our names, map50_95, map50, precision ..., and the COCO protocol; empty where nothing was validated."""
    per_class: Mapping[str, tuple[float, ...]]
    """A value for each class of map50_95, map50, precision and recall; NaN for a class without truths."""
    fitness: float | None
    evaluation: Evaluation | None
    speed: Mapping[str, float]
    """preprocess, inference, loss, postprocess: ms an image. preprocess is what images had to be waited for."""

    @property
    def box(self) -> BoxMetrics:
        """map, map50, map75, maps, mp, mr, ap_class_index ..."""
        return BoxMetrics(self.metrics, self.per_class)

    @property
    def maps(self) -> DoubleArray:
        """(C,) mAP50-95 of every class; NaN for a class without truths"""
        return self.box.maps

    @property
    def ap_class_index(self) -> IntArray:
        """The numbers of the classes that have truths"""
        return self.box.ap_class_index

    @property
    def keys(self) -> list[str]:
        """Of `results_dict`, without fitness."""
        return list(FAMILIAR_METRICS)

    @property
    def results_dict(self) -> dict[str, float | None]:
        """metrics/precision(B), metrics/recall(B), metrics/mAP50(B), metrics/mAP50-95(B) and fitness"""
        values = {key: self.metrics[name] for key, name in FAMILIAR_METRICS.items() if name in self.metrics}
        return {**values, "fitness": self.fitness}

    def mean_results(self) -> list[float]:
        """Mean precision, mean recall, mAP50, mAP50-95"""
        return self.box.mean_results()

    def class_result(self, i: int) -> tuple[float, float, float, float]:
        """Precision, recall, AP50 and AP50-95 of the i-th class of `ap_class_index`."""
        return self.box.class_result(i)

    @property
    def confusion_matrix(self) -> ConfusionMatrix | None:
        """Its `.matrix` counts what was taken for what; None where a run was not brought to its end."""
        return None if self.evaluation is None else ConfusionMatrix(self.evaluation.confusion, self.names)

    def _numbers(self) -> str:
        found = (f"{word} {self.metrics[name]:.4f}" for word, name in _SHORT.items() if name in self.metrics)
        return ", ".join(found) or "nothing was validated"

    def _html(self, head: str, facts: str, picture_url: str = "") -> str:
        values = {"head": head, "facts": facts, "classes": self._classes(), "picture_url": picture_url}
        return render("api/templates/figures.html.j2", **values)

    def _classes(self) -> _ClassTable | None:
        if not self.metrics:
            return None
        keys = list(_SHORT.values())
        shown = list(self.names.items())[:_CLASSES_SHOWN]
        rows = [(name, [self.per_class[key][number] for key in keys]) for number, name in shown]
        all_classes = ("all", [self.metrics[key] for key in keys])
        return _ClassTable(["class", *_SHORT], [all_classes, *rows], max(0, len(self.names) - _CLASSES_SHOWN))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TrainResults(_Figures):
    """What a training came to; the numbers are those of its best epoch.

    `evaluation` is that of best.pt as it lies on the disk, and None where no epoch was validated or the run was stopped
    before its end; `speed` is empty then.
    """

    outcome: Outcome
    best: Path | None
    """weights/best.pt; None where no epoch was validated."""
    last: Path
    summary: Mapping[str, Any]
    """What summary.json holds."""

    def __repr__(self) -> str:
        return f"TrainResults({self._head()}: {self._numbers()}, in {self.save_dir})"

    def _head(self) -> str:
        best = self.summary["best"]
        return f"{self.outcome}, best epoch {best['epoch']}" if best else self.outcome

    def _repr_html_(self) -> str:
        return self._html(self._head(), str(self.best or self.last), _picture_url(self.save_dir / "results.png"))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ValResults(_Figures):
    """What a validation of a set found, by the COCO protocol.

    `fitness` is by what made the run's epochs best; None where that is a Python function, which no file can hold.
    """

    evaluation: Evaluation

    @property
    def curves(self) -> Curves:
        return self.evaluation.curves

    @property
    def confusion(self) -> IntArray:
        """`confusion_matrix.matrix`"""
        return self.evaluation.confusion

    @property
    def images(self) -> int:
        return self.evaluation.images

    @property
    def truths(self) -> int:
        return self.evaluation.truths

    @property
    def truths_per_class(self) -> tuple[int, ...]:
        return self.evaluation.truths_per_class

    @property
    def detections(self) -> int:
        return self.evaluation.detections

    @property
    def losses(self) -> Losses | None:
        return self.evaluation.losses

    @property
    def protocol(self) -> str:
        """How every number is made."""
        return self.evaluation.protocol

    @property
    def coco(self) -> Mapping[str, float]:
        """The twelve figures of COCO, with its cap of 100 detections of an image and class."""
        return self.evaluation.coco

    def __repr__(self) -> str:
        return f"ValResults({self._numbers()}; {self._counts()}, in {self.save_dir})"

    def _counts(self) -> str:
        return f"{self.images:,} images, {self.truths:,} truths"

    def _repr_html_(self) -> str:
        return self._html(self._counts(), f"{self.save_dir}. {self.protocol}.")


def _picture_url(file: Path) -> str:
    """A picture of the run for a notebook, which keeps it; empty where it was not drawn."""
    try:
        return data_url(file.read_bytes(), file.suffix)
    except OSError:
        return ""


def results_in(folder: RunFolder) -> TrainResults:
    """What a run's folder says of its end, where the run was carried out by other processes; no `evaluation`."""
    summary = json.loads(folder.summary.read_text())
    best = summary["best"] or {}
    return TrainResults(
        save_dir=folder.path,
        outcome=summary["outcome"],
        best=folder.best if best and folder.best.exists() else None,
        last=folder.last,
        metrics=dict(zip(best.get("metrics", {}), _numbers(list(best.get("metrics", {}).values())), strict=True)),
        fitness=best.get("fitness"),
        summary=summary,
        names=dict(enumerate(summary["names"])),
        per_class={name: _numbers(values) for name, values in best.get("per_class", {}).items()},
        evaluation=None,
        speed={},
    )


def _numbers(values: Sequence[float | None]) -> tuple[float, ...]:
    """As they were before they were JSON, which has no NaN."""
    return tuple(math.nan if value is None else value for value in values)


def train_results(ended: EndedRun) -> TrainResults:
    """What is known of an ended run."""
    summary, folder = ended.summary["best"], ended.folder
    return TrainResults(
        save_dir=folder.path,
        outcome=ended.outcome,
        best=folder.best if summary and folder.best.exists() else None,
        last=folder.last,
        metrics=summary["metrics"] if summary else {},
        fitness=summary["fitness"] if summary else None,
        summary=ended.summary,
        names=dict(enumerate(ended.run.facts.names)),
        per_class=summary["per_class"] if summary else {},
        evaluation=ended.evaluation,
        speed=ended.speed,
    )
