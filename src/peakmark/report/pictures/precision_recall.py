"""How do precision and recall trade off, class by class? Four pictures of one evaluation, by the names users know.

It draws the curves and the operating point that the evaluation found; it must not compute any metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from peakmark.evaluate.average_precision import mean_of_present
from peakmark.nouns.evaluation import Evaluation
from peakmark.report.pictures.style import (
    INK,
    caption,
    colour_of_class,
    new_figure,
    save_figure,
    say_instead,
    short_name,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_IN_LEGEND = 20
"""More classes than this: the best and the worst half of them in colour, the others in grey."""

_OTHERS = "#d0d0d0"


@dataclass(frozen=True, slots=True)
class _Chart:
    file: str
    title: str
    x_label: str
    y_label: str
    x: NDArray[np.floating[Any]]
    y_CX: NDArray[np.float64]
    ranking_C: NDArray[np.float64]
    """What the legend is sorted by and shows."""
    ranked_by: str
    mean: str
    point_x: float
    point_y: float


def draw_precision_recall(evaluation: Evaluation, folder: Path) -> tuple[Path, ...]:
    """Draws PR_curve.png, F1_curve.png, P_curve.png and R_curve.png into `folder` and gives their paths.

    Classes without truths are left out. Raises `MachineError` where it can't write.
    """
    return tuple(_draw(chart, evaluation, folder / chart.file) for chart in _charts(evaluation))


def _charts(evaluation: Evaluation) -> tuple[_Chart, ...]:
    curves, metrics = evaluation.curves, evaluation.metrics
    confidence = curves.best_confidence
    precision, recall = metrics.get("precision", np.nan), metrics.get("recall", np.nan)
    ap_C = np.array(evaluation.per_class["map50"], dtype=np.float64)
    by_confidence = (
        ("F1_curve.png", "F1", curves.f1_CK),
        ("P_curve.png", "Precision", curves.precision_CK),
        ("R_curve.png", "Recall", curves.recall_CK),
    )
    charts = [
        _Chart(
            file="PR_curve.png",
            title="Precision and recall",
            x_label="recall",
            y_label="precision",
            x=curves.recall_levels,
            y_CX=curves.precision_CR,
            ranking_C=ap_C,
            ranked_by="AP50",
            mean=f"mean of classes, mAP50 {metrics.get('map50', np.nan):.3f}",
            point_x=recall,
            point_y=precision,
        )
    ]
    for file, name, y_CK in by_confidence:
        at_confidence_C = _values_at(confidence, curves.confidences, y_CK)
        mean = float(mean_of_present(at_confidence_C))
        charts.append(
            _Chart(
                file=file,
                title=f"{name} by confidence",
                x_label="confidence",
                y_label=name.lower() if name != "F1" else name,
                x=curves.confidences,
                y_CX=y_CK,
                ranking_C=at_confidence_C,
                ranked_by=f"{name} at {confidence:.3f}",
                mean=f"mean of classes, {mean:.3f}",
                point_x=confidence,
                point_y=mean,
            )
        )
    return tuple(charts)


def _draw(chart: _Chart, evaluation: Evaluation, path: Path) -> Path:
    figure = new_figure(11, 7.5, chart.title)
    axes = figure.subplots()
    style_axes(
        axes, f"IoU 0.5 · {evaluation.images:,} images, {evaluation.truths:,} objects", chart.x_label, chart.y_label
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    shown = np.flatnonzero(np.isfinite(chart.y_CX).any(axis=1))
    if len(shown) == 0:
        say_instead(axes, "no class has objects in this set")
    else:
        _draw_point(axes, chart, evaluation.curves.best_confidence)
        if len(shown) > 1:
            mean = mean_of_present(chart.y_CX)
            axes.plot(chart.x, mean, color="black", linewidth=3, label=chart.mean, zorder=3)
        _draw_classes(axes, chart, evaluation.names, shown)
        legend = axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            borderaxespad=0,
            fontsize=9,
            frameon=False,
            title=f"classes by {chart.ranked_by}",
            title_fontsize=9,
            alignment="left",
        )
        legend.get_title().set_color(INK)
    caption(figure, f"{evaluation.protocol}\nOperating point: the one confidence with the best mean F1 at IoU 0.5")
    save_figure(figure, path)
    return path


def _draw_classes(axes: Axes, chart: _Chart, names: Sequence[str], shown: NDArray[np.intp]) -> None:
    ranked = sorted(shown.tolist(), key=lambda c: (-np.nan_to_num(chart.ranking_C[c], nan=-1.0), c))
    half = _MOST_IN_LEGEND // 2
    between = ranked[half:-half] if len(ranked) > _MOST_IN_LEGEND else []
    for c in ranked:
        if c in between:
            label = f"{len(between)} classes between" if c == between[0] else None
            axes.plot(chart.x, chart.y_CX[c], color=_OTHERS, linewidth=0.8, label=label, zorder=1.5)
            continue
        name = f"{short_name(names[c])}  {chart.ranking_C[c]:.3f}"
        axes.plot(chart.x, chart.y_CX[c], color=colour_of_class(c), linewidth=1.4, label=name)


def _draw_point(axes: Axes, chart: _Chart, confidence: float) -> None:
    if not (np.isfinite(chart.point_x) and np.isfinite(chart.point_y)):
        return
    if chart.x_label == "confidence":
        axes.axvline(chart.point_x, color=INK, linewidth=1, linestyle="--")
    axes.plot(
        [chart.point_x],
        [chart.point_y],
        "o",
        color="white",
        markeredgecolor="black",
        markeredgewidth=2.5,
        markersize=10,
        zorder=4,
        clip_on=False,
        label=f"operating point, confidence {confidence:.3f}",
    )


def _values_at(confidence: float, confidences: NDArray[np.float32], y_CK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Takes each class's value at the grid's confidence that is nearest to the asked one."""
    if len(confidences) == 0 or not np.isfinite(confidence):
        return np.full(len(y_CK), np.nan)
    return y_CK[:, int(np.abs(confidences - confidence).argmin())]
