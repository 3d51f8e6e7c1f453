"""Does `val` of a file give the numbers that the log gave, to the last digit, however its images are grouped?"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest

from peakmark import YOLO, inspect
from peakmark.checkpoint.reader import read
from peakmark.events import EpochEnded, MicrobatchDone

WAYS = [(batch, workers) for batch in (1, 7, 16) for workers in (0, 2)]


@pytest.fixture(scope="module")
def logged(trained):
    """The records of the validated epochs, by number."""
    _, events = trained
    records = [event.record for event in events if isinstance(event, EpochEnded)]
    return {record.epoch: record for record in records if record.metrics is not None}


@pytest.mark.parametrize(
    ("name", "batch", "workers"),
    [*((name, *way) for name in ("best.pt", "last.pt") for way in WAYS), ("epoch10.pt", 4, 1)],
)
def test_val_gives_the_logged_numbers(trained, logged, runs, name, batch, workers):
    file = trained[0].save_dir / "weights" / name
    record = logged[inspect(file)["epoch"] - 1]
    found = YOLO(file).val(batch=batch, workers=workers, project=runs, plots=False, observer=lambda event: None)
    # As text: a NaN, for a size of object that does not occur, equals itself there, and -0.0 is not 0.0.
    assert repr(dict(found.metrics)) == repr(dict(record.metrics))
    assert repr(dict(found.per_class)) == repr(dict(record.per_class))
    assert repr(found.losses) == repr(record.validation)


def test_a_published_size_repeats_the_log_too(train, runs):
    """Its channels are many times as wide, and oneDNN takes other ways for them."""
    results = train(model="yolov8n.yaml", epochs=1, imgsz=64)
    found = YOLO(results.best).val(batch=7, project=runs, plots=False, observer=lambda event: None)
    assert repr(dict(found.metrics)) == repr(dict(results.metrics))
    (record,) = read(results.best).history.records
    assert repr(found.losses) == repr(record.validation)


def test_there_is_something_to_repeat(trained, logged):
    results, _ = trained
    assert results.fitness > 0.02
    assert inspect(results.last)["validated"]
    assert len({repr(record.metrics["map50_95"]) for record in logged.values()}) > 1
    losses = dataclasses.astuple(logged[max(logged)].validation)
    assert all(loss > 0 for loss in losses)


def test_every_place_tells_the_same_numbers(trained, logged, peakmark, runs: Path):
    results, _ = trained
    best = inspect(results.best)
    metrics = logged[best["epoch"] - 1].metrics
    with open(results.save_dir / "results.csv", newline="") as table:
        row = next(row for row in csv.DictReader(table) if row["best"] == "1")
    assert row["epoch"] == str(best["epoch"])
    assert float(row["metrics/mAP50-95(B)"]) == best["fitness"] == results.fitness == metrics["map50_95"]
    assert repr(best["metrics"]) == repr(dict(metrics)) == repr(dict(results.metrics))
    ended = peakmark("val", f"model={results.best}", "batch=3", "plots=False", cwd=runs.parent)
    assert ended.returncode == 0, ended.stderr
    for name, value in metrics.items():
        assert any(line.split() == [name, repr(value)] for line in ended.stdout.splitlines()), name
    assert "COCO" in ended.stdout


def test_last_inside_an_epoch_carries_no_numbers(train, stop_at):
    results = train(observer=stop_at(MicrobatchDone, 4))
    last = inspect(results.last)
    assert not last["validated"]
    assert last["metrics"] is None
    assert last["fitness"] is None
    assert last["next"] == {"epoch": 2, "phase": "train", "images_done": 4}
