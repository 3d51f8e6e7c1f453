"""How does an epoch become a row that can be compared with the rows above it?

It must not know where it is printed.
"""

from __future__ import annotations

from math import isnan

from peakmark.nouns.losses import TERMS
from peakmark.nouns.run import EpochRecord
from peakmark.report.numbers import four_digits
from peakmark.report.terminal.pace import as_clock

_VALIDATION = {f"val {term}": term for term in TERMS}
_WIDTHS = {
    "epoch": 9,
    **dict.fromkeys(TERMS, 7),
    **dict.fromkeys(_VALIDATION, 9),
    "P": 8,
    "R": 8,
    "mAP50": 8,
    "mAP50-95": 10,
    "time": 8,
    "best": 6,
}
"""Columns with their widths in characters, the gap on the left included; the losses of training come first."""

_LEFT_OUT_FIRST = (
    *reversed(_VALIDATION), TERMS[-1], "P", "R", *reversed(TERMS[:-1]), "mAP50", "time", "best", "mAP50-95"
)  # fmt: skip
"""Where the width is too small for all."""


def columns_for(width: int | None) -> tuple[str, ...]:
    """The columns that fit into a width, in their order; at least the epoch. All of them where there is no width."""
    columns = list(_WIDTHS)
    if width is None:
        return tuple(columns)
    for name in _LEFT_OUT_FIRST:
        if sum(_WIDTHS[column] for column in columns) <= width:
            break
        columns.remove(name)
    return tuple(columns)


def header(columns: tuple[str, ...]) -> str:
    return "".join(f"{'' if name == 'best' else name:>{_WIDTHS[name]}}" for name in columns).rstrip()


def row(record: EpochRecord, epochs: int, is_best: bool, columns: tuple[str, ...]) -> str:
    """One epoch, aligned under `header`; `-` stands for what was not measured."""
    metrics, validation = record.metrics or {}, record.validation
    cells = {
        "epoch": f"{record.epoch + 1}/{epochs}",
        **{term: _loss(value) for term, value in record.train.items()},
        **{name: _loss(validation[term] if validation else None) for name, term in _VALIDATION.items()},
        "P": four_digits(metrics.get("precision"), absent="-"),
        "R": four_digits(metrics.get("recall"), absent="-"),
        "mAP50": four_digits(metrics.get("map50"), absent="-"),
        "mAP50-95": four_digits(metrics.get("map50_95"), absent="-"),
        "time": as_clock(record.train_s + record.validation_s),
        "best": "best" if is_best else "",
    }
    return "".join(f"{cells[name]:>{_WIDTHS[name]}}" for name in columns).rstrip()


def _loss(value: float | None) -> str:
    if value is None or isnan(value):
        return "-"
    # A loss that runs away gets coarser, so that the columns behind it stay where they are.
    return f"{value:.3f}" if value < 100 else f"{value:.1f}" if value < 10_000 else f"{value:.0e}"
