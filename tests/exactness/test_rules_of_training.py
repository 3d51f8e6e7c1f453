"""Rules of training change as more is learnt. A run keeps those that it began with, whoever goes on with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.checkpoint.format import to_plain
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import write
from peakmark.events import MicrobatchDone
from peakmark.machine.devices import Arithmetic, settle
from peakmark.settings.recipe import VERSION, recipe_of

WISHES = {"epochs": 2, "imgsz": 32, "mosaic": 0, "scale": 0, "nbs": 8, "close_mosaic": 10}


def _ignore(event: object) -> None:
    pass


def versions_of(run: Path) -> list[int]:
    history = read(run / "weights/last.pt").history
    return [recipe_of(segment).version for segment in history.segments]


def make_it_of_format_5(file: Path, *left_out: str) -> None:
    """Makes the file one from before recipes chose a nominal batch and a closing, and had a version for certain."""
    plain = to_plain(read(file))
    for segment in plain["history"]["segments"]:
        segment["recipe"] = {key: value for key, value in segment["recipe"].items() if key not in left_out}
    if "cutmix" in left_out:
        plain["settings"].pop("cutmix")
        plain["result_settings"].remove("cutmix")
        for segment in plain["history"]["segments"]:
            segment["settings"].pop("cutmix")
    with open(file, "wb") as stream:
        write({**plain, "format_version": 5}, stream)


def of_its_time(**wishes: Any) -> Arithmetic:
    """Of a time before files said when batch-norm statistics are moved."""
    return dataclasses.replace(settle(**wishes), statistics="in place")


@pytest.mark.parametrize(
    ("version", "left_out"),
    [
        (1, ("nbs", "close_mosaic", "version")),
        (1, ("nbs", "close_mosaic", "version", "cutmix")),
        (1, ()),
        (2, ("nbs", "close_mosaic")),
    ],
)
def test_a_run_keeps_the_rules_that_it_began_with(train, stop_at, facts, monkeypatch, version, left_out):
    now = facts(train(**WISHES, name="now").save_dir)
    with monkeypatch.context() as before:
        before.setattr("peakmark.settings.recipe.VERSION", version)
        before.setattr("peakmark.run.build.VERSION", version)
        if left_out:
            before.setattr("peakmark.run.build.settle", of_its_time)
        whole = facts(train(**WISHES, name="before").save_dir)
        run = train(**WISHES, name="stopped", observer=stop_at(MicrobatchDone, 4)).save_dir
    assert now["weights"] != whole["weights"], "or the versions would not differ in anything"
    if left_out:
        make_it_of_format_5(run / "weights/last.pt", *left_out)
    YOLO().resume(run, observer=_ignore)
    assert versions_of(run) == [version]
    assert facts(run) == whole
    assert read(run / "weights/last.pt").arithmetic["statistics"] == ("in place" if left_out else "by window")


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
