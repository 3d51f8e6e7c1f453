"""How did the run go, epoch by epoch? results.png, drawn from the history alone.

It marks the best epoch it is told; it must not have an idea of its own of which one that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from peakmark.nouns import EpochRecord, History, Losses
from peakmark.report.style import (
    BEST_COLOUR,
    INK,
    TRAIN_COLOUR,
    VALIDATION_COLOUR,
    caption,
    new_figure,
    save_figure,
    say_instead,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_THIRD_COLOUR = "#cc79a7"
_MARKED_UP_TO = 60
"""With more points than this the markers run into each other and only the line is drawn."""


def draw_results(
    history: History, best_epoch: int | None, path: Path, *, mosaic_closed_from: int | None = None
) -> None:
    """Draws losses, rates and metrics over the epochs into one picture of 2400 x 1200 px.

    `best_epoch` is marked where there is one; epochs from `mosaic_closed_from` on (both 0-based) are shaded. Epochs
    that were not validated are gaps, bridged by a faint line. Raises `MachineError` where it can't write.
    """
    figure = new_figure(16, 8, "Training")
    panels = figure.subplots(2, 4)
    records = history.records
    epochs = np.array([record.epoch + 1 for record in records], dtype=np.float64)

    for axes, term in zip(panels[0, :3], ("box", "cls", "dfl"), strict=True):
        style_axes(axes, f"{term} loss", "epoch")
        _line(axes, epochs, [getattr(record.train, term) for record in records], "train", TRAIN_COLOUR)
        _line(axes, epochs, _losses(records, term), "validation", VALIDATION_COLOUR)
    _draw_rates(panels[0, 3], epochs, records)

    style_axes(panels[1, 0], "precision and recall (IoU 0.5)", "epoch")
    _line(panels[1, 0], epochs, _metric(records, "precision"), "precision", TRAIN_COLOUR)
    _line(panels[1, 0], epochs, _metric(records, "recall"), "recall", VALIDATION_COLOUR)
    for axes, name, title in ((panels[1, 1], "map50", "mAP50"), (panels[1, 2], "map50_95", "mAP50-95")):
        style_axes(axes, title, "epoch")
        _line(axes, epochs, _metric(records, name), title, VALIDATION_COLOUR)
    style_axes(panels[1, 3], "mAP50-95 by object size", "epoch")
    sizes = (("small", TRAIN_COLOUR), ("medium", VALIDATION_COLOUR), ("large", _THIRD_COLOUR))
    for size, colour in sizes:
        _line(panels[1, 3], epochs, _metric(records, f"map_{size}"), size, colour)

    for axes in (panels[0, 3], *panels[1]):
        # From nought: a metric's last wiggle isn't a fall. Losses start where they start.
        axes.set_ylim(0, max(1e-3, 1.05 * axes.dataLim.y1) if axes.has_data() else 1)
    for axes in panels.flat:
        _finish(axes, epochs, best_epoch, mosaic_closed_from)
    _name_best(panels[1, 2], records, best_epoch)
    caption(figure, _explanation(best_epoch, mosaic_closed_from, epochs))
    save_figure(figure, path)


def _draw_rates(axes: Axes, epochs: NDArray[np.float64], records: Sequence[EpochRecord]) -> None:
    style_axes(axes, "learning rate at the epoch's end", "epoch")
    groups = max((len(record.lr) for record in records), default=0)
    looks = (("weights", TRAIN_COLOUR, "-"), ("norms", VALIDATION_COLOUR, "--"), ("biases", _THIRD_COLOUR, ":"))
    # After warm-up the groups share one rate: each line is thinner than the one below it, so that all can be seen.
    for group, (name, colour, dashes) in enumerate(looks[:groups]):
        rates = [record.lr[group] if group < len(record.lr) else np.nan for record in records]
        axes.plot(epochs, rates, dashes, color=colour, label=name, linewidth=3.2 - group * 0.8)
        if len(rates) == 1:
            axes.plot(epochs, rates, "o", color=colour, markersize=10 - 3 * group)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)


def _line(axes: Axes, epochs: NDArray[np.float64], values: Sequence[float], label: str, colour: str) -> None:
    """Draws a curve that breaks where a value isn't finite; a faint line bridges the gaps."""
    known = np.isfinite(np.asarray(values, dtype=np.float64))
    if not known.any():
        return
    heights = np.where(known, np.asarray(values, dtype=np.float64), np.nan)
    marker = "o" if known.sum() <= _MARKED_UP_TO else ""
    axes.plot(epochs[known], heights[known], color=colour, linewidth=1, alpha=0.35)
    axes.plot(epochs, heights, color=colour, linewidth=1.8, marker=marker, markersize=3.5, label=label)


def _finish(axes: Axes, epochs: NDArray[np.float64], best_epoch: int | None, mosaic_closed_from: int | None) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded when there is something to draw

    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        say_instead(axes, "not validated" if len(epochs) else "no finished epoch")
    if len(epochs) == 0:
        return
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    if mosaic_closed_from is not None and mosaic_closed_from + 1 <= epochs[-1]:
        axes.axvspan(mosaic_closed_from + 0.5, epochs[-1] + 0.5, color="#f3f0e6", zorder=0)
    if best_epoch is not None:
        axes.axvline(best_epoch + 1, color=BEST_COLOUR, linewidth=1.2, linestyle="--", zorder=1)
    if len(handles) > 1:
        axes.legend(handles, labels, fontsize=9, frameon=True, framealpha=0.8, edgecolor="none")


def _name_best(axes: Axes, records: Sequence[EpochRecord], best_epoch: int | None) -> None:
    best = [record for record in records if record.epoch == best_epoch and record.metrics]
    if not best or best[0].metrics is None:
        return
    value = best[0].metrics["map50_95"]
    axes.plot([best[0].epoch + 1], [value], "o", color=BEST_COLOUR, markersize=8, zorder=5)
    axes.set_title(f"mAP50-95: {value:.4f} in the best epoch, {best[0].epoch + 1}", fontsize=11, color=INK)


def _explanation(best_epoch: int | None, mosaic_closed_from: int | None, epochs: NDArray[np.float64]) -> str:
    words = ["COCO metrics of the EMA weights"]
    if best_epoch is not None:
        words.append(f"dashed green: the best epoch, {best_epoch + 1}")
    else:
        words.append("no epoch is best: none was validated")
    if mosaic_closed_from is not None and len(epochs) and mosaic_closed_from + 1 <= epochs[-1]:
        words.append(f"shaded: mosaic closed, from epoch {mosaic_closed_from + 1}")
    return "   ·   ".join(words)


def _losses(records: Sequence[EpochRecord], term: str) -> list[float]:
    def of(losses: Losses | None) -> float:
        return float("nan") if losses is None else float(getattr(losses, term))

    return [of(record.validation) for record in records]


def _metric(records: Sequence[EpochRecord], name: str) -> list[float]:
    return [float((record.metrics or {}).get(name, float("nan"))) for record in records]
