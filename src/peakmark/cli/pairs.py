"""Which key=value pairs did the user type? And where something else was typed: what was probably meant.

It must not know which keys exist.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import PurePath

from peakmark.errors import SettingsError

_KEY_OF_SUFFIX = {".yaml": "data", ".yml": "data", ".pt": "model", ".jpg": "source", ".png": "source", ".mp4": "source"}


def read_pairs(arguments: Sequence[str]) -> dict[str, str]:
    """Splits every argument at its first `=`. Raises SettingsError with a sentence for each that can't be."""
    pairs: dict[str, str] = {}
    violations: list[str] = []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        key, _, value = argument.partition("=")
        if not key or not value or key.startswith("-"):
            violations.append(_no_pair(argument, rest))
        elif key in pairs:
            violations.append(f"{key} is given twice, as {pairs[key]} and as {value}; keep one of them.")
        else:
            pairs[key] = value
    if violations:
        raise SettingsError(violations)
    return pairs


def _no_pair(argument: str, rest: deque[str]) -> str:
    """Says how to write what was typed; takes its value out of `rest`, so that it gets no complaint of its own."""
    name, equals, value = argument.lstrip("-").partition("=")
    suffix = PurePath(name).suffix.lower()
    if not equals and suffix in _KEY_OF_SUFFIX:
        return f"{argument} stands alone; was {_KEY_OF_SUFFIX[suffix]}={argument} meant?"
    if rest and rest[0] == "=":
        rest.popleft()
    if not value and rest and "=" not in rest[0] and not rest[0].startswith("--"):
        value = rest.popleft()
    key = name.replace("-", "_")
    if not key:
        return f"{argument} has no name before the equals sign; write e.g. epochs=100."
    if not value:
        return f"{argument} has no value; write {key}=... or leave it out."
    return (
        f"{argument.removesuffix('=' + value)} {value}: settings are written without dashes or spaces: {key}={value}."
    )
