"""Which pictures belong to a run, and which to a validation? Put together here from the single ones.

It is handed what to draw, and must not know how any of it was computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from peakmark.events import BatchShown, Event, RunStarted
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.images import Samples
from peakmark.nouns.run import History
from peakmark.report.pictures.confusion import draw_confusion
from peakmark.report.pictures.curves import draw_results
from peakmark.report.pictures.labels import SplitLabels, draw_labels
from peakmark.report.pictures.precision_recall import draw_precision_recall
from peakmark.report.pictures.samples import draw_train_batch, draw_validation


class TrainBatchPainter:
    """Draws train_batch0.jpg and its like into the run's folder, as the batches go by."""

    def __init__(self) -> None:
        self._folder = Path()
        self._names: tuple[str, ...] = ()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._folder, self._names = event.folder, event.classes
            case BatchShown():
                draw_train_batch(event.batch, self._names, self._folder / f"train_batch{event.number}.jpg")
            case _:
                pass


def draw_run(
    folder: Path,
    history: History,
    best_epoch: int | None,
    splits: Mapping[str, SplitLabels],
    names: Sequence[str],
) -> None:
    """Draws the curves of a run and the statistics of its labels."""
    draw_results(history, best_epoch, folder / "results.png")
    draw_labels(splits, names, folder / "labels.jpg")


def draw_evaluation(folder: Path, evaluation: Evaluation, samples: Samples) -> None:
    """Draws what an evaluation found: precision and recall, confusion, and truths beside predictions."""
    draw_precision_recall(evaluation, folder)
    draw_confusion(evaluation, folder)
    draw_validation(
        samples.images,
        samples.truths,
        samples.detections,
        evaluation.names,
        samples.titles,
        folder,
        confidence=evaluation.curves.best_confidence,
    )


__all__ = ["SplitLabels", "TrainBatchPainter", "draw_evaluation", "draw_run"]
