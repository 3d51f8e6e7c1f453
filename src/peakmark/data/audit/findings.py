"""What does an audit say? Findings: what is wrong, how bad it is, where one can see it, and what to do about it.

This file must not know how anything is found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Severity = Literal["high", "medium", "low"]
"""high: the numbers of a training on it are wrong, or it can't start. medium: they are worse, or less sure, than they
need be. low: worth a look."""
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")

FindingKind = Literal[
    "duplicate across splits",
    "near duplicate across splits",
    "copies across splits",
    "torn sequence",
    "duplicate",
    "near duplicate",
    "equal images, other labels",
    "classes differ",
    "box sizes differ",
    "brightness differs",
    "image sizes differ",
    "image shapes differ",
    "sources differ",
    "no objects",
    "class absent",
    "few objects",
    "class unused",
    "small validation set",
    "small objects",
    "bad label line",
    "doubled box",
    "same box, two classes",
    "box of the whole image",
    "box over the edge",
    "repeated line",
    "class imbalance",
    "unreadable image",
    "no label file",
    "label without image",
    "listed twice",
    "more objects than max_det",
    "more objects than COCO counts",
    "missing label",
    "another class",
    "label without object",
]
"""A word or two that never change, for a pipeline. Each has its words in the catalogue of the pages."""

MOST_EXAMPLES = 200
"""What a finding carries along; `count` says how many there are."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Shown:
    """An image to look at, with the boxes in it that are meant."""

    split: str
    file: Path
    boxes_cxcywh_norm: tuple[Box, ...] = ()
    classes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One case of a finding."""

    text: str
    images: tuple[Shown, ...] = ()
    """Side by side; empty where there is nothing to see."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a data set."""

    kind: FindingKind
    severity: Severity
    text: str
    """One sentence for a person, with the figures."""
    remedy: str
    count: int
    """Cases; of them at most 200 are among the examples."""
    examples: tuple[Example, ...] = field(default=(), repr=False)


def finding(
    kind: FindingKind,
    severity: Severity,
    text: str,
    remedy: str,
    examples: Iterable[Example],
    count: int | None = None,
) -> Finding:
    """Makes a finding with the first examples; `count` is how many there are where they are not all given."""
    cases = tuple(examples)
    return Finding(kind, severity, text, remedy, len(cases) if count is None else count, cases[:MOST_EXAMPLES])


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Puts findings in the order in which they should be read."""
    return tuple(sorted(findings, key=lambda found: SEVERITIES.index(found.severity)))


def worst(findings: Iterable[Finding]) -> Severity | None:
    """Gives the severity of the worst finding; None where there is none."""
    return min((found.severity for found in findings), key=SEVERITIES.index, default=None)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Gives `1 image` or `1,200 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
