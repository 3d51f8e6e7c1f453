"""Why did a run break at a resume? Causes with their evidence, from journal, history and the findings in the file.

Pure, so that any run can be diagnosed later. What a resume announced, and what stayed within it, is no cause: causes
are looked for where the verdict is broken. It must not read files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peakmark.nouns.resume import Cause, Continuity
from peakmark.nouns.run import EpochRecord, History, Segment
from peakmark.resume.health import causes
from peakmark.resume.health.causes import cause
from peakmark.resume.health.continuity import TRAIN_NAMES, as_proven, continuity_of
from peakmark.resume.health.contradictions import ranked
from peakmark.resume.seam import ADAM_PER_SGD, AUGMENTATIONS, MIXING
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import mosaic_is_open_in

Events = Sequence[Mapping[str, Any]]
"""The lines of a journal, as `record.journal.read` gives them."""
NOTHING_FOUND = (
    "No cause was found. Checked: the counts of updates, optimizer, average, batch-norm statistics and scaler of the"
    " file; that it was restored exactly; data, learning rate, augmentation, image size, precision, threads, device and"
    " library versions on both sides; and values that are not finite."
)

_RATE_JUMP = 3.0
_OLDER_EPOCHS = 2
_OF_THE_VALIDATION = (causes.EMA_RESET, causes.UPDATE_COUNT, causes.STATISTICS, causes.VALIDATION_DATA)
_LESS_LIKELY = 0.7
"""Of a cause that would show in other numbers than those that are off."""
_PART_CAUSES = {
    "position": causes.POSITION,
    "training weights": causes.WEIGHTS,
    "batch-norm statistics": causes.STATISTICS,
    "averaged weights": causes.EMA_RESET,
    "optimizer state": causes.OPTIMIZER_MISSING,
    "optimizer settings": causes.OPTIMIZER_FOREIGN,
    "scaler": causes.SCALER_MISSING,
    "update count": causes.UPDATE_COUNT,
    "open sums": causes.POSITION,
    "counters": causes.NOT_FINITE,
    "history": causes.HISTORY,
    "settings": causes.SETTINGS,
    "classes": causes.WEIGHTS,
    "architecture": causes.WEIGHTS,
}
_OF_OTHER_CAUSES = ("epochs", "optimizer", "lr0", "lrf", "cos_lr", "imgsz")
_BEAR_ON_NO_NUMBER = ("patience", "fitness", "val", "val_period", "max_nonfinite")


@dataclass(frozen=True, slots=True)
class Resumption:
    """A resume as the journal tells it."""

    first_epoch: int
    """0-based."""
    expected: Mapping[str, tuple[float, float]]
    proven: bool
    """Nothing was changed, and the digests agreed."""
    before: Mapping[str, Any]
    """How the run was started the last time before."""
    after: Mapping[str, Any]
    """How it was started here."""
    went_back_to: int | None
    """The epoch until which the run had come, where this resume goes back before it."""
    was_best: bool
    """Whether the epoch before was the best one when it ended."""


def resumptions(events: Events) -> tuple[Resumption, ...]:
    """Reads the resumes of a run that still count, in their order, off its journal.

    Several in one epoch are one: what follows that epoch follows from all of them.
    """
    found: list[Resumption] = []
    started: Mapping[str, Any] | None = None
    planned: Mapping[str, Any] | None = None
    for number, event in enumerate(events):
        if event["event"] == "ResumePlanned":
            planned = event
        elif event["event"] == "RunStarted":
            if started is not None and planned is not None and not event.get("superseded"):
                resumption = _resumption(planned, started, event, events[:number])
                joins = bool(found) and found[-1].first_epoch == resumption.first_epoch
                found.append(_joined(found.pop(), resumption) if joins else resumption)
            started, planned = event, None
    return tuple(found)


def look_back(history: History, events: Events, *, watch: int = 3) -> tuple[tuple[Resumption, Continuity], ...]:
    """Judges every resume of a run, any time later; gives each with its verdict and, where it is broken, the causes."""
    judged, all_resumes = [], resumptions(events)
    for number, resumption in enumerate(all_resumes):
        first = resumption.first_epoch
        # What follows a later resume that changed something isn't this one's doing; one that changed nothing hides it
        # not, since what breaks after it was brought along.
        later = [other.first_epoch for other in all_resumes[number + 1 :] if not other.proven]
        until = min([first + watch, *(epoch for epoch in later if epoch > first)])
        verdict = continuity_of(history, first_epoch=first, watch=until - first, expected=resumption.expected)
        verdict = as_proven(verdict) if resumption.proven else verdict
        judged.append((resumption, replace(verdict, causes=diagnose(history, events, verdict, resumption))))
    return tuple(judged)


def diagnose(
    history: History,
    events: Events,
    verdict: Continuity,
    resumption: Resumption,
    *,
    found: Sequence[Cause] = (),
    data_changes: Sequence[str] = (),
) -> tuple[Cause, ...]:
    """Gives what may have broken the run, likeliest first; empty where the verdict isn't broken, or nothing is found.

    `found` is what was wrong in the file, `data_changes` says in words which files are others than before.
    """
    if verdict.kind != "broken":
        return ()
    suspects = [
        *found,
        *_of_the_journal(resumption, data_changes),
        *_of_the_history(history, resumption.first_epoch),
        *_not_finite(history, events, verdict, resumption.first_epoch),
    ]
    return ranked([_weighed(suspect, verdict) for suspect in suspects])


def restored_wrong(parts: Sequence[str]) -> tuple[Cause, ...]:
    """Names the causes for parts of the state that are not the file's after restoring."""
    said = "After restoring, {} of the run is not what the file holds."
    return ranked([cause(_PART_CAUSES[part], said.format(part), 1.0) for part in parts])


