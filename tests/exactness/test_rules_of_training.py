"""Rules of training change as more is learnt. A run keeps those that it began with, whoever goes on with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.events import MicrobatchDone
from peakmark.settings.recipe import VERSION, Recipe

WISHES = {"epochs": 2, "imgsz": 32, "mosaic": 0, "scale": 0}


def _ignore(event: object) -> None:
    pass


def versions_of(run: Path) -> list[int]:
    history = read(run / "weights/last.pt").history
    return [Recipe(**segment.recipe).version for segment in history.segments]


def without_a_version(file: Path) -> None:
    """Makes the file one from before there was more than one version."""
    checkpoint = read(file)
    segments = tuple(
        dataclasses.replace(segment, recipe={k: v for k, v in segment.recipe.items() if k != "version"})
        for segment in checkpoint.history.segments
    )
    save(dataclasses.replace(checkpoint, history=dataclasses.replace(checkpoint.history, segments=segments)), file)


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "from before"])
def test_a_run_keeps_the_rules_that_it_began_with(train, stop_at, facts, monkeypatch, is_named):
    now = facts(train(**WISHES, name="now").save_dir)
    with monkeypatch.context() as before:
        before.setattr("peakmark.settings.recipe.VERSION", 1)
        whole = facts(train(**WISHES, name="before").save_dir)
        run = train(**WISHES, name="stopped", observer=stop_at(MicrobatchDone, 4)).save_dir
    assert now["weights"] != whole["weights"], "or the versions would not differ in anything"
    if not is_named:
        without_a_version(run / "weights/last.pt")
    YOLO().resume(run, observer=_ignore)
    assert versions_of(run) == [1]
    # What the file says of itself differs where it names no version; what was trained does not.
    assert facts(run)["results.csv"] == whole["results.csv"]
    assert not is_named or facts(run) == whole


def test_another_optimizer_brings_no_other_rules(train, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("peakmark.settings.recipe.VERSION", 1)
        run = train(**WISHES).save_dir
    YOLO().resume(run, observer=_ignore, epochs=3, optimizer="SGD", yes=True)
    assert versions_of(run) == [1, 1]
    assert VERSION > 1


def test_val_gives_the_losses_of_the_log_by_the_rules_of_the_run(train, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("peakmark.settings.recipe.VERSION", 1)
        results = train(**WISHES)
    logged = read(results.best).history.records[-1].validation
    found = YOLO(results.best).val(plots=False, observer=_ignore, project=results.save_dir.parent)
    assert found.losses == logged
