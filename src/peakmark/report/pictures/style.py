"""What do all charts of a run look like, and how do they become files? One place for sizes, colours and rendering.

Figures are made by matplotlib's object interface alone: pyplot keeps global state, which another thread or the user's
own notebook could disturb. This file must not know what a chart shows.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from peakmark.drawing.colours import class_colour
from peakmark.files.durable import write_bytes
from peakmark.shown import as_shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
TRAIN_COLOUR = "#0072b2"
VALIDATION_COLOUR = "#d55e00"
BEST_COLOUR = "#009e73"
INK = "#282828"
QUIET = "#8a8a8a"
_GRID = "#e4e4e4"
_LONGEST_NAME = 24


def new_figure(width_in: float, height_in: float, title: str) -> Figure:
    """Makes an empty figure; an inch is 150 px. Panels find their places by themselves."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second that commands without pictures needn't wait
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415 - as above

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.02, hspace=0.03)
    figure = Figure(figsize=(width_in, height_in), dpi=DOTS_PER_INCH, layout=layout, facecolor="white")
    figure.suptitle(title, fontsize=14, color=INK, fontweight="bold")
    return figure


def style_axes(axes: Axes, title: str, x_label: str = "", y_label: str = "") -> None:
    """Gives a panel its title, labels and the common looks."""
    axes.set_title(title, fontsize=11, color=INK)
    axes.set_xlabel(x_label, fontsize=10, color=INK)
    axes.set_ylabel(y_label, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=3)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)


def say_instead(axes: Axes, text: str) -> None:
    """Writes into an empty panel why there is nothing to see."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=10, color=QUIET)


def caption(figure: Figure, text: str) -> None:
    """Writes a line below all panels."""
    figure.supxlabel(text, fontsize=8.5, color=QUIET)


def colour_of_class(index: int) -> tuple[float, float, float]:
    """Gives the same colour that boxes of this class have, as matplotlib wants it."""
    red, green, blue = class_colour(index)
    return red / 255, green / 255, blue / 255


def short_name(name: str) -> str:
    """Gives a class name that fits into a legend."""
    line = " ".join(name.split())
    if len(line) > _LONGEST_NAME:
        line = line[: _LONGEST_NAME - 1] + "…"
    # matplotlib leaves entries that begin with an underscore out of a legend.
    return " " + line if line.startswith("_") else line


def short_names(names: Sequence[str]) -> list[str]:
    """Gives all class names so that they fit into a legend."""
    return [short_name(name) for name in names]


def save_figure(figure: Figure, path: Path) -> None:
    """Renders a figure and writes it as what the name's suffix says (.png, .jpg). Raises `MachineError`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - as above
    from matplotlib.text import Text  # noqa: PLC0415 - as above

    for text in figure.findobj(Text):
        # Two dollar signs in a class name would be read as a formula, and may end in an exception.
        text.set_parse_math(False)
        text.set_text(as_shown(text.get_text(), lines=True))
    rendered = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that matplotlib's font lacks shows as boxes; a warning per glyph helps nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure).print_figure(rendered, format=path.suffix.lstrip("."), dpi=DOTS_PER_INCH)
    write_bytes(path, rendered.getvalue())
