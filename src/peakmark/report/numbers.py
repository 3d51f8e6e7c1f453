"""How is a metric written in a table? The same on a terminal and on a page."""

from __future__ import annotations

import math
from numbers import Real


def four_digits(value: object, absent: str = "–") -> str:
    """Gives four digits behind the point, or `absent` for what isn't there or isn't finite."""
    number = finite(value)
    return absent if number is None else f"{number:.4f}"


def finite(value: object) -> float | None:
    """Gives a number, also one that a table holds as text; None for what is none or isn't finite."""
    if not isinstance(value, Real | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
