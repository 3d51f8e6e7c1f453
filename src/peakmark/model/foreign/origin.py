"""What does a model file of another program say of itself? Program, version, licence, how it was trained, how good.

Plain values only, shortened, so that nothing that a stranger wrote takes over a terminal or a card. Numbers of another
program's evaluation are kept as what they are: by its protocol, not by ours. It must not know our settings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from peakmark.shown import as_shown

_MOST_CHARACTERS = 200
_MOST_SETTINGS = 400
_MOST_ITEMS = 100
_METRICS = {
    "metrics/precision(B)": "precision",
    "metrics/recall(B)": "recall",
    "metrics/mAP50(B)": "map50",
    "metrics/mAP50-95(B)": "map50_95",
}
_PROGRAMS = {"ultralytics": "Ultralytics"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights of another program come from, as far as their file says; None where it says nothing."""

    program: str | None = None
    version: str | None = None
    license: str | None = None
    docs: str | None = None
    date: str | None = None
    weights: str = "as they stand in the file"
    """Which of its weights: averaged or not."""
    epochs_done: int | None = None
    epochs: int | None = None
    """That its training was set to."""
    finished: bool | None = None
    """Whether that training had ended; None where the file doesn't say."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """By its own evaluation, which is not ours."""
    data: str | None = None
    """What it was trained on, as it was called there."""

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def words(self) -> str:
        """Ultralytics 8.4.190; another program, where nothing says which."""
        return " ".join((self.program or "another program", self.version or "")).strip()


def origin_of(root: Mapping[Any, Any], kind: str | None, *, averaged: bool | None) -> Origin:
    """Reads it off the plain values of a file; `kind` is the full name of its model's class."""
    args = train_args_of(root)
    history = root.get("train_results")
    done = _epochs_in(history)
    interrupted = _whole(root.get("epoch"))
    # -1 once a training has ended and its file was made smaller.
    if interrupted is not None and interrupted >= 0:
        done = interrupted + 1
    epochs = _whole(args.get("epochs"))
    return Origin(
        program=None if kind is None else _program(kind),
        version=_text(root.get("version")),
        license=_text(root.get("license")),
        docs=_text(root.get("docs")),
        date=_text(root.get("date")),
        weights=_which(averaged),
        epochs_done=done,
        epochs=epochs,
        finished=None if interrupted is None or done is None else interrupted < 0,
        metrics=dict(_metrics(root.get("train_metrics"))),
        data=_text(args.get("data")),
    )


def train_args_of(root: Mapping[Any, Any]) -> dict[str, Any]:
    """The settings that it was trained with, under their names there, as far as they are plain values."""
    said = root.get("train_args")
    if not isinstance(said, Mapping):
        return {}
    known = ((name, value) for name, value in said.items() if isinstance(name, str) and len(name) <= _MOST_CHARACTERS)
    return dict([(name, value) for name, value in known if _is_plain(value)][:_MOST_SETTINGS])


def _program(kind: str) -> str | None:
    package = kind.partition(".")[0]
    return _PROGRAMS.get(package) or (package if re.fullmatch(r"\w{1,40}", package) else None)


def _which(averaged: bool | None) -> str:
    if averaged is None:
        return "as they stand in the file"
    return "the running average (EMA)" if averaged else "those that the file calls its model"


def _metrics(said: object) -> Iterator[tuple[str, float]]:
    for theirs, ours in _METRICS.items():
        value = said.get(theirs) if isinstance(said, Mapping) else None
        if isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value):
            yield ours, float(value)


def _epochs_in(history: object) -> int | None:
    numbers = history.get("epoch") if isinstance(history, Mapping) else None
    return len(numbers) if isinstance(numbers, list) and numbers else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31 else None


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    shown = as_shown(" ".join(value.split()))
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]} ..."


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= _MOST_ITEMS and all(isinstance(item, str | int | float | None) for item in value)
    return value is None or isinstance(value, str | int | float)
