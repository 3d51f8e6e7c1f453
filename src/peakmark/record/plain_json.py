"""How do our values become JSON that every reader takes? NaN and infinity are no JSON: they become null.

It must not know what the values mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Gives strict JSON. Raises TypeError for a value that has no place in it."""
    text = json.dumps(_strict(value), indent=indent, ensure_ascii=False, allow_nan=False)
    # A file's name may hold a byte that is no UTF-8; as a lone surrogate no file takes it. JSON writes it as an escape.
    return text.encode("utf-8", "backslashreplace").decode()


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _strict(getattr(value, field.name)) for field in fields(value)}
    return value.as_posix() if isinstance(value, Path) else value
