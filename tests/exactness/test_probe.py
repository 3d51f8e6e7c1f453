"""Do restored weights still give the numbers of their log? Equal here, named where something else computes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError
from peakmark.events import Notice, ResumePlanned, RunStarted


@pytest.fixture(scope="module")
def ended(train_in, tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("ended")).save_dir


@pytest.fixture
def run(ended, runs):
    return Path(shutil.copytree(ended, runs / "train"))


def resumed(run: Path, **wishes: Any) -> tuple[str, list[Any]]:
    events: list[Any] = []
    YOLO().resume(run, observer=events.append, **wishes)
    said = [note for event in events if isinstance(event, RunStarted) for note in event.notes]
    return " ".join([*said, *(event.text for event in events if isinstance(event, Notice))]), events


def resealed(run: Path, **changes: Any) -> None:
    last = run / "weights/last.pt"
    save(dataclasses.replace(read(last), **changes), last)


def test_asked_for_it_gives_the_logged_numbers_to_the_last_digit(run):
    said, _ = resumed(run, probe="full")
    assert "Validated again, the restored weights give the logged mAP50-95" in said
    assert "to the last digit" in said


def test_with_nothing_changed_the_digests_are_enough(run):
    assert "Validated again" not in resumed(run)[0]


def test_other_libraries_are_named_and_probed_on_their_own(run):
    provenance = read(run / "weights/last.pt").provenance
    resealed(run, provenance={**provenance, "versions": {**provenance["versions"], "torch": "2.12.1"}})
    said, events = resumed(run)
    (told,) = (event for event in events if isinstance(event, ResumePlanned))
    (reason,) = told.plan.inexact
    assert reason.startswith("torch 2.12.1 -> ")
    assert reason.endswith(" may compute differently")
    assert "Validated again" in said


def test_another_processor_is_named(run):
    arithmetic = read(run / "weights/last.pt").arithmetic
    resealed(run, arithmetic={**arithmetic, "device_name": "Another Processor"})
    _, events = resumed(run, probe="quick")
    (told,) = (event for event in events if isinstance(event, ResumePlanned))
    assert told.plan.inexact[0].endswith("rounds differently from Another Processor")


def test_weights_that_are_not_those_of_the_log_stop_it(run):
    checkpoint = read(run / "weights/last.pt")
    assert checkpoint.metrics is not None
    resealed(run, metrics={**checkpoint.metrics, "map50_95": checkpoint.metrics["map50_95"] + 0.5})
    before = (run / "weights/last.pt").read_bytes()
    with pytest.raises(ModelFileError, match=r"instead of 0\.5\d*: this is not the model of the log"):
        resumed(run, probe="full", epochs=4, yes=True)
    assert (run / "weights/last.pt").read_bytes() == before
    assert "mixup" in (run / "settings.yaml").read_text()


def test_other_validation_data_cannot_be_probed_and_that_is_said(run, write_set, tmp_path):
    said, _ = resumed(run, data=write_set(tmp_path / "other", train=6, val=5, seed=3), epochs=3)
    assert "only the digests of its weights were compared" in said
