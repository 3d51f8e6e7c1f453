"""How is an exported file shown? What it is, and what was found out when it was compared.

It must not know how that was done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from peakmark.export.exporting import Exported
    from peakmark.export.parity import Parity

_SHAPES_SHOWN = 4


def show_exported(console: Console, exported: Exported) -> None:
    """Prints the file, its size, and the comparison."""
    show_parity(console, exported.parity)
    _line(console, Text(f"{exported.path}: {exported.size_bytes / 1e6:.1f} MB; compared: {exported.record}"))


def show_parity(console: Console, parity: Parity) -> None:
    """Prints how far a file is from the model, in outputs and in mAP."""
    outputs, accuracy = parity.outputs, parity.accuracy
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("boxes", f"up to {outputs.box_px:.2g} px apart")
    table.add_row("scores", f"up to {outputs.score:.2g} apart")
    if outputs.detections:
        table.add_row("detections", f"{outputs.unmatched} of {outputs.detections} are in one of both only")
    shown = [f"{count} x {height} x {width}" for count, height, width in outputs.shapes[:_SHAPES_SHOWN]]
    more = f" and {len(outputs.shapes) - _SHAPES_SHOWN} more" if len(outputs.shapes) > _SHAPES_SHOWN else ""
    table.add_row("inputs", f"{', '.join(shown)}{more}")
    if accuracy is not None:
        between = ""
        if (found := accuracy.difference) is not None:
            between = f", 95 % interval {_signed(found.low)} to {_signed(found.high)}"
        table.add_row(
            "mAP50-95",
            f"{accuracy.model:.4f} by torch, {accuracy.exported:.4f} exported"
            f" ({_signed(accuracy.exported - accuracy.model)}{between}; {accuracy.images:,} images)",
        )
        table.add_row("protocol", accuracy.protocol)
    console.print(table)


def _signed(value: float) -> str:
    """With four digits; what rounds to nothing has no sign."""
    rounded = round(value, 4)
    return f"{rounded:+.4f}" if rounded else "0.0000"


def _line(console: Console, text: Text) -> None:
    console.print(text, highlight=False, soft_wrap=True)
