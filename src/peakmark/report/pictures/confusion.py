"""Which classes does the model take for which? Two pictures of one evaluation's confusion matrix.

Rows are predicted classes, columns true ones. It draws what was counted; it must not match boxes itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from peakmark.nouns.evaluation import Evaluation
from peakmark.report.pictures.style import INK, caption, new_figure, save_figure, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUMBERS_UP_TO = 26
"""Rows. With more, numbers would be too small to read and colours say it alone."""

_LABELS_UP_TO = 100
"""Rows. With more, only every n-th is named."""

COUNTS_FILE = "confusion_matrix.png"
SHARES_FILE = "confusion_matrix_normalized.png"


def draw_confusion(evaluation: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Draws confusion_matrix.png (counts) and confusion_matrix_normalized.png (shares of each column) into `folder`.

    Raises `MachineError` where it can't write.
    """
    counts = evaluation.confusion.astype(np.float64)
    totals = counts.sum(axis=0, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    files = (folder / COUNTS_FILE, folder / SHARES_FILE)
    _draw(evaluation, counts, "Confusion matrix", "counts", files[0])
    _draw(evaluation, shares, "Confusion matrix, shares of each true class", "share of the column", files[1])
    return files


def _draw(evaluation: Evaluation, matrix: NDArray[np.float64], title: str, unit: str, path: Path) -> None:
    from matplotlib.colors import PowerNorm  # noqa: PLC0415 - matplotlib is loaded when there is something to draw

    rows = len(matrix)
    side_in = float(np.clip(5.5 + 0.32 * rows, 8, 16))
    figure = new_figure(side_in + 1, side_in, title)
    axes = figure.subplots()
    largest = max(float(matrix.max()), 1.0) if unit == "counts" else 1.0
    # The square root keeps rare confusions visible beside a diagonal of thousands.
    shown = np.ma.masked_equal(matrix, 0)
    image = axes.imshow(shown, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=largest), interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, shrink=0.8)
    bar.set_label(unit, fontsize=10, color=INK)
    bar.ax.tick_params(labelsize=9, colors=INK)
    bar.outline.set_visible(False)
    _name_rows(axes, evaluation, rows)
    if rows <= _NUMBERS_UP_TO:
        _write_numbers(axes, matrix, largest, decimals=0 if unit == "counts" else 2)
    confidence = evaluation.curves.best_confidence
    caption(
        figure,
        f"Detections of confidence {confidence:.3f} and more (the best mean F1), matched at IoU 0.5\n"
        "last row: objects not found   ·   last column: detections where nothing is",
    )
    save_figure(figure, path)


def _name_rows(axes: Axes, evaluation: Evaluation, rows: int) -> None:
    every = -(-rows // _LABELS_UP_TO)
    # The last row and column, the background, always keep their names.
    places = [*range(0, rows - 1, every), rows - 1]
    names = [*short_names(evaluation.names), "background"]
    size = float(np.clip(340 / rows, 5.5, 10))
    axes.set_xticks(places, [names[i] for i in places], rotation=90 if rows > 6 else 0, fontsize=size)
    axes.set_yticks(places, [names[i] for i in places], fontsize=size)
    axes.set_xlabel("true", fontsize=11, color=INK)
    axes.set_ylabel("predicted", fontsize=11, color=INK)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    edges = np.arange(rows + 1) - 0.5
    for lines in (axes.hlines, axes.vlines):
        lines(edges, -0.5, rows - 0.5, color="#ececec", linewidth=0.6)
        lines(rows - 1.5, -0.5, rows - 0.5, color="#9a9a9a", linewidth=1)


def _write_numbers(axes: Axes, matrix: NDArray[np.float64], largest: float, *, decimals: int) -> None:
    size = float(np.clip(130 / len(matrix), 6, 12))
    for row, column in np.argwhere(matrix > 0).tolist():
        value = matrix[row, column]
        colour = "white" if value > 0.35 * largest else INK
        axes.text(column, row, f"{value:.{decimals}f}", ha="center", va="center", fontsize=size, color=colour)
