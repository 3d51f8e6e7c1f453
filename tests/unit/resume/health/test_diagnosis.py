"""Does a broken seam get its right cause first, and a healthy one none?"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from peakmark.events import EpochEnded, ResumePlanned, RunStarted, StepSkipped
from peakmark.nouns.losses import Losses
from peakmark.nouns.resume import ChangePlan
from peakmark.nouns.run import Decision, EpochRecord, History, Position
from peakmark.record.folder import RunFolder
from peakmark.record.journal import Journal, mark_superseded, read
from peakmark.resume.health import causes
from peakmark.resume.health.causes import cause, with_command
from peakmark.resume.health.continuity import PROVEN, continuity_of
from peakmark.resume.health.diagnosis import NOTHING_FOUND, diagnose, look_back, resumptions

SEAM = 20
PROVENANCE = {
    "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
    "data": {"yaml": "data.yaml", "train": "a" * 64, "val": "b" * 64, "train_images": 100, "val_images": 20},
}


@pytest.fixture
def journal_of(tmp_path):
    """Writes the journal of a run that was resumed at an epoch, and reads it back."""

    def write(
        history: History,
        *,
        seam: int = SEAM,
        expected: Mapping[str, tuple[float, float]] | None = None,
        inexact: tuple[str, ...] = ("something was changed",),
        came_to: int | None = None,
        **other: Any,
    ) -> list[dict[str, Any]]:
        path = tmp_path / "journal.jsonl"
        path.unlink(missing_ok=True)
        journal = Journal(path)
        journal(_started(tmp_path, 0))
        for record in history.records[: came_to or seam]:
            journal(_ended(record))
        mark_superseded(path, Position(seam))
        journal(ResumePlanned(tmp_path, ChangePlan((), (), inexact, expected or {}), Position(seam)))
        journal(_started(tmp_path, seam, **other))
        for record in history.records[seam:]:
            if record.skipped_steps:
                journal(StepSkipped(record.epoch, 50, "the loss", ("a.png",), 1))
            journal(_ended(record))
        return read(path)

    return write


def _started(folder: Path, epoch: int, **other: Any) -> RunStarted:
    own = {"precision": "float32", "device": "cpu (A)", "threads": 2, "provenance": PROVENANCE, **other}
    return RunStarted(
        folder=folder, model="yolov8n", parameters=1, classes=("a",), train_images=100, val_images=20, epochs=60,
        image_size_px=320, position=Position(epoch), optimizer="AdamW", **own,
    )  # fmt: skip


def _ended(record: EpochRecord) -> EpochEnded:
    best = record.epoch == 14
    decision = Decision(record.epoch, best, 14, 0.4, stop=False, keep=False, patience_left=None, reason="")
    return EpochEnded(record, decision, 60)


def _broken(history: History, *, train: float = 0.5, val: float = 0.5, seam: int = SEAM) -> History:
    def worse(record: EpochRecord) -> EpochRecord:
        if record.epoch < seam:
            return record
        assert record.validation is not None
        losses = record.train, record.validation
        moved = [
            Losses(each.box + by, each.cls + by, each.dfl + by) for each, by in zip(losses, (train, val), strict=True)
        ]
        return dataclasses.replace(record, train=moved[0], validation=moved[1])

    return dataclasses.replace(history, records=tuple(map(worse, history.records)))


def _named(history: History, events: Any) -> Any:
    ((_, verdict),) = look_back(history, events)
    return verdict.kind, [each.name for each in verdict.causes]


def _provenance(**data: Any) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(PROVENANCE)
    changed["data"].update(data)
    return changed


def _resumed_again(folder: Path, history: History, plan: ChangePlan) -> list[dict[str, Any]]:
    """A journal that ended two epochs after its first resume goes on from a second one."""
    path = folder / "journal.jsonl"
    journal = Journal(path)
    journal(ResumePlanned(folder, plan, Position(SEAM + 2)))
    journal(_started(folder, SEAM + 2, threads=4))
    for record in history.records[SEAM + 2 :]:
        journal(_ended(record))
    return read(path)


# --- one fault, and two ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"provenance": _provenance(train="c" * 64, train_images=99)}, causes.DATA),
        ({"provenance": {**PROVENANCE, "versions": {"torch": "3.0", "numpy": "2.4.6"}}}, causes.LIBRARIES),
        ({"precision": "bfloat16"}, causes.PRECISION),
        ({"device": "cuda:0 (B)"}, causes.DEVICE),
        ({"threads": 4}, causes.THREADS),
    ],
)
def test_what_differs_between_the_starts_is_named(healthy, journal_of, other, name):
    history = _broken(healthy(30))
    assert _named(history, journal_of(history, **other)) == ("broken", [name])
    assert _named(healthy(30), journal_of(healthy(30), **other)) == ("continuous", [])


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"mixup": 0.5, "mosaic": 1.0}, causes.AUGMENTATION),
        ({"cutmix": 0.5, "mosaic": 1.0}, causes.AUGMENTATION),
        ({"degrees": 90}, causes.AUGMENTATION),
        ({"imgsz": 320}, causes.IMAGE_SIZE),
        ({"batch": 64, "nbs": 512}, causes.OTHER_SETTINGS),
        ({"optimizer": "SGD"}, causes.OPTIMIZER_NEW),
    ],
)
def test_what_a_segment_changed_is_named_where_the_run_broke(healthy, journal_of, settings, name):
    history = _broken(healthy(30, later=({"from_epoch": SEAM, "mosaic": 0.5, **settings},), mosaic=0.5))
    kind, names = _named(history, journal_of(history))
    assert (kind, names[0]) == ("broken", name)


def test_a_rate_that_jumped_is_named_with_both_rates(healthy, journal_of):
    history = _broken(healthy(30))
    records = tuple(dataclasses.replace(r, lr=(0.01, 0.01, 0.01)) if r.epoch >= SEAM else r for r in history.records)
    history = dataclasses.replace(history, records=records)
    ((_, verdict),) = look_back(history, journal_of(history))
    assert verdict.causes[0].name == causes.RATE
    assert verdict.causes[0].evidence == "0.001 -> 0.01, times 10."


def test_steps_that_were_skipped_are_named(healthy, journal_of):
    history = _broken(healthy(30))
    records = tuple(dataclasses.replace(r, skipped_steps=1) if r.epoch == SEAM else r for r in history.records)
    history = dataclasses.replace(history, records=records)
    ((_, verdict),) = look_back(history, journal_of(history))
    assert verdict.causes[0].name == causes.NOT_FINITE
    assert "a.png" in verdict.causes[0].evidence
    nan = _broken(healthy(30), val=math.nan)
    assert _named(nan, journal_of(nan)) == ("broken", [causes.NOT_FINITE])


@pytest.mark.parametrize(("came_to", "name"), [(25, causes.BEST_FOR_LAST), (16, None)])
def test_a_run_that_was_gone_on_with_from_its_best_epoch_is_told(healthy, journal_of, came_to, name):
    """From after epoch 15, its best; one epoch behind is what a kill leaves."""
    history = _broken(healthy(30), seam=15)
    kind, names = _named(history, journal_of(history, seam=15, came_to=came_to))
    assert (kind, names) == ("broken", [name] if name else [])


def test_a_run_that_was_gone_on_with_from_an_older_epoch_is_told(healthy, journal_of):
    history = _broken(healthy(30))
    assert _named(history, journal_of(history, came_to=25)) == ("broken", [causes.OLDER_FILE])


def test_two_causes_at_once_are_the_first_two(healthy, journal_of):
    history = _broken(healthy(30, later=({"from_epoch": SEAM, "mixup": 0.5},)))
    events = journal_of(history, provenance=_provenance(train="c" * 64), threads=1, device="cpu (B)")
    assert set(_named(history, events)[1][:2]) == {causes.AUGMENTATION, causes.DATA}


def test_what_was_wrong_in_the_file_comes_before_what_merely_differs(healthy, journal_of):
    history = _broken(healthy(30))
    events = journal_of(history, threads=1, device="cpu (B)", precision="bfloat16")
    found = (cause(causes.OPTIMIZER_MISSING, "183 of 183 have none.", 0.95),)
    verdict = continuity_of(history, first_epoch=SEAM)
    named = diagnose(history, events, verdict, resumptions(events)[-1], found=found)
    assert [each.name for each in named][:2] == [causes.OPTIMIZER_MISSING, causes.PRECISION]


def test_a_cause_that_would_show_elsewhere_counts_less(healthy, journal_of):
    history = _broken(healthy(30), train=0)
    events = journal_of(history, provenance=_provenance(train="c" * 64, val="d" * 64))
    assert _named(history, events)[1] == [causes.VALIDATION_DATA, causes.DATA]
    history = _broken(healthy(30), val=0)
    events = journal_of(history, provenance=_provenance(train="c" * 64, val="d" * 64))
    assert _named(history, events)[1] == [causes.DATA, causes.VALIDATION_DATA]


def test_the_files_that_changed_are_named(healthy, journal_of):
    history = _broken(healthy(30))
    events = journal_of(history, provenance=_provenance(train="c" * 64))
    verdict = continuity_of(history, first_epoch=SEAM)
    said = ("train: 1 image removed (a.png).", "val: 1 image added (b.png).")
    (named,) = diagnose(history, events, verdict, resumptions(events)[-1], data_changes=said)
    assert named.evidence == "train: 1 image removed (a.png)."


# --- controls: no cause ----------------------------------------------------------------------------------------------


def test_a_break_that_comes_with_a_later_change_is_that_changes_alone(healthy, journal_of, tmp_path):
    history = _broken(healthy(30), seam=SEAM + 2)
    journal_of(dataclasses.replace(history, records=history.records[: SEAM + 2]))
    events = _resumed_again(tmp_path, history, ChangePlan((), (), ("something else was changed",)))
    (first, early), (second, late) = look_back(history, events)
    assert (first.first_epoch, second.first_epoch) == (SEAM, SEAM + 2)
    assert (early.kind, early.causes) == ("continuous", ())
    assert (late.kind, [each.name for each in late.causes]) == ("broken", [causes.THREADS])


def test_a_break_that_a_later_resume_without_a_change_brought_along_stays_the_first_ones(healthy, journal_of, tmp_path):
    history = _broken(healthy(30), seam=SEAM + 2)
    journal_of(dataclasses.replace(history, records=history.records[: SEAM + 2]))
    (_, early), (_, late) = look_back(history, _resumed_again(tmp_path, history, ChangePlan((), (), ())))
    assert (early.kind, late.kind) == ("broken", "continuous")


def test_a_noisy_epoch_has_no_cause(healthy, journal_of):
    history = healthy(30)
    noisy = dataclasses.replace(history.records[SEAM], validation=Losses(1.93, 1.5, 1.9))
    history = dataclasses.replace(history, records=(*history.records[:SEAM], noisy, *history.records[SEAM + 1 :]))
    assert _named(history, journal_of(history, threads=1)) == ("drifting", [])


def test_mosaic_that_closes_on_schedule_has_no_cause(healthy, journal_of):
    history = _broken(healthy(30, epochs=30, close_mosaic=10), train=-0.4, val=0)
    assert _named(history, journal_of(history)) == ("continuous", [])


def test_an_announced_change_that_stays_within_what_was_announced_has_no_cause(healthy, journal_of):
    history = _broken(healthy(30, later=({"from_epoch": SEAM, "mixup": 0.3},)), train=0.4, val=0)
    announced = dict.fromkeys(("train/box", "train/cls", "train/dfl"), (0.0, 0.5))
    assert _named(history, journal_of(history, expected=announced)) == ("continuous", [])
    assert _named(history, journal_of(history))[0] == "broken"


def test_what_was_announced_as_not_comparable_survives_the_journal(healthy, journal_of):
    """JSON knows no infinity."""
    history = _broken(healthy(30), train=9, val=0)
    not_compared = dict.fromkeys(("train/box", "train/cls", "train/dfl"), (-math.inf, math.inf))
    events = journal_of(history, expected=not_compared)
    assert "Infinity" not in json.dumps(events)
    assert resumptions(events)[0].expected == not_compared
    assert _named(history, events) == ("continuous", [])


def test_a_proven_resume_has_no_cause(healthy, journal_of):
    """Nothing was changed and the digests agreed: what looks broken is the run's own scatter."""
    history = _broken(healthy(30))
    ((_, verdict),) = look_back(history, journal_of(history, inexact=()))
    assert (verdict.kind, verdict.causes) == ("continuous", ())
    assert verdict.text.endswith(PROVEN)


