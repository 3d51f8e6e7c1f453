"""Does a run choose its best by the fitness that it was asked for, and does it say so wherever it is written down?"""

from __future__ import annotations

import json
import types
from typing import Any

import pytest
import yaml

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.errors import PeakmarkError, SettingsError
from peakmark.events import EpochEnded, RunStarted

LEARNS = {"optimizer": "AdamW", "lr0": 0.005, "warmup_epochs": 0, "nbs": 4, "scale": 0.2, "imgsz": 64, "epochs": 4}


def cautious(metrics: Any) -> float:
    return float(metrics["map50"] - 0.1 * abs(metrics["recall[red]"] - metrics["recall[light]"]))


def other_one(metrics: Any) -> float:
    return float(metrics["map50"])


def _ignore(event: object) -> None:
    pass


def fitness_of(run: Any) -> list[Any]:
    return [record.fitness for record in read(run / "weights/last.pt").history.records]


@pytest.fixture(scope="module")
def by_function(train_in, trained, tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("function"), fitness=cautious, model=trained[0].best, **LEARNS)


def test_a_function_judges_every_epoch_and_what_it_said_is_written_down(by_function):
    records = read(by_function.last).history.records
    for record in records:
        assert record.metrics is not None
        assert record.per_class is not None
        light, red = record.per_class["recall"]
        assert record.fitness == record.metrics["map50"] - 0.1 * abs(red - light)
    best = by_function.summary["best"]
    assert best["fitness"] == max(fitness_of(by_function.save_dir))
    assert by_function.summary["fitness"] == "function cautious (COCO protocol)"
    assert yaml.safe_load((by_function.save_dir / "settings.yaml").read_text())["fitness"] == "function cautious"
    assert by_function.summary["certainty"]["fitness"]["standard_error"] > 0


def test_a_resume_without_the_function_is_refused_and_with_it_goes_on(by_function, peakmark):
    run = by_function.save_dir
    before = (run / "weights/last.pt").read_bytes()
    told = peakmark("resume", str(run), "epochs=5", cwd=run)
    assert told.returncode == 2
    assert "a Python function, which no file can hold; give it again in Python (fitness=cautious)" in told.stderr
    # Another function under the same name gives other values for what is recorded.
    impostor = types.FunctionType(other_one.__code__, globals())
    impostor.__qualname__ = "cautious"
    with pytest.raises(SettingsError, match=r"where .* is recorded; this is another function"):
        YOLO().resume(run, observer=_ignore, epochs=5, fitness=impostor)
    assert (run / "weights/last.pt").read_bytes() == before
    events: list[Any] = []
    resumed = YOLO().resume(run, observer=events.append, epochs=5, fitness=cautious, probe="quick")
    assert len(fitness_of(run)) == 5
    assert len(read(resumed.last).history.segments) == 2
    # By another one all epochs are judged again.
    YOLO().resume(run, observer=_ignore, epochs=6, fitness=other_one, probe="quick")
    for record in read(resumed.last).history.records:
        assert record.metrics is not None
        assert record.fitness == record.metrics["map50"]


def test_a_function_that_misspells_a_name_is_refused_before_anything_is_trained(train, runs):
    with pytest.raises(SettingsError, match="the function can't judge an epoch \\(KeyError: 'mAP'\\)"):
        train(fitness=lambda metrics: metrics["mAP"])
    assert not runs.exists()


def test_a_function_that_fails_later_costs_no_epoch(train):
    calls = []

    def fails_in_the_second_epoch(metrics: Any) -> float:
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError("of mine")
        return float(metrics["map50"])

    with pytest.raises(PeakmarkError, match="ZeroDivisionError: of mine"):
        train(fitness=fails_in_the_second_epoch)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ("recall[blue]", "recall[blue] is of no class of the data; they are light, red"),
        ("map_large", "the validation set has no truths for map_large"),
        ("mapp50", "names 'mapp50', which is no metric; the nearest one is map50"),
        ("function gone", "give it again in Python (fitness=gone)"),
    ],
)
def test_what_no_epoch_could_be_judged_by_is_refused_before_anything_is_trained(train, runs, wish, says):
    with pytest.raises(SettingsError) as caught:
        train(fitness=wish)
    assert says in str(caught.value)
    assert not runs.exists()


def test_a_condition_is_read_along_the_confidences_and_judged_again_from_evidence(train, trained):
    wish = "precision where recall >= 0.2"
    events: list[Any] = []
    results = train(fitness=wish, observer=events.append, model=trained[0].best, **LEARNS)
    ended = [event for event in events if isinstance(event, EpochEnded)]
    values: list[Any] = [event.record.fitness for event in ended]
    assert results.fitness == max(values)
    confidence = results.summary["certainty"]["confidence"]
    assert f"It reaches this at a confidence of {confidence:g}: predict with" in results.summary["certainty"]["text"]
    assert json.loads((results.save_dir / "summary.json").read_text())["fitness"] == f"{wish} (COCO protocol)"
    # What a resume with the same wish as a change computes from the evidence is what the run had computed.
    YOLO().resume(results.save_dir, observer=_ignore, fitness="map50", probe="quick", epochs=5)
    YOLO().resume(results.save_dir, observer=_ignore, fitness=wish, probe="quick", epochs=6)
    assert fitness_of(results.save_dir)[:4] == values


def test_an_epoch_whose_evidence_is_gone_is_not_judged_by_it(train):
    results = train(**LEARNS)
    (results.save_dir / "evidence/epoch2.npz").unlink()
    (results.save_dir / "evidence/epoch3.npz").write_bytes(b"damaged")
    events: list[Any] = []
    wish = "precision where recall >= 0.1"
    YOLO().resume(results.save_dir, observer=events.append, fitness=wish, probe="quick", epochs=5)
    first, second, third, *rest = fitness_of(results.save_dir)
    assert second is None
    assert third is None
    assert None not in (first, *rest)
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    assert any(f"What fitness={wish} needs of epochs 2, 3 was not kept" in note for note in started.notes)
