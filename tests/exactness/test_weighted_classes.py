"""A run with class weights is as exact as any other, and what they are is said and kept.

The weights follow from the settings and the labels that are trained on, whoever goes on with the run and where.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.checkpoint.format import to_plain
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import write
from peakmark.events import EpochEnded, MicrobatchDone, ResumePlanned, RunStarted
from peakmark.settings.class_weights import class_weights

WISHES = {"epochs": 2, "batch": 2, "nbs": 4, "mosaic": 0, "save_interval": 0, "average": False}


def _ignore(event: object) -> None:
    pass


@pytest.fixture
def imbalanced(write_set: Callable[..., Path], tmp_path: Path) -> Path:
    """Ten images to train on, 15 objects: two of the first class."""
    data = write_set(tmp_path / "data", val=4)
    for number, file in enumerate(sorted((tmp_path / "data/labels/train").iterdir())):
        rows = [row.split(maxsplit=1)[1] for row in file.read_text().splitlines()]
        file.write_text("".join(f"{0 if number in (3, 7) and not at else 1} {row}\n" for at, row in enumerate(rows)))
    return data


def weights_in(run: Path) -> list[tuple[float, ...]]:
    history = read(run / "weights/last.pt").history
    return [tuple(segment.recipe.get("class_weights", ())) for segment in history.segments]


def notes_of(events: list[Any]) -> list[str]:
    return [note for event in events if isinstance(event, RunStarted) for note in event.notes]


def test_a_stop_changes_no_bit_and_val_repeats_the_log(train, imbalanced, stop_at, facts, runs):
    events: list[Any] = []
    wishes = {**WISHES, "data": imbalanced, "cls_pw": 0.5}
    whole = train(**wishes, name="whole", observer=events.append)
    weights = class_weights(0.5, (2, 13))
    said = f"rarest and commonest class: {whole.names[0]} {weights[0]:.3g} (2 objects), {whole.names[1]} "
    assert any(said in note for note in notes_of(events))
    stopped = train(**wishes, name="stopped", observer=stop_at(MicrobatchDone, 3))
    resumed: list[Any] = []
    YOLO().resume(stopped.save_dir, observer=resumed.append)
    assert any(said in note for note in notes_of(resumed))
    assert facts(stopped.save_dir) == facts(whole.save_dir)
    assert weights_in(stopped.save_dir) == [weights]
    last = [event.record for event in events if isinstance(event, EpochEnded)][-1]
    # Of other images, in which the classes are as frequent as they are: the run's own weights all the same.
    found = YOLO(whole.last).val(project=runs, plots=False, observer=_ignore)
    assert repr(found.losses) == repr(last.validation)


def test_a_run_without_them_is_what_it_was_before_they_were_there(train, stop_at, facts):
    """Neither its settings nor its recipe name them, so a file from before goes on, to the very same digests."""
    whole = train(**WISHES, name="whole")
    run = train(**WISHES, name="stopped", observer=stop_at(MicrobatchDone, 3)).save_dir
    plain = to_plain(read(run / "weights/last.pt"))
    assert plain["settings"].pop("cls_pw") == 0
    assert "cls_pw" not in repr(plain)
    assert "class_weights" not in repr(plain)
    with open(run / "weights/last.pt", "wb") as stream:
        write(plain, stream)
    YOLO().resume(run, observer=_ignore)
    assert facts(run) == facts(whole.save_dir)
    assert len(read(run / "weights/last.pt").history.segments) == 1


def test_switched_on_and_off_at_a_resume_they_are_told_like_a_gain(train, imbalanced, stop_at):
    run = train(**WISHES, data=imbalanced, observer=stop_at(MicrobatchDone, 3)).save_dir
    for power in (1.0, 0.0):
        events: list[Any] = []
        YOLO().resume(run, observer=events.append, cls_pw=power, epochs=3 if power else 4)
        (told,) = (event.plan for event in events if isinstance(event, ResumePlanned))
        (loss,) = (part for part in told.parts if part.part == "loss")
        assert "cls_pw: " in loss.why
        assert loss.moves == "logged losses are in other units"
        assert told.expected["train/cls"] == told.expected["val/cls"] == (-float("inf"), float("inf"))
    assert weights_in(run) == [(), class_weights(1, (2, 13)), ()]


def test_other_labels_bring_other_weights_and_that_is_told(train, imbalanced, stop_at):
    run = train(**WISHES, data=imbalanced, cls_pw=0.5, observer=stop_at(MicrobatchDone, 6)).save_dir
    labels = imbalanced.parent / "labels/train/00.txt"
    labels.write_text("0" + labels.read_text()[1:])
    events: list[Any] = []
    YOLO().resume(run, observer=events.append, data=imbalanced)
    (told,) = (event.plan for event in events if isinstance(event, ResumePlanned))
    (part,) = (part for part in told.parts if part.part == "class weights")
    assert "as they are now" in part.why
    assert weights_in(run) == [class_weights(0.5, (2, 13)), class_weights(0.5, (3, 12))]
    assert any("(3 objects)" in note for note in notes_of(events))


def test_objects_are_counted_as_they_are_trained_on(train, imbalanced):
    """Of a share of the images, and as one class where that is wished for."""
    half = train(**WISHES, data=imbalanced, cls_pw=0.5, fraction=0.4, name="half").save_dir
    assert weights_in(half) == [class_weights(0.5, (1, 5))]
    events: list[Any] = []
    one = train(**WISHES, data=imbalanced, cls_pw=0.5, single_cls=True, name="one", observer=events.append).save_dir
    assert weights_in(one) == [(1.0,)]
    assert any("only one class has objects" in note for note in notes_of(events))
