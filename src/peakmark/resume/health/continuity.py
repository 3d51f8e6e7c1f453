"""Do the epochs after a resume follow from those before? A band around the trend, and a verdict, from history alone.

The trend is the median of the last differences. A number has to stay within a band around it that is as wide as the
run's own noise, and never narrower than the rules of thumb of the field. `docs/continuity.md` has the formulas, why
they are so, and how often they are wrong. It must not know files, causes, or what is done about a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from peakmark.nouns.losses import TERMS
from peakmark.nouns.resume import Continuity, ContinuityKind, Observed
from peakmark.nouns.run import EpochRecord, History
from peakmark.resume.seam import MIXING
from peakmark.settings.recipe import mosaic_is_open_in

TRAIN_NAMES = tuple(f"train/{term}" for term in TERMS)
VALIDATION_NAMES = (*(f"val/{term}" for term in TERMS), "map50_95")
NAMES = TRAIN_NAMES + VALIDATION_NAMES
LEAST_VALIDATED_EPOCHS = 5
"""Under which there is no trend to follow from."""
PROVEN = "The digests prove that the state was restored exactly and nothing was changed: this is the run's own scatter."

_DIFFERENCES = 6
"""So many of the last ones make the trend: fewer are noise, more are another stage of the training."""
_LEAST_DIFFERENCES = 4
_NORMAL_DEVIATIONS = 3
_ALARM_DEVIATIONS = 6
_TREND_SHARE = 0.5
"""A trend may lose or gain half of itself an epoch: learning slows down, and early it speeds up."""
_FINDS_SOMETHING = 0.01
"""mAP50-95 from which validations have a trend: before, their losses take off in one leap at any epoch."""
_FAR = 2
"""One number this many alarm widths away needs no second witness."""


@dataclass(frozen=True, slots=True)
class _Point:
    epoch: int
    value: float
    stage: str | bool
    """What must be equal for two values to be comparable: a phase, or what a validation is made of."""


@dataclass(frozen=True, slots=True)
class _Trend:
    last: _Point
    slope: float
    """An epoch."""
    deviation: float
    """Median of the distances from the trend."""
    largest: float
    """The largest of them."""


def continuity_of(
    history: History,
    *,
    first_epoch: int,
    watch: int = 3,
    expected: Mapping[str, tuple[float, float]] | None = None,
) -> Continuity:
    """Holds up to `watch` epochs from `first_epoch` (0-based) on against those before it. Pure.

    `expected` moves the band where a plan has announced a change, by name: (below, above), at most 0 and at least 0;
    an infinite one means that this side is not compared. What can't be compared is left out: validations of other data
    or size, training losses with and without mosaic, validations from before the model found anything.
    """
    before = [record for record in history.records if record.epoch < first_epoch]
    after = [record for record in history.records if first_epoch <= record.epoch < first_epoch + watch]
    if not after:
        return Continuity("too early", "No epoch has ended since the resume.")
    validated = sum(record.metrics is not None for record in before)
    if validated < LEAST_VALIDATED_EPOCHS:
        return Continuity(
            "too early",
            f"Only {validated} of the epochs before the resume {'was' if validated == 1 else 'were'} validated; from"
            f" {LEAST_VALIDATED_EPOCHS} on, those after it are held against them.",
        )
    observed = tuple(
        seen for name in NAMES for seen in _observe(history, name, before, after, (expected or {}).get(name, (0, 0)))
    )
    if not observed:
        return Continuity("too early", "Nothing before the resume can be compared with the epochs after it.")
    kind = _kind(observed)
    return Continuity(kind, _sentence(kind, observed), observed)


def _observe(
    history: History,
    name: str,
    before: Sequence[EpochRecord],
    after: Sequence[EpochRecord],
    announced: tuple[float, float],
) -> Iterator[Observed]:
    """Holds one number of each epoch after the seam against its trend."""
    earlier = _from_where_it_counts(name, [p for p in _points(history, name, before) if math.isfinite(p.value)])
    if not earlier:
        return
    trend = _trend(earlier)
    comparable = [p for p in _points(history, name, after) if p.stage == earlier[-1].stage]
    if trend is None or announced == (-math.inf, math.inf):
        return
    normal, alarm = (0.02, 0.03) if name == "map50_95" else (0.05, 0.1)
    for number, point in enumerate(comparable, 1):
        epochs = point.epoch - trend.last.epoch
        drift = _TREND_SHARE * epochs * abs(trend.slope)
        predicted = trend.last.value + epochs * trend.slope
        moved = point.value - predicted
        yield Observed(
            epoch=point.epoch,
            name=name,
            value=point.value,
            # Where the plan announced a movement, the nearest announced value is the expected one.
            expected=predicted + (min(max(moved, announced[0]), announced[1]) if math.isfinite(moved) else 0.0),
            # Noise adds up like a random walk, an error of the trend adds up epoch by epoch.
            normal=math.sqrt(number) * max(normal, _NORMAL_DEVIATIONS * trend.deviation) + drift,
            alarm=math.sqrt(number) * max(alarm, _ALARM_DEVIATIONS * trend.deviation, trend.largest) + drift,
        )


def _from_where_it_counts(name: str, points: Sequence[_Point]) -> Sequence[_Point]:
    """Of validations, those made as the last one was."""
    if name in TRAIN_NAMES or not points:
        return points
    return [point for point in points if point.stage == points[-1].stage]


def _trend(points: Sequence[_Point]) -> _Trend | None:
    pairs = [pair for pair in pairwise(points[-_DIFFERENCES - 1 :]) if pair[0].stage == pair[1].stage]
    if len(pairs) < _LEAST_DIFFERENCES:
        return None
    slope = median((b.value - a.value) / (b.epoch - a.epoch) for a, b in pairs)
    distances = [abs(b.value - a.value - slope * (b.epoch - a.epoch)) for a, b in pairs]
    return _Trend(points[-1], slope, median(distances), max(distances))


def _points(history: History, name: str, records: Sequence[EpochRecord]) -> Iterator[_Point]:
    """The values of a number; validations from before the model finds anything are left out."""
    kind, _, term = name.partition("/")
    found = _first_find(history)
    for record in records:
        if kind == "train":
            yield _Point(record.epoch, record.train[term], _mixes_images(history, record))
        elif record.metrics is not None and record.epoch >= found:
            stage = history.segments[record.segment].comparable
            if kind == "map50_95":
                yield _Point(record.epoch, record.metrics[kind], stage)
            elif record.validation is not None:
                yield _Point(record.epoch, record.validation[term], stage)


def _first_find(history: History) -> float:
    finds = (r.epoch for r in history.records if r.metrics is not None and r.metrics["map50_95"] >= _FINDS_SOMETHING)
    return next(finds, math.inf)


def _mixes_images(history: History, record: EpochRecord) -> bool:
    """Whether mosaic, mixup or cutmix was on: they make other images, whose losses lie elsewhere."""
    segment = history.segments[record.segment]
    # Segments of runs that began with an earlier version know no cutmix.
    wanted = any(segment.settings.get(name, 0) > 0 for name in MIXING)
    return wanted and mosaic_is_open_in(segment, record.epoch)


def as_proven(verdict: Continuity) -> Continuity:
    """The verdict where nothing was changed and the digests agree: then nothing can be broken."""
    if verdict.kind not in ("drifting", "broken"):
        return verdict
    return replace(verdict, kind="continuous", text=f"{verdict.text} {PROVEN}")


# --- the verdict ----------------------------------------------------------------------------------------------------


def _widths(seen: Observed) -> float:
    """How far a number is from what was expected, in alarm widths; negative for below. Not finite is as far as can."""
    return (seen.value - seen.expected) / seen.alarm if math.isfinite(seen.value) else math.inf


def _kind(observed: Sequence[Observed]) -> ContinuityKind:
    """One number outside for once is drifting, not broken: of twenty compared, one in a few seams is that by chance.

    The numbers of one validation are one witness: they stray together, with the few images that they are made of.
    """
    alarms = [seen for seen in observed if abs(_widths(seen)) > 1]
    witnesses = {(seen.epoch, seen.name if seen.name in TRAIN_NAMES else "validation") for seen in alarms}
    if len(witnesses) > 1 or any(abs(_widths(seen)) > _FAR for seen in alarms):
        return "broken"
    return "drifting" if alarms else "continuous"


def _sentence(kind: ContinuityKind, observed: Sequence[Observed]) -> str:
    first, last = min(seen.epoch for seen in observed) + 1, max(seen.epoch for seen in observed) + 1
    epochs = f"Epoch {first} follows" if first == last else f"Epochs {first} to {last} follow"
    worst = max(observed, key=lambda seen: abs(_widths(seen)))
    where = (
        f"{worst.name} of epoch {worst.epoch + 1} is {worst.value:.4g}, where {worst.expected:.4g} was expected (up to"
        f" {worst.normal:.2g} off is ordinary, from {worst.alarm:.2g} on an alarm)"
    )
    if kind == "continuous":
        return f"{epochs} from those before the resume: no number left its band; furthest off, {where}."
    others = sorted({seen.name for seen in observed if abs(_widths(seen)) > 1} - {worst.name}, key=NAMES.index)
    also = f"; also {', '.join(others)}" if others else ""
    if kind == "drifting":
        return f"Drifting: {where}; one epoch outside may be chance."
    return f"Broken: {where}{also}."