def _resumption(
    planned: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], until_here: Events
) -> Resumption:
    first_epoch, plan = int(after["epoch"]) - 1, planned["plan"]
    ended = [event for event in until_here if event["event"] == "EpochEnded"]
    gone = [int(event["epoch"]) for event in ended if event.get("superseded") and event["epoch"] > first_epoch]
    last = [event for event in ended if event["epoch"] == first_epoch and not event.get("superseded")]
    return Resumption(
        first_epoch=first_epoch,
        # JSON knows no infinity: null is one.
        expected={name: (_or(low, -math.inf), _or(high, math.inf)) for name, (low, high) in plan["expected"].items()},
        proven=not plan["inexact"],
        before=before,
        after=after,
        went_back_to=max(gone, default=None),
        was_best=bool(last) and bool(last[-1]["is_best"]),
    )


def _joined(first: Resumption, second: Resumption) -> Resumption:
    names = {*first.expected, *second.expected}
    bounds = {name: (first.expected.get(name, (0, 0)), second.expected.get(name, (0, 0))) for name in names}
    return replace(
        second,
        expected={name: (one[0] + other[0], one[1] + other[1]) for name, (one, other) in bounds.items()},
        proven=first.proven and second.proven,
        before=first.before,
    )


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _weighed(suspect: Cause, verdict: Continuity) -> Cause:
    """A cause counts less where the numbers that are off aren't those that it would move."""
    off = {seen.name for seen in verdict.observed if not abs(seen.value - seen.expected) <= seen.alarm}
    only_validation, only_training = not off & set(TRAIN_NAMES), off <= set(TRAIN_NAMES)
    of_the_validation = suspect.name in _OF_THE_VALIDATION
    unlikely = (only_validation and not of_the_validation) or (only_training and of_the_validation)
    return replace(suspect, certainty=suspect.certainty * (_LESS_LIKELY if unlikely else 1))


# --- what differs between two starts --------------------------------------------------------------------------------


def _of_the_journal(resumption: Resumption, data_changes: Sequence[str]) -> Iterator[Cause]:
    before, after, first = resumption.before, resumption.after, resumption.first_epoch
    until = resumption.went_back_to
    if until is not None and until - first >= _OLDER_EPOCHS:
        name = causes.BEST_FOR_LAST if resumption.was_best else causes.OLDER_FILE
        yield cause(name, f"The run had come to epoch {until}, and was resumed after epoch {first}.", 0.6)
    for field, name, certainty in (
        ("precision", causes.PRECISION, 0.5),
        ("device", causes.DEVICE, 0.3),
        ("threads", causes.THREADS, 0.1),
    ):
        if before[field] != after[field]:
            yield cause(name, f"{field}: {before[field]} -> {after[field]}.", certainty)
    was, now = before.get("provenance"), after.get("provenance")
    if not was or not now:  # a journal from before they were written into it
        return
    yield from _other_data(was["data"], now["data"], data_changes)
    names = sorted({*was["versions"], *now["versions"]})
    versions = [(name, was["versions"].get(name), now["versions"].get(name)) for name in names]
    if changed := [f"{name} {old} -> {new}" for name, old, new in versions if old != new]:
        yield cause(causes.LIBRARIES, f"{', '.join(changed)}.", 0.3)


def _other_data(was: Mapping[str, Any], now: Mapping[str, Any], data_changes: Sequence[str]) -> Iterator[Cause]:
    for split, name in (("train", causes.DATA), ("val", causes.VALIDATION_DATA)):
        if was[split] != now[split]:
            files = [said for said in data_changes if said.startswith(f"{split}:")]
            counts = f"{was[f'{split}_images']} -> {now[f'{split}_images']} images, with another fingerprint"
            yield cause(name, f"{' '.join(files) or f'{split}: {counts}.'}", 0.8)


