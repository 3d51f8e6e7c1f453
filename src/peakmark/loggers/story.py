"""What does the journal tell of a run's numbers? Points, facts and endings, read off the lines of journal.jsonl.

Pure functions of the lines and settings: what was sent once is the same when it is sent later. It must not know where
the numbers go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peakmark.loggers.logger import Ending, Point
from peakmark.record.results_csv import METRIC_COLUMNS, loss_columns

_QUALIFIED = re.compile(r"\((\w+)\)")


@dataclass(frozen=True, slots=True)
class Story:
    """A journal up to its last whole line."""

    points: tuple[Point, ...]
    facts: Mapping[str, Any]
    """What the last start said of model, classes and data."""
    ending: Ending | None
    """None where the run goes on, or was killed, after its last start."""


def read_story(lines: Sequence[Mapping[str, Any]]) -> Story:
    """Reads the events of a journal, in their order; superseded ones too, since they may have been sent already."""
    starts = [line for line in lines if line["event"] == "RunStarted"]
    ends = [line for line in lines if line["event"] in ("RunStarted", "RunEnded")]
    ended = ends[-1] if ends and ends[-1]["event"] == "RunEnded" else None
    return Story(tuple(_points(lines)), _facts(starts[-1]) if starts else {}, _ending(ended) if ended else None)


def metric_name(column: str) -> str:
    """The name of a column of results.csv as all loggers take it: without brackets, which MLflow refuses."""
    return _QUALIFIED.sub(lambda found: "" if found[1] == "B" else f"_{found[1]}", column)


def _points(lines: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
    """A resume repeats what the last save had not held, to the same bits: such an epoch is no new point."""
    known: set[tuple[Any, ...]] = set()
    number = 0
    for line in lines:
        if line["event"] != "EpochEnded":
            continue
        values = dict(_values(line))
        key = (line["epoch"], *sorted(values.items()))
        if key in known:
            continue
        known.add(key)
        yield Point(number, line["epoch"], datetime.fromisoformat(line["at"]).timestamp(), values)
        number += 1


def _values(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    found: dict[str, Any] = {}
    for kind, of in (("train", "train_losses"), ("val", "val_losses")):
        # Journals from before the losses were in them have none.
        losses = line.get(of) or {}
        found |= {column: losses.get(term) for column, term in loss_columns(kind).items()}
    metrics = line.get("metrics") or {}
    found |= {metric_name(column): metrics.get(name) for column, name in METRIC_COLUMNS.items()}
    found |= {f"lr/pg{group}": rate for group, rate in enumerate(line.get("lr") or ())}
    found |= {name: line.get(name) for name in ("fitness", "best_epoch", "best_fitness")}
    for name, value in found.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield name, float(value)


def _facts(start: Mapping[str, Any]) -> dict[str, Any]:
    versions = (start.get("provenance") or {}).get("versions") or {}
    return {
        "model_parameters": start.get("parameters"),
        "class_names": ", ".join(start.get("classes") or ()),
        "train_images": start.get("train_images"),
        "val_images": start.get("val_images"),
        "computed_on": start.get("device"),
        "precision": start.get("precision"),
        **{f"version_{name}": version for name, version in versions.items()},
    }


def _ending(line: Mapping[str, Any]) -> Ending:
    return Ending(line["outcome"], line.get("text") or "", line.get("best_epoch"), line.get("best_fitness"))
