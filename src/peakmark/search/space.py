"""What may a study change, and within which bounds? The words of `space=`, checked against the settings they name.

    lr0=1e-4..1e-2 log, mosaic=0..1, batch=8..32, optimizer=SGD|AdamW

It must not know who draws from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from peakmark.errors import Mistakes, SettingsError
from peakmark.settings.description import as_written, describe
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse

USUAL = (
    "lr0=1e-4..1e-2 log, weight_decay=1e-5..1e-2 log, box=2..20 log, cls=0.1..4 log, mosaic=0..1, scale=0..0.9,"
    " translate=0..0.5"
)
"""What is searched where nobody says otherwise."""
_EXAMPLE = "write e.g. lr0=1e-4..1e-2 log, mosaic=0..1, optimizer=SGD|AdamW"


@dataclass(frozen=True, slots=True)
class Dimension:
    """One setting, and what it may be."""

    name: str
    choices: tuple[str, ...] = ()
    """Where there are any, one of these, as a user would write it; else a number from `low` to `high`."""
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    """Drawn evenly by its logarithm."""
    is_whole: bool = False

    def __str__(self) -> str:
        if self.choices:
            return f"{self.name}={'|'.join(self.choices)}"
        return f"{self.name}={self.low:g}..{self.high:g}{' log' if self.is_log else ''}"


Space = tuple[Dimension, ...]


def read_space(given: str | Mapping[str, Any] | None, base: Mapping[str, Any]) -> Space:
    """Reads a space, as text or as Python has it: {"lr0": (1e-4, 1e-2, "log"), "optimizer": ["SGD", "AdamW"]}.

    Its ends and choices are tried with the settings of `base`. Raises SettingsError with every mistake.
    """
    if given is None:
        given = USUAL
    items = _split(given) if isinstance(given, str) else [(str(name), _written(value)) for name, value in given.items()]
    found = Mistakes()
    dimensions: list[Dimension] = []
    for name, text in items:
        with found.gathered():
            dimension = _dimension(name, text)
            for value in dimension.choices or (dimension.low, dimension.high):
                parse(Settings, {**base, name: int(value) if dimension.is_whole else value})
            dimensions.append(dimension)
    found.tell()
    names = [dimension.name for dimension in dimensions]
    if len(set(names)) < len(names) or not names:
        raise SettingsError([f"space={given}: each setting once, and at least one; {_EXAMPLE}."])
    return tuple(dimensions)


def in_words(space: Iterable[Dimension]) -> str:
    """The text that `read_space` gives the same space for."""
    return ", ".join(map(str, space))


def _split(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise SettingsError([f"space={text}: {part.strip()!r} is no range; {_EXAMPLE}."])
        yield name.strip(), value.strip()


def _written(value: Any) -> str:
    match value:
        case (low, high) | (low, high, "") if isinstance(value, tuple):
            return f"{low}..{high}"
        case (low, high, "log") if isinstance(value, tuple):
            return f"{low}..{high} log"
        case list() | set():
            return "|".join(as_written(choice) for choice in value)
        case _:
            return str(value)


def _dimension(name: str, text: str) -> Dimension:
    described = describe(Settings).get(name)
    if described is None or described.bears_on != "result" or name == "seed":
        raise SettingsError([f"space: {name} can't be searched; it is no setting that bears on the result of a run."])
    if "|" in text:
        return Dimension(name, choices=tuple(choice.strip() for choice in text.split("|")))
    numbers, _, scale = text.partition(" ")
    low, dots, high = numbers.partition("..")
    try:
        ends = (float(low), float(high)) if dots else None
    except ValueError:
        ends = None
    is_log = scale.strip() == "log"
    if ends is None or scale.strip() not in ("", "log") or ends[0] >= ends[1] or (is_log and ends[0] <= 0):
        raise SettingsError([f"space: {name}={text} is no range; {_EXAMPLE}. log needs a low end above 0."])
    is_whole = described.kind == "a whole number"
    return Dimension(name, low=ends[0], high=ends[1], is_log=is_log, is_whole=is_whole)
