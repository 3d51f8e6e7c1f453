"""Runs with equal settings and seed ought to be the same, bit for bit: are they, and where they part, what differs?

Colleagues compare digests. Where those are not equal, the histories say from which epoch on and in which number, and
what each run says of its data, machine and libraries says what may be behind it. It must not know which run is better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from peakmark.checkpoint.format import TIME_COLUMNS
from peakmark.nouns.run import EpochRecord
from peakmark.release.comparison.runs import Run
from peakmark.release.comparison.settings import differing_files
from peakmark.settings.description import as_written

_DIGITS: Final = 12
_OF_VALIDATION: Final = ("validation", "metrics", "per_class", "fitness")
"""The parts of a record that the validation images bear on."""
_LAST_DIGITS: Final = ("threads", "channels_last", "deterministic", "device_name")
"""Of the arithmetic, what changes last digits; the rest changes more."""


def sameness(runs: Sequence[Run]) -> tuple[str, ...]:
    """Says of all runs with equal settings and seed how they compare with the first of their kind, in sentences."""
    said = []
    while runs:
        first, *others = runs
        like_it = [run for run in others if _asked_for_the_same(first, run)]
        said += [_compared(first, run) for run in like_it]
        runs = [run for run in others if run not in like_it]
    return tuple(said)


def _asked_for_the_same(one: Run, other: Run) -> bool:
    return one.architecture == other.architecture and one.bearing_on_result() == other.bearing_on_result()


def _compared(one: Run, other: Run) -> str:
    both = f"{one.name} and {other.name}"
    if one.digests["everything"] == other.digests["everything"]:
        return f"{both} are the same, bit for bit (digest of everything: {one.digests['everything'][:_DIGITS]})."
    parting = _parting(one, other)
    common = min(len(one.history.records), len(other.history.records))
    if parting is None and one.position != other.position:
        behind, ahead = sorted((one, other), key=lambda run: run.position.step)
        return (
            f"{both} have equal settings and seed, and are the same in all {common} epochs that both have;"
            f" {ahead.name} is further ({_epochs(ahead)} against {_epochs(behind)})."
        )
    if parting is None:
        parts = ", ".join(name for name, digest in one.parts.items() if other.parts.get(name) != digest)
        return f"{both} have equal settings, seed and numbers in every epoch, but their states differ: {parts}."
    epoch, column, values = parting
    return (
        f"{both} have equal settings and seed, but differ from epoch {epoch + 1} on, first in {column}: {values}."
        f" {_causes(one, other, column)}"
    )


def _epochs(run: Run) -> str:
    count = len(run.history.records)
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def _parting(one: Run, other: Run) -> tuple[int, str, str] | None:
    """Gives the first epoch whose records differ, the number in them, and its two values."""
    for of_one, of_other in zip(one.history.records, other.history.records, strict=False):
        for (column, value), (_, other_value) in zip(_numbers(of_one), _numbers(of_other), strict=False):
            # As text: NaN equals itself there.
            if repr(value) != repr(other_value):
                return of_one.epoch, column, f"{as_written(value)} against {as_written(other_value)}"
    return None


def _numbers(record: EpochRecord) -> Iterator[tuple[str, Any]]:
    """Gives every number of a record under its name, those of the training first."""
    for field in sorted(dataclasses.fields(record), key=lambda field: field.name in _OF_VALIDATION):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from ((f"{field.name}/{name}", part) for name, part in dataclasses.asdict(value).items())
        elif field.name in ("metrics", "per_class") and value is not None:
            yield from ((f"{field.name}/{name}", part) for name, part in value.items())
        elif field.name not in TIME_COLUMNS:
            yield field.name, value


def _causes(one: Run, other: Run, column: str) -> str:
    causes = list(_candidates(one, other, in_validation=column.partition("/")[0] in _OF_VALIDATION))
    if not causes:
        return (
            "Nothing that is recorded differs (data, machine, threads, precision, libraries); other drivers, another"
            " processor of the same name or a fault of the machine are left. `peakmark replay` makes steps again."
        )
    return f"What differs, likeliest first: {'; '.join(causes)}."


def _candidates(one: Run, other: Run, *, in_validation: bool) -> Iterator[str]:
    if one.history.segments[1:] != other.history.segments[1:]:
        yield "settings were changed on the way in one of them"
    yield from _data_differs(one, other, "val" if in_validation else "train")
    yield from _differ(one.settings, other.settings, ("pretrained", "model"))
    rest = [name for name in one.arithmetic if name not in _LAST_DIGITS]
    yield from _differ(one.arithmetic, other.arithmetic, rest)
    yield from _differ(one.versions, other.versions, one.versions)
    yield from _differ(one.arithmetic, other.arithmetic, _LAST_DIGITS)
    if not one.arithmetic.get("deterministic", True):
        yield "deterministic=False, with which no two runs need be the same"


def _data_differs(one: Run, other: Run, split: str) -> Iterator[str]:
    if one.data.get(split) != other.data.get(split):
        files = [text.removesuffix(".") for text in differing_files(one, other) if text.startswith(f"{split}:")]
        kind = "training" if split == "train" else "validation"
        yield f"the {kind} data" + (f" ({'; '.join(files)})" if files else "")


def _differ(one: Any, other: Any, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if one.get(name) != other.get(name):
            yield f"{name} ({as_written(one.get(name))} against {as_written(other.get(name))})"
