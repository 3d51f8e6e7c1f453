"""How does a run come to its pictures? Where training and report meet, which don't know each other.

A part of the facade: it composes and computes nothing itself.
"""

from __future__ import annotations

import numpy as np

from peakmark.data.source.indexed_split import Index
from peakmark.files.durable import write_text
from peakmark.record.gallery_file import render as render_gallery
from peakmark.report.pages.page import write_page
from peakmark.report.pictures.painter import SplitLabels, TrainBatchPainter, draw_evaluation, draw_run
from peakmark.run.end.end import Artist, EndedRun
from peakmark.run.weights import trained_model
from peakmark.validation.gallery import make_gallery
from peakmark.validation.validation import sample_detections


def artist() -> Artist:
    """Gives who draws a run, for a training to call."""
    return Artist(TrainBatchPainter(), _draw_ended)


def _draw_ended(ended: EndedRun) -> None:
    """Draws an ended run into its folder."""
    run, folder = ended.run, ended.folder.path
    splits = {split: _split_labels(index) for split, index in run.data.splits.items()}
    best = ended.summary["best"]
    draw_run(folder, run.state.history, best["epoch"] - 1 if best else None, splits, run.facts.names)
    if best and ended.proof is not None and ended.best is not None and run.validation is not None:
        samples = sample_detections(trained_model(ended.best), run.validation, run.facts.arithmetic)
        draw_evaluation(folder, ended.proof.evaluation, samples)
        confidence = ended.proof.evaluation.curves.best_confidence
        gallery = make_gallery(run.validation.index, ended.found, ended.proof.evidence, confidence, epoch=best["epoch"])
        write_text(ended.folder.gallery, render_gallery(gallery))
    write_page(folder, is_over=True)


def _split_labels(index: Index) -> SplitLabels:
    return SplitLabels(index.boxes_cxcywh_norm, index.classes, np.diff(index.offsets))