def test_a_break_without_a_finding_says_so(healthy, journal_of):
    history = _broken(healthy(30))
    assert _named(history, journal_of(history)) == ("broken", [])
    assert NOTHING_FOUND.startswith("No cause was found.")


# --- the remedy is a command ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (causes.RATE, "From before it: peakmark resume run/weights/before_epoch21.pt"),
        (causes.NOT_FINITE, "From before it: peakmark resume run/weights/before_epoch21.pt amp=False"),
        (causes.SCALER_MISSING, "From before it: peakmark resume run/weights/before_epoch21.pt amp=False"),
        (causes.OLDER_FILE, "With the right last.pt in its place: peakmark resume run"),
        (causes.BEST_FOR_LAST, "With the right last.pt in its place: peakmark resume run"),
    ],
)
def test_a_remedy_ends_with_the_command_that_goes_back(name, command):
    found = cause(name, "Seen.", 0.9)
    named = with_command(found, Path("run"), RunFolder(Path("run")).before_file(SEAM))
    assert named.remedy == f"{found.remedy} {command}"
    assert dataclasses.replace(named, remedy=found.remedy) == found


def test_where_no_state_from_before_is_kept_the_remedy_says_so():
    found = cause(causes.RATE, "Seen.", 0.9)
    assert with_command(found, Path("run"), None).remedy == f"{found.remedy} No state from before it is kept in run."


