"""What the journal tells a logger: each epoch once, names that all of them take, no number that is none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from peakmark.events import EpochEnded as Ended
from peakmark.events import Event, RunEnded, RunStarted
from peakmark.loggers.story import metric_name, read_story
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import Decision, EpochRecord, Position
from peakmark.record.journal import Journal, mark_superseded, read

START = RunStarted(Path("runs/a"), "yolov8n", 3, ("cat", "dog"), 8, 4, 2, 64, Position(), "cpu", "float32", 1, "AdamW")


def ended(epoch: int, fitness: float, **metrics: float) -> Ended:
    record = EpochRecord(
        epoch, 0, 1, 8, Losses(1.0, 2.0, 3.0), (0.1, 0.2, 0.3), {"map50": fitness, **metrics},
        validation=Losses(4.0, 5.0, 6.0), fitness=fitness,
    )  # fmt: skip
    return Ended(record, Decision(epoch, True, epoch, fitness, False, False, None, "why"), 3)


def over() -> RunEnded:
    return RunEnded(Path("runs/a"), "finished", Position(2), 1, 0.5, None, "All epochs are done.", False)


def written(path: Path, *events: Event) -> list[dict[str, Any]]:
    journal = Journal(path)
    for event in events:
        journal(event)
    return read(path)


def test_what_an_epoch_tells(tmp_path):
    lines = written(tmp_path / "journal.jsonl", START, ended(0, 0.25, map_small=math.nan))
    (point,) = read_story(lines).points
    assert (point.number, point.epoch) == (0, 1)
    assert point.values == {
        "train/box_loss": 1.0, "train/cls_loss": 2.0, "train/dfl_loss": 3.0,
        "val/box_loss": 4.0, "val/cls_loss": 5.0, "val/dfl_loss": 6.0,
        "metrics/mAP50": 0.25, "lr/pg0": 0.1, "lr/pg1": 0.2, "lr/pg2": 0.3,
        "fitness": 0.25, "best_epoch": 1.0, "best_fitness": 0.25,
    }  # fmt: skip
    assert read_story(lines).ending is None
    assert read_story(lines).facts["class_names"] == "cat, dog"


def test_names_that_every_logger_takes():
    assert metric_name("metrics/mAP50-95(B)") == "metrics/mAP50-95"
    assert metric_name("metrics/mAP50-95(small)") == "metrics/mAP50-95_small"


def test_an_epoch_that_a_resume_repeats_is_one_point_and_another_one_is_another(tmp_path):
    path = tmp_path / "journal.jsonl"
    written(path, START, ended(0, 0.25), ended(1, 0.5))
    before = read_story(read(path)).points
    mark_superseded(path, Position(1))
    written(path, START, ended(1, 0.5))
    assert read_story(read(path)).points == before
    mark_superseded(path, Position(1))
    lines = written(path, START, ended(1, 0.75), over())
    points = read_story(lines).points
    assert points[:2] == before, "what was sent once keeps its number"
    assert [(point.number, point.epoch, point.values["fitness"]) for point in points[2:]] == [(2, 2, 0.75)]
    ending = read_story(lines).ending
    assert ending is not None
    assert (ending.outcome, ending.best_epoch) == ("finished", 2)


def test_a_run_that_goes_on_after_its_end_has_not_ended(tmp_path):
    assert read_story(written(tmp_path / "journal.jsonl", START, over(), START)).ending is None
