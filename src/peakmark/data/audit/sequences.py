"""Are frames that were taken one after the other torn into several splits? By names, time stamps, and by their looks.

Numbers in names alone prove nothing: whoever numbers a collection and splits it by chance tears no sequence. So names
and times only say which images may be neighbours; that neighbours look alike has to be seen.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from peakmark.data.audit.duplicates import example_of, one_of_each_split
from peakmark.data.audit.findings import Finding, Severity, counted, finding
from peakmark.data.audit.likeness import differences
from peakmark.data.audit.pool import Pool
from peakmark.machine.streams import stream

_NUMBERS_APART = 10
_SECONDS_APART = 10
"""Frames farther apart are no neighbours."""

_FEWEST_NEIGHBOURS = 8
_NEIGHBOURS_ALIKE = 0.85
"""Chance that two neighbours are more alike than two images at random; 0.5 where the order means nothing. The numbered
images of BCCD have 0.45."""

_BY_LOT = 2000
_MANY_TORN = 0.1
_SOME_TORN = 0.02
"""Share of the images to measure with that have a neighbour in another split. One clean cut stays below."""

_EXPORTED = re.compile(r"^(?P<source>.+)_(?:jpe?g|png|bmp|tiff?|webp)\.rf\.[0-9A-Za-z]+$", re.IGNORECASE)
"""A labelling service exports several augmented copies of an image under names of this form."""
_MOMENT = re.compile(r"((?:19|20)\d\d)[-_]?([01]\d)[-_]?([0-3]\d)[-_T ]?([0-2]\d)[-_:h]?([0-5]\d)[-_:m]?([0-5]\d)")
_UNIX_TIME = re.compile(r"(?<!\d)(1\d{9})(\d{3}|\d{6}|\d{9})?(?!\d)")
"""Seconds since 1970, with milli-, micro- or nanoseconds."""
_NUMBER = re.compile(r"^(.*?)(\d{1,12})(\D*)$")


Differences = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Torn:
    """Images of a pool that belong together; of `find_torn`, those that lie in several splits."""

    sources: tuple[tuple[int, ...], ...]
    """Copies of one image, by their names."""
    sequences: tuple[tuple[int, ...], ...]
    """Frames, one after the other."""


def find_torn(pool: Pool) -> Torn:
    """Finds what belongs together and was torn apart. Deterministic."""
    found = find_together(pool)
    return Torn(
        tuple(group for group in found.sources if _is_torn(pool, group)),
        tuple(run for run in found.sequences if _is_torn(pool, run)),
    )


def find_together(pool: Pool) -> Torn:
    """Finds what belongs together, torn apart or not. Deterministic."""
    sources: dict[str, list[int]] = {}
    rows: dict[str, list[tuple[float, int]]] = {}
    for image in range(len(pool)):
        stem = os.path.splitext(os.path.basename(pool.file(image)))[0]
        if exported := _EXPORTED.match(stem):
            sources.setdefault(exported["source"], []).append(image)
        elif place := _place(stem, float(pool.taken_at_s_N[image])):
            rows.setdefault(place[0], []).append((place[1], image))
    by_lot = _differences_by_lot(pool)
    sequences = [run for row in rows.values() for run in _sequences(pool, sorted(row), by_lot)]
    return Torn(
        tuple(tuple(group) for group in sources.values() if len(group) > 1),
        tuple(tuple(run) for run in sequences),
    )


def check_torn(pool: Pool, torn: Torn) -> Iterator[Finding]:
    """Says what was torn apart, and how much of the images to measure with it spoils."""
    if torn.sources:
        leaked = [image for group in torn.sources for image in group if pool.split(image) != "train"]
        yield finding(
            "copies across splits",
            _severity(pool, leaked),
            f"{counted(len(torn.sources), 'image is', 'images are')} there in several splits, as copies that an export"
            " made of each (their names say so).",
            "Split the images before copies are made of them, or take the lists that peakmark audit fix=split writes.",
            (example_of(pool, one_of_each_split(pool, group), "copies of one image") for group in torn.sources),
        )
    if torn.sequences:
        pairs = [(one, two) for run in torn.sequences for one, two in _neighbours(run) if _is_torn(pool, (one, two))]
        touched = sorted({image for pair in pairs for image in pair if pool.split(image) != "train"})
        yield finding(
            "torn sequence",
            _severity(pool, touched),
            f"{counted(len(torn.sequences), 'sequence')} of frames torn apart: {counted(len(touched), 'image')} to"
            " measure with, next to a frame of another split that looks much the same.",
            "Give each sequence to one split as a whole; peakmark audit fix=split writes lists that do.",
            (example_of(pool, pair, "neighbours") for pair in pairs),
        )


def _place(stem: str, taken_at_s: float) -> tuple[str, float] | None:
    """To which row of images a name belongs and where in it; a time stamp counts more than a number."""
    for form in (_MOMENT, _UNIX_TIME):
        if (found := form.search(stem)) and (at_s := _seconds(found)) is not None:
            # What is left of the name tells cameras apart; digits in it count frames within the second.
            rest = re.sub(r"\d+", "", stem[: found.start()] + "|" + stem[found.end() :])
            return f"time {rest}", at_s / _SECONDS_APART * _NUMBERS_APART
    if np.isfinite(taken_at_s):
        return "camera", taken_at_s / _SECONDS_APART * _NUMBERS_APART
    if found := _NUMBER.match(stem):
        return f"number {found[1]}|{found[3]}", float(found[2])
    return None


def _seconds(found: re.Match[str]) -> float | None:
    if found.re is _UNIX_TIME:
        return float(f"{found[1]}.{found[2] or 0}")
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _sequences(pool: Pool, row: list[tuple[float, int]], by_lot: Differences) -> Iterator[list[int]]:
    """Cuts a row of images where places are far apart; gives nothing where neighbours don't look alike."""
    runs: list[list[int]] = []
    before = -np.inf
    for place, image in row:
        if place - before > _NUMBERS_APART:
            runs.append([])
        runs[-1].append(image)
        before = place
    pairs = np.array([pair for run in runs for pair in _neighbours(run)], np.int64).reshape(-1, 2)
    if len(pairs) < _FEWEST_NEIGHBOURS:
        return
    apart = differences(pool.thumbnails, pairs[:, 0], pairs[:, 1])
    more_alike = 1 - np.searchsorted(by_lot, apart) / len(by_lot)
    if more_alike.mean() >= _NEIGHBOURS_ALIKE:
        yield from (run for run in runs if len(run) > 1)


def _differences_by_lot(pool: Pool) -> Differences:
    draws = stream(0, "audit", len(pool))
    first, second = (draws.integers(0, max(1, len(pool)), _BY_LOT) for _ in range(2))
    unlike = first != second
    return np.sort(differences(pool.thumbnails, first[unlike], second[unlike]))


def _neighbours(run: list[int] | tuple[int, ...]) -> Iterator[tuple[int, int]]:
    return itertools.pairwise(run)


def _is_torn(pool: Pool, images: list[int] | tuple[int, ...]) -> bool:
    return len(set(pool.split_N[list(images)].tolist())) > 1


def _severity(pool: Pool, images: list[int]) -> Severity:
    of = pool.split_N[images]
    share = max((of == number).sum() / max(1, len(index)) for number, index in enumerate(pool.indexes))
    return "high" if share >= _MANY_TORN else "medium" if share >= _SOME_TORN else "low"