# --- reading the journal ---------------------------------------------------------------------------------------------


def test_resumes_that_were_superseded_do_not_count(healthy, journal_of, tmp_path):
    history = healthy(30)
    journal_of(history)
    path = tmp_path / "journal.jsonl"
    mark_superseded(path, Position(10))
    assert resumptions(read(path)) == ()
    journal = Journal(path)
    journal(ResumePlanned(tmp_path, ChangePlan((), (), ()), Position(10)))
    journal(_started(tmp_path, 10, threads=7))
    (resumption,) = resumptions(read(path))
    assert (resumption.first_epoch, resumption.went_back_to, resumption.after["threads"]) == (10, 30, 7)


def test_several_resumes_in_one_epoch_are_one(healthy, journal_of, tmp_path):
    history = _broken(healthy(30), train=0.4, val=0)
    journal_of(history, expected={"train/box": (0.0, 0.3), "val/box": (-0.1, 0.0)}, threads=3)
    path = tmp_path / "journal.jsonl"
    mark_superseded(path, Position(SEAM, 10))
    journal = Journal(path)
    again = ChangePlan((), (), (), {"train/box": (-0.2, 0.1)})
    journal(ResumePlanned(tmp_path, again, Position(SEAM, 10)))
    journal(_started(tmp_path, SEAM, threads=4))
    (resumption,) = resumptions(read(path))
    assert resumption.expected == {"train/box": (-0.2, 0.4), "val/box": (-0.1, 0.0)}
    assert not resumption.proven
    assert (resumption.before["threads"], resumption.after["threads"]) == (2, 4)


def test_a_journal_from_before_provenance_was_written_can_be_read(healthy, journal_of):
    history = _broken(healthy(30))
    events = [{key: value for key, value in event.items() if key != "provenance"} for event in journal_of(history)]
    assert _named(history, events) == ("broken", [])


def test_a_run_that_was_never_stopped_has_nothing_to_judge(healthy, journal_of):
    assert look_back(healthy(30), journal_of(healthy(30))[:1]) == ()
