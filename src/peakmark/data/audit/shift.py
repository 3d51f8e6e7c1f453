"""Do training and validation images come from the same world? How far apart they are, and whether that can be chance.

A difference is told where it is large and can't be chance: with enough images everything differs significantly. Images
are what is drawn at random, not objects: those of one image are no independent witnesses.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peakmark.data.audit.findings import Example, Finding, FindingKind, Severity, finding
from peakmark.data.audit.pool import Pool
from peakmark.data.source.indexed_split import Index
from peakmark.machine.streams import stream

_NOTABLE = 0.25
_LARGE = 0.5
"""Distance between two distributions, 0 to 1: for shares half the sum of their differences, for measures the largest
difference of the cumulative shares (Kolmogorov, Smirnov)."""

_BY_CHANCE = 1.95
"""A Kolmogorov-Smirnov distance above this, times the root of 1/n + 1/m, comes up by chance once in a thousand."""

_REMEDY = "Draw the validation images at random from all images (whole sequences), or from the world the model is for."

_SPLIT_NAME = re.compile(r"train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?", re.IGNORECASE)
_SHUFFLES = 200
_MOST_SOURCES = 50
_EXAMPLES = 4

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Measure:
    """One number for each image of the pool, NaN where it has none."""

    kind: FindingKind
    what: str
    values_N: Values
    unit: str
    worst: Severity = "high"


def check_shift(pool: Pool, names: Sequence[str]) -> list[Finding]:
    """Finds in what training and validation images differ."""
    splits = [index.split for index in pool.indexes]
    if "train" not in splits or "val" not in splits:
        return []
    train = np.flatnonzero(pool.split_N == splits.index("train"))
    val = np.flatnonzero(pool.split_N == splits.index("val"))
    if len(train) == 0 or len(val) == 0:
        return []
    found: list[Finding] = []
    for measure in _measures(pool):
        found += _compare(pool, measure, train, val)
    found += _compare_shares(
        _class_counts(pool, len(names)), names, train, val, "classes differ", "class shares", "high"
    )
    counts, sources = _source_counts(pool)
    where = "where images come from, by their names"
    # A camera or a place that is kept for the validation may be meant, and be the best that one can do.
    found += _compare_shares(counts, sources, train, val, "sources differ", where, "medium")
    return found


def _measures(pool: Pool) -> Iterator[_Measure]:
    brightness = pool.thumbnails.reshape(len(pool), -1).mean(axis=1, dtype=np.float64)
    yield _Measure("brightness differs", "brightness", brightness, "grey levels")
    width, height = (
        np.concatenate([getattr(index, f"{side}s_px") for index in pool.indexes]).astype(np.float64)
        for side in ("width", "height")
    )
    yield _Measure("image sizes differ", "image size", np.sqrt(width * height), "px", "medium")
    yield _Measure("image shapes differ", "width by height", width / height, "", "medium")
    sizes = np.concatenate([_box_sizes(index) for index in pool.indexes])
    yield _Measure("box sizes differ", "box size", 100 * sizes, "% of the image's side")


def _box_sizes(index: Index) -> Values:
    """The median over an image's boxes of the root of their area, in shares of the image."""
    sizes = np.sqrt(index.boxes_cxcywh_norm[:, 2:].prod(axis=1, dtype=np.float64))
    bounds = index.offsets.tolist()
    pairs = itertools.pairwise(bounds)
    return np.array([np.median(sizes[start:end]) if end > start else np.nan for start, end in pairs], np.float64)


