"""What is in the labels? One picture: how many of each class, how large, where, and how many in an image.

It is given columns of numbers; it must not know where labels come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from peakmark.report.pictures.style import (
    INK,
    QUIET,
    VALIDATION_COLOUR,
    caption,
    colour_of_class,
    new_figure,
    save_figure,
    say_instead,
    short_names,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_CLASSES = 100
"""Bars. With more classes the most frequent are shown and the caption counts the others."""

_NUMBERS_UP_TO = 40
"""Bars that still have room for their number."""

_FEWEST_PLACES = 5
"""One class alone would be a wall instead of a bar."""

_SHADES = (1.0, 0.5, 0.25)
_DASHES = ("-", "-", "--")
"""How bars and lines tell train, val and test apart."""

_PERCENTS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_SMALLEST_SHARE = _PERCENTS[0] / 100


@dataclass(frozen=True, slots=True)
class SplitLabels:
    """All labels of one split in columns."""

    boxes_cxcywh_norm: NDArray[np.floating[Any]]
    """(N, 4), 0 to 1"""
    classes: NDArray[np.integer[Any]]
    """(N,)"""
    objects_per_image: NDArray[np.integer[Any]]
    """(images,), 0 for an image without labels"""


def draw_labels(splits: Mapping[str, SplitLabels], names: Sequence[str], path: Path) -> None:
    """Draws the label statistics of the splits (train first, at most three) into one picture of 2250 px width.

    Sizes and places are those of the first split. Raises `MachineError` where it can't write.
    """
    figure = new_figure(15, 10, "Labels")
    grid = figure.add_gridspec(2, 3, height_ratios=(1, 1.05))
    counts = {split: np.bincount(of.classes, minlength=len(names)) for split, of in splits.items() if len(of.classes)}
    omitted = _draw_class_counts(figure.add_subplot(grid[0, :]), counts, names)
    first, labels = next(iter(splits.items()))
    _draw_centres(figure.add_subplot(grid[1, 0]), labels, first)
    _draw_sizes(figure.add_subplot(grid[1, 1]), labels, first)
    _draw_crowding(figure.add_subplot(grid[1, 2]), splits)
    words = [f"{split}: {len(of.objects_per_image)} images, {len(of.classes)} objects" for split, of in splits.items()]
    if omitted:
        words.append(f"{omitted} rarer classes not shown")
    caption(figure, "   ·   ".join(words))
    save_figure(figure, path)


def _draw_class_counts(axes: Axes, counts: Mapping[str, NDArray[np.intp]], names: Sequence[str]) -> int:
    """Draws a group of bars a class and gives the number of classes that had no room."""
    style_axes(axes, "objects per class" + (" (" + ", ".join(counts) + ": dark to light)" if len(counts) > 1 else ""))
    if not counts:
        say_instead(axes, "no labels")
        return 0
    total = np.sum(list(counts.values()), axis=0)
    shown = np.arange(len(names))
    if len(names) > _MOST_CLASSES:
        shown = np.sort(np.argsort(-total, kind="stable")[:_MOST_CLASSES])
    width = 0.8 / len(counts)
    with_numbers = len(shown) * len(counts) <= _NUMBERS_UP_TO
    colours = [colour_of_class(int(c)) for c in shown]
    for number, of_split in enumerate(counts.values()):
        places = np.arange(len(shown)) + (number - (len(counts) - 1) / 2) * width
        heights = of_split[shown]
        axes.bar(places, heights, width * 0.94, color=colours, alpha=_SHADES[number])
        for place, height in zip(places.tolist(), heights.tolist(), strict=True):
            if with_numbers or height == 0:
                # A class without a single object is what one looks for here, so its zero is always written.
                colour = VALIDATION_COLOUR if height == 0 else INK
                axes.text(place, height, f"{height}", ha="center", va="bottom", fontsize=8, color=colour)
    size = float(np.clip(500 / max(len(shown), 1), 6, 10))
    axes.set_xticks(range(len(shown)), [short_names(names)[c] for c in shown], fontsize=size)
    axes.tick_params(axis="x", rotation=90 if len(shown) > 12 else 0, length=0)
    middle, reach = (len(shown) - 1) / 2, max(len(shown), _FEWEST_PLACES) / 2 + 0.1
    axes.set_xlim(middle - reach, middle + reach)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.12)
    return len(names) - len(shown)


def _draw_centres(axes: Axes, labels: SplitLabels, split: str) -> None:
    style_axes(axes, f"centres of objects ({split})", "x, share of the width", "y, share of the height")
    axes.grid(visible=False)
    axes.set_aspect("equal")
    if len(labels.classes) == 0:
        return say_instead(axes, "no labels")
    x, y = labels.boxes_cxcywh_norm[:, 0], labels.boxes_cxcywh_norm[:, 1]
    heat, _, _ = np.histogram2d(y, x, bins=_bins_for(len(x)), range=((0, 1), (0, 1)))
    axes.imshow(heat, extent=(0, 1, 1, 0), cmap="Blues", interpolation="nearest")
    return None


def _draw_sizes(axes: Axes, labels: SplitLabels, split: str) -> None:
    from matplotlib.ticker import NullLocator  # noqa: PLC0415 - matplotlib is loaded when there is something to draw

    style_axes(axes, f"sizes of objects ({split})", "width, % of the image", "height, % of the image")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(_SMALLEST_SHARE, 1)
    axes.set_ylim(_SMALLEST_SHARE, 1)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        # The log formatter writes powers as formulas, which save_figure switches off for the sake of class names.
        axis.set_ticks([percent / 100 for percent in _PERCENTS], [f"{percent:g}" for percent in _PERCENTS])
        axis.set_minor_locator(NullLocator())
    if len(labels.classes) == 0:
        return say_instead(axes, "no labels")
    width, height = np.clip(labels.boxes_cxcywh_norm[:, 2:].T, _SMALLEST_SHARE, 1)
    edges = np.geomspace(_SMALLEST_SHARE, 1, _bins_for(len(width)) + 1)
    heat, _, _ = np.histogram2d(height, width, bins=(edges, edges))
    axes.pcolormesh(edges, edges, np.ma.masked_equal(heat, 0), cmap="Blues", vmin=-0.15 * heat.max())
    axes.plot([_SMALLEST_SHARE, 1], [_SMALLEST_SHARE, 1], color=QUIET, linewidth=0.8, linestyle=":")
    return None


def _draw_crowding(axes: Axes, splits: Mapping[str, SplitLabels]) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - as above

    style_axes(axes, "objects in an image", "objects", "share of the images")
    most = max((int(of.objects_per_image.max(initial=0)) for of in splits.values()), default=0)
    step = max(1, -(-(most + 1) // 30))
    edges = np.arange(0, most + step + 1, step) - 0.5
    for number, (split, of) in enumerate(splits.items()):
        if len(of.objects_per_image) == 0:
            continue
        counted, _ = np.histogram(of.objects_per_image, bins=edges)
        colour = colour_of_class(0) if number == 0 else VALIDATION_COLOUR
        share = counted / len(of.objects_per_image)
        if number == 0:
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.55, label=split)
        else:
            axes.stairs(share, edges, color=colour, linewidth=1.6, linestyle=_DASHES[number], label=split)
    axes.set_ylim(bottom=0)
    axes.set_xlim(-0.5, edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.legend(fontsize=9, frameon=False)


def _bins_for(objects: int) -> int:
    """Few objects need coarse bins, or the map is a scatter of single points."""
    return int(np.clip(np.sqrt(objects), 12, 60))
