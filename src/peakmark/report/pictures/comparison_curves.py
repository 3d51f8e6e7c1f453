"""How did several runs go beside each other, epoch by epoch? compare.png, drawn from their histories.

It marks the best epochs it is told; it must not have an idea of its own of which run is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from peakmark.nouns.losses import TERMS, Losses
from peakmark.nouns.run import EpochRecord, History
from peakmark.report.pictures.style import (
    INK,
    caption,
    colour_of_class,
    new_figure,
    save_figure,
    say_instead,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Dashes = Literal["-", "--", ":", "-."]
PICTURE_FILE: Final = "compare.png"
_DASHES: Final[tuple[Dashes, ...]] = ("-", "--", ":", "-.")
_COLOURS: Final = 6
"""The ones that are told apart on white paper by all eyes; further runs have them again, with other dashes."""
_LEGEND_COLUMNS: Final = 4
_LEGEND_ROW_IN: Final = 0.3
_LONGEST_NAME: Final = 36


@dataclass(frozen=True, slots=True)
class Curve:
    """A run to draw."""

    name: str
    history: History
    best_epoch: int | None
    """0-based"""


def draw_comparison(curves: Sequence[Curve], folder: Path) -> None:
    """Draws metrics and losses of all runs, a colour each, into compare.png. Raises `MachineError`."""
    rows_of_legend = -(-len(curves) // _LEGEND_COLUMNS)
    figure = new_figure(16, 8.6 + _LEGEND_ROW_IN * rows_of_legend, "Runs beside each other")
    grid = figure.add_gridspec(3, 3, height_ratios=[_LEGEND_ROW_IN * rows_of_legend, 4, 4])
    panels = [figure.add_subplot(grid[row, column]) for row in (1, 2) for column in range(3)]
    shown: tuple[tuple[str, Callable[[EpochRecord], float]], ...] = (
        ("mAP50-95", lambda record: _metric(record, "map50_95")),
        ("mAP50", lambda record: _metric(record, "map50")),
        ("precision (IoU 0.5)", lambda record: _metric(record, "precision")),
        ("recall (IoU 0.5)", lambda record: _metric(record, "recall")),
        (f"training loss ({' + '.join(TERMS)})", lambda record: _sum(record.train)),
        (f"validation loss ({' + '.join(TERMS)})", lambda record: _sum(record.validation)),
    )
    for axes, (title, value) in zip(panels, shown, strict=True):
        style_axes(axes, title, "epoch")
        for number, curve in enumerate(curves):
            _draw(axes, number, curve, value)
        _finish(axes, starts_at_nought="loss" not in title)
    _legend(figure.add_subplot(grid[0, :]), curves)
    caption(figure, "COCO metrics of the EMA weights   ·   dot: a run's best epoch   ·   losses with their weights")
    save_figure(figure, folder / PICTURE_FILE)


def _draw(axes: Axes, number: int, curve: Curve, value: Callable[[EpochRecord], float]) -> None:
    points = [(record.epoch + 1, value(record)) for record in curve.history.records]
    known = [(epoch, height) for epoch, height in points if np.isfinite(height)]
    if not known:
        return
    colour, dashes = _looks(number)
    epochs, heights = zip(*known, strict=True)
    # A single point has no line.
    marker = "s" if len(known) == 1 else ""
    axes.plot(epochs, heights, dashes, color=colour, linewidth=1.7, marker=marker, markersize=5)
    best = [(epoch, height) for epoch, height in known if epoch - 1 == curve.best_epoch]
    for epoch, height in best:
        axes.plot([epoch], [height], "o", color=colour, markersize=7, markeredgecolor="white", zorder=5)


def _finish(axes: Axes, *, starts_at_nought: bool) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded when there is something to draw

    if not axes.has_data():
        say_instead(axes, "not validated")
        return
    axes.set_xlim(left=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    if starts_at_nought:
        axes.set_ylim(0, max(1e-3, 1.05 * axes.dataLim.y1))


def _legend(axes: Axes, curves: Sequence[Curve]) -> None:
    """Names the runs in a row of its own above the panels, where no line can be hidden."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 - as above

    axes.set_axis_off()
    handles = []
    for number, curve in enumerate(curves):
        colour, dashes = _looks(number)
        handles.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=2.4, label=_short(curve.name)))
    columns = min(len(curves), _LEGEND_COLUMNS)
    axes.legend(handles=handles, loc="center", ncols=columns, fontsize=10, frameon=False, labelcolor=INK)


def _looks(number: int) -> tuple[tuple[float, float, float], Dashes]:
    return colour_of_class(number % _COLOURS), _DASHES[number // _COLOURS % len(_DASHES)]


def _short(name: str) -> str:
    """Gives a name that fits into the legend: the end of a path tells runs apart, its beginning doesn't."""
    short = name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]
    # matplotlib leaves entries that begin with an underscore out of a legend.
    return f" {short}" if short.startswith("_") else short


def _metric(record: EpochRecord, name: str) -> float:
    return float((record.metrics or {}).get(name, float("nan")))


def _sum(losses: Losses | None) -> float:
    return float("nan") if losses is None else sum(losses.values())