# --- what differs between two segments ------------------------------------------------------------------------------


def _of_the_history(history: History, first_epoch: int) -> Iterator[Cause]:
    before = [record for record in history.records if record.epoch < first_epoch]
    after = [record for record in history.records if record.epoch >= first_epoch]
    if not before or not after:
        return
    was, now = history.segments[before[-1].segment], history.segments[after[0].segment]
    yield from _rate(before[-1], after[0], was, now)
    yield from _augmentation(before[-1].epoch, after[0].epoch, was, now)
    if _differ(was, now, ("imgsz",)):
        yield cause(causes.IMAGE_SIZE, f"{_listed(was, now, ('imgsz',))}.", 0.8)
    others = {*was.settings, *now.settings} - {*_OF_OTHER_CAUSES, *AUGMENTATIONS, *_BEAR_ON_NO_NUMBER}
    if changed := _differ(was, now, sorted(others)):
        yield cause(causes.OTHER_SETTINGS, f"{_listed(was, now, changed)}.", 0.4)


def _rate(before: EpochRecord, after: EpochRecord, was: Segment, now: Segment) -> Iterator[Cause]:
    old, new = str(was.recipe["optimizer"]), str(now.recipe["optimizer"])
    effective = ratio = after.lr[0] / before.lr[0] if before.lr[0] else 1.0
    if (old == "SGD") != (new == "SGD"):
        effective *= ADAM_PER_SGD if old == "SGD" else 1 / ADAM_PER_SGD
        yield cause(causes.OPTIMIZER_NEW, f"{old} -> {new}: its moments began at 0.", 0.5)
    said = f"{before.lr[0]:.3g} -> {after.lr[0]:.3g}, times {ratio:.3g}"
    said += f"; as {new} moves, like times {effective:.2g}" if effective != ratio else ""
    if effective >= _RATE_JUMP:
        yield cause(causes.RATE, f"{said}.", min(0.9, 0.5 + 0.1 * math.log2(effective)))
    elif effective <= 1 / _RATE_JUMP:
        yield cause(causes.RATE, f"{said}.", 0.4)


def _augmentation(last: int, first: int, was: Segment, now: Segment) -> Iterator[Cause]:
    for name in MIXING:
        before, after = _chance(was, name, last), _chance(now, name, first)
        if after > before:
            yield cause(causes.AUGMENTATION, f"{name}: {before:g} -> {after:g}.", 0.8)
        elif after < before and _differ(was, now, (name, "close_mosaic", "epochs")):
            yield cause(causes.AUGMENTATION, f"{name}: {before:g} -> {after:g}.", 0.5)
    if changed := _differ(was, now, [name for name in AUGMENTATIONS if name not in (*MIXING, "close_mosaic")]):
        yield cause(causes.AUGMENTATION, f"{_listed(was, now, changed)}.", 0.6)


def _chance(segment: Segment, name: str, epoch: int) -> float:
    is_open = mosaic_is_open_in(segment, epoch)
    return float(_of(segment, name)) if is_open else 0.0


def _differ(was: Segment, now: Segment, names: Sequence[str]) -> list[str]:
    return [name for name in names if _of(was, name) != _of(now, name)]


def _of(segment: Segment, name: str) -> Any:
    # A segment of an earlier version lacks the settings that came later: what these do was not done then.
    return segment.settings.get(name, Settings.model_fields[name].default)


def _listed(was: Segment, now: Segment, names: Sequence[str]) -> str:
    return ", ".join(f"{name}: {_of(was, name)} -> {_of(now, name)}" for name in names)


# --- NaN ------------------------------------------------------------------------------------------------------------


def _not_finite(history: History, events: Events, verdict: Continuity, first_epoch: int) -> Iterator[Cause]:
    epochs = {seen.epoch for seen in verdict.observed}
    odd = [seen for seen in verdict.observed if not math.isfinite(seen.value)]
    if odd:
        yield cause(causes.NOT_FINITE, f"{odd[0].name} of epoch {odd[0].epoch + 1} is {odd[0].value}.", 0.95)
        return
    told = [
        event
        for event in events
        if event["event"] == "StepSkipped" and not event.get("superseded") and event["epoch"] - 1 in epochs
    ]
    if told:
        files = ", ".join(told[0]["files"][:3])
        first = f"the first in epoch {told[0]['epoch']} ({told[0]['what']}; {files})"
        said = f"{len(told)} updates were skipped since, {first}"
        yield cause(causes.NOT_FINITE, f"{said}.", 0.7)