def _compare(pool: Pool, measure: _Measure, train: NDArray[np.intp], val: NDArray[np.intp]) -> Iterator[Finding]:
    known = ~np.isnan(measure.values_N)
    train, val = train[known[train]], val[known[val]]
    if len(train) == 0 or len(val) == 0:
        return
    ours, theirs = measure.values_N[train], measure.values_N[val]
    distance = _kolmogorov_smirnov(ours, theirs)
    if distance < max(_NOTABLE, _BY_CHANCE * np.sqrt(1 / len(train) + 1 / len(val))):
        return
    unit = f" {measure.unit}" if measure.unit else ""
    typical = [
        images[np.argsort(np.abs(values - np.median(values)), kind="stable")[:_EXAMPLES]]
        for images, values in ((train, ours), (val, theirs))
    ]
    yield finding(
        measure.kind,
        measure.worst if distance >= _LARGE else "medium",
        f"train and val differ in {measure.what}: median {np.median(ours):.3g} against {np.median(theirs):.3g}{unit}"
        f" (distance {distance:.2f} of 1).",
        _REMEDY,
        (
            Example(
                f"train {measure.values_N[one]:.3g}, val {measure.values_N[other]:.3g}{unit}",
                (pool.shown(int(one)), pool.shown(int(other))),
            )
            for one, other in zip(*typical, strict=False)
        ),
        1,
    )


def _kolmogorov_smirnov(ours: Values, theirs: Values) -> float:
    places = np.concatenate((ours, theirs))
    below = [np.searchsorted(np.sort(values), places, side="right") / len(values) for values in (ours, theirs)]
    return float(np.abs(below[0] - below[1]).max())


def _class_counts(pool: Pool, classes: int) -> NDArray[np.float32]:
    """(N, C) objects of each class in each image."""
    counts = np.zeros((len(pool), classes), np.float32)
    image = np.repeat(np.arange(len(pool)), np.concatenate([np.diff(index.offsets) for index in pool.indexes]))
    np.add.at(counts, (image, np.concatenate([index.classes for index in pool.indexes])), 1)
    return counts


def _source_counts(pool: Pool) -> tuple[NDArray[np.float32], list[str]]:
    """(N, S) which source an image is of: the beginning of its name up to the first digit; rare ones are one."""
    sources = [_source(pool.file(image)) for image in range(len(pool))]
    known = [source for source, _ in Counter(sources).most_common(_MOST_SOURCES)]
    column = {source: number for number, source in enumerate(known)}
    counts = np.zeros((len(pool), len(known) + 1), np.float32)
    counts[np.arange(len(pool)), [column.get(source, len(known)) for source in sources]] = 1
    return counts, [*known, "others"]


def _source(file: str) -> str:
    stem = os.path.splitext(os.path.basename(file))[0]
    # That images are named after their split says nothing of where they come from.
    return re.split(r"\d", _SPLIT_NAME.sub("", stem), maxsplit=1)[0].strip("_-. ") or "(number)"


def _compare_shares(
    counts: NDArray[np.float32],
    names: Sequence[str],
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    kind: FindingKind,
    what: str,
    worst: Severity,
) -> Iterator[Finding]:
    """Compares shares, and shuffles the images between the splits to see what chance makes of them."""
    if not counts[train].any() or not counts[val].any():
        return
    images = np.concatenate((train, val))
    draws = stream(0, "audit", len(images))
    in_val = np.zeros(len(images), np.float32)
    in_val[len(train) :] = 1
    # One shuffle after the other: all of them side by side would take 800 bytes an image.
    counts = counts[images]
    sums = [counts.T @ in_val, *(counts.T @ draws.permutation(in_val) for _ in range(_SHUFFLES))]
    sums_val = np.stack(sums, axis=1)
    sums_train = counts.sum(axis=0)[:, None] - sums_val
    shares = [of / np.maximum(of.sum(axis=0), 1) for of in (sums_train, sums_val)]
    distances = np.abs(shares[0] - shares[1]).sum(axis=0) / 2
    distance = float(distances[0])
    if distance < _NOTABLE or distance <= distances[1:].max():
        return
    ours, theirs = shares[0][:, 0], shares[1][:, 0]
    order = np.argsort(-np.abs(ours - theirs), kind="stable")
    rows = [
        f"{names[c]}: {ours[c]:.0%} of train, {theirs[c]:.0%} of val" for c in order.tolist() if ours[c] != theirs[c]
    ]
    yield finding(
        kind,
        worst if distance >= _LARGE else "medium",
        f"train and val differ in {what} (distance {distance:.2f} of 1), most in {rows[0]}.",
        _REMEDY,
        map(Example, rows),
        1,
    )
