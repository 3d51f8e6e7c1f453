"""How is an exported file shown? What it is, and what was found out when it was compared.

It must not know how that was done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peakmark.api.benchmark import Benchmark, Timed
    from peakmark.export.exporting import Exported
    from peakmark.export.parity import Parity

_SHAPES_SHOWN = 4
_WIDE = 100
"""Columns of a terminal from which the whole table fits."""


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


def show_benchmark(console: Console, found: Benchmark) -> None:
    """Prints a row for each format; on a narrow terminal without what follows from the rest."""
    wide = console.width >= _WIDE
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0))
    table.add_column("format", no_wrap=True)
    titles = ["MB", "load s", "ms", "95 % ms", "RAM MB", "mAP50-95", "from torch"]
    if wide:
        titles.insert(4, "images/s")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(row.name, *(_cells(row, wide=wide) if row.median_ms else ["-"] * len(titles)))
    console.print(table)
    for row in found.rows:
        if row.failed:
            _line(console, Text(f"{row.name}: {row.failed}"))
    _line(
        console,
        Text(f"{found.images} images of {found.side_px} px, one by one, {found.threads} threads. {found.save_dir}"),
    )


def _cells(row: Timed, *, wide: bool) -> Iterator[str]:
    yield f"{row.size_bytes / 1e6:.1f}"
    yield "-" if row.load_s is None else f"{row.load_s:.2f}"
    yield f"{row.median_ms:.1f}"
    yield f"{row.p95_ms:.1f}"
    if wide:
        yield f"{row.images_per_s:.1f}"
    yield "-" if row.memory_bytes is None else f"{row.memory_bytes / 1e6:.0f}"
    if row.map50_95 is None or row.difference is None:
        yield from ("-", "-")
        return
    between = ""
    if row.low is not None and row.high is not None:
        half = (row.high - row.low) / 2
        between = f" ({_signed(row.low)} to {_signed(row.high)})" if wide else f" \u00b1{half:.4f}"
    yield f"{row.map50_95:.4f}"
    yield f"{_signed(row.difference)}{between}"


def _signed(value: float) -> str:
    """With four digits; what rounds to nothing has no sign."""
    rounded = round(value, 4)
    return f"{rounded:+.4f}" if rounded else "0.0000"


def _line(console: Console, text: Text) -> None:
    console.print(text, highlight=False, soft_wrap=True)
