"""How did the run go, epoch by epoch? results.png, drawn from the history alone.

It marks the best epoch it is told; it must not have an idea of its own of which one that is. A resume that changed
nothing is not marked: the curves are those of the run without it.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from peakmark.nouns.losses import TERMS, Losses
from peakmark.nouns.run import EpochRecord, History, Position, Segment
from peakmark.report.pictures.style import (
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
from peakmark.report.position import position_in_words
from peakmark.settings.recipe import mosaic_is_open_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_THIRD_COLOUR = "#cc79a7"
_MARKED_UP_TO = 60
"""With more points than this the markers run into each other and only the line is drawn."""
_SHADE = "#f3f0e6"
_CHANGES_EXPLAINED = 4
"""Below the panels; the page has them all."""
_WORDS_OF_A_CHANGE = 180


def draw_results(history: History, best_epoch: int | None, path: Path) -> None:
    """Draws losses, rates and metrics over the epochs into one picture of 2400 x 1200 px.

    `best_epoch` (0-based) is marked where there is one, and the places where settings were changed; epochs with closed
    mosaic are shaded. Epochs that were not validated are gaps, bridged by a faint line. Raises `MachineError` where it
    can't write.
    """
    figure = new_figure(16, 8, "Training")
    panels = figure.subplots(2, len(TERMS) + 1)
    records = history.records
    epochs = np.array([record.epoch + 1 for record in records], dtype=np.float64)

    for axes in panels[1, 4:]:
        figure.delaxes(axes)  # more terms than three widen the upper row alone
    for axes, term in zip(panels[0, :-1], TERMS, strict=True):
        style_axes(axes, f"{term} loss", "epoch")
        _line(axes, epochs, [record.train[term] for record in records], "train", TRAIN_COLOUR)
        _line(axes, epochs, _losses(records, term), "validation", VALIDATION_COLOUR)
    _draw_rates(panels[0, -1], epochs, records)

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

    for axes in (panels[0, -1], *panels[1]):
        # From zero: a metric's last wiggle isn't a fall. Losses start where they start.
        axes.set_ylim(0, max(1e-3, 1.05 * axes.dataLim.y1) if axes.has_data() else 1)
    for axes in panels.flat:
        _finish(axes, epochs, best_epoch)
        _mark_phases_and_changes(axes, history)
    _name_best(panels[1, 2], records, best_epoch)
    caption(figure, "\n".join(_explanation(history, best_epoch)))
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


def _finish(axes: Axes, epochs: NDArray[np.float64], best_epoch: int | None) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded when there is something to draw

    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        say_instead(axes, "not validated" if len(epochs) else "no finished epoch")
    if len(epochs) == 0:
        return
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
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


def _mark_phases_and_changes(axes: Axes, history: History) -> None:
    for first, last in _closed_mosaic(history):
        axes.axvspan(first + 0.5, last + 1.5, color=_SHADE, linewidth=0, zorder=0)
    for number, segment in _changes(history):
        # Between the last epoch under the old settings and the first that the new ones bear on.
        axes.axvline(segment.from_epoch + 0.5, color=INK, linewidth=0.9, linestyle=":", zorder=1)
        axes.annotate(
            str(number), (segment.from_epoch + 0.5, 1), (2, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=8, color=INK,
        )  # fmt: skip


def _changes(history: History) -> Iterator[tuple[int, Segment]]:
    """The segments that a change began and some epoch was trained in, counted from 1."""
    trained = {record.segment for record in history.records}
    begun = (segment for index, segment in enumerate(history.segments) if index and index in trained)
    return enumerate(begun, start=1)


def _closed_mosaic(history: History) -> Iterator[tuple[int, int]]:
    """The first and last epoch of each stretch of epochs whose images were no mosaics any more."""
    for closed, records in itertools.groupby(history.records, lambda record: _is_closed(history, record)):
        if closed:
            stretch = list(records)
            yield stretch[0].epoch, stretch[-1].epoch


def _is_closed(history: History, record: EpochRecord) -> bool:
    if record.segment >= len(history.segments):
        return False
    segment = history.segments[record.segment]
    # From the first epoch on it isn't closed but never was open.
    was_open = segment.settings["mosaic"] > 0 and mosaic_is_open_in(segment, 0)
    return bool(was_open and not mosaic_is_open_in(segment, record.epoch))


def _explanation(history: History, best_epoch: int | None) -> Iterator[str]:
    words = ["COCO metrics of the EMA weights"]
    if best_epoch is not None:
        words.append(f"dashed green: the best epoch, {best_epoch + 1}")
    else:
        words.append("no epoch is best: none was validated")
    if closed := [str(first + 1) for first, _ in _closed_mosaic(history)]:
        words.append(f"shaded: mosaic closed, from epoch {' and '.join(closed)}")
    changes = list(_changes(history))
    if changes:
        words.append("dotted: settings were changed")
    yield "   ·   ".join(words)
    for number, segment in changes[:_CHANGES_EXPLAINED]:
        what = textwrap.shorten(segment.reason, _WORDS_OF_A_CHANGE, placeholder=" …")
        yield f"{number}: {position_in_words(Position(segment.from_epoch, segment.from_images))}, {what}"
    if len(changes) > _CHANGES_EXPLAINED:
        yield f"and {len(changes) - _CHANGES_EXPLAINED} more, in the report"


def _losses(records: Sequence[EpochRecord], term: str) -> list[float]:
    def of(losses: Losses | None) -> float:
        return float("nan") if losses is None else float(losses[term])

    return [of(record.validation) for record in records]


def _metric(records: Sequence[EpochRecord], name: str) -> list[float]:
    return [float((record.metrics or {}).get(name, float("nan"))) for record in records]
