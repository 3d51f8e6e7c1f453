"""Do the choices that a user makes for a training come out in what it does, says and leaves behind?"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from peakmark import YOLO, inspect
from peakmark.checkpoint.reader import read
from peakmark.events import EpochEnded, EpochStarted, MicrobatchDone, RunEnded, RunStarted


def _only(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_without_validation_it_is_said_before_and_after_and_there_is_no_best(train):
    events: list[Any] = []
    results = train(val=False, observer=events.append)
    (started,), (ended,) = _only(RunStarted, events), _only(RunEnded, events)
    assert events[0] is started
    assert any("no epoch can be best and there will be no best.pt" in note for note in started.notes)
    assert started.val_images == 0
    assert "no epoch is best. Validate last.pt with: peakmark val model=" in ended.text
    assert str(results.last) in ended.text
    assert results.best is results.fitness is results.summary["best"] is None
    assert [path.name for path in results.last.parent.iterdir()] == ["last.pt"]
    # What it says to do works, and gives numbers.
    assert YOLO(results.last).val(project=results.save_dir, plots=False, observer=events.append).images == 19


def test_the_last_epoch_is_always_validated(train):
    events: list[Any] = []
    results = train(epochs=2, val_period=5, observer=events.append)
    assert any("only the last epoch is validated" in note for note in _only(RunStarted, events)[0].notes)
    assert [event.record.metrics is not None for event in _only(EpochEnded, events)] == [False, True]
    assert inspect(results.best)["epoch"] == 2


def test_patience_counts_epochs_without_a_better_one(train):
    events: list[Any] = []
    results = train(epochs=6, patience=2, min_delta=0.9, lr0=1e-6, stop_phase="now", observer=events.append)
    assert results.outcome == "early_stopped"
    assert [event.decision.patience_left for event in _only(EpochEnded, events)] == [2, 1, 0]
    assert "No better epoch came within patience=2 epochs" in _only(RunEnded, events)[0].text


def test_frozen_layers_stay_as_they_were_to_the_last_statistic(train, trained):
    start = read(trained[0].best).model
    results = train(model=trained[0].best, freeze=10, lr0=0.01, optimizer="SGD")
    end = read(results.last).training_weights
    frozen = {name for name in end if name.startswith("backbone.")}
    assert frozen
    for name, tensor in end.items():
        same = torch.equal(tensor, start[name])
        if name in frozen:
            assert same, name
        elif name.endswith(("conv.weight", "running_mean")):
            assert not same, name


def test_multi_scale_takes_multiples_of_32_around_imgsz(train):
    events: list[Any] = []
    train(imgsz=96, multi_scale=True, batch=2, observer=events.append)
    sides = {event.image_size_px for event in _only(MicrobatchDone, events)}
    assert len(sides) > 1
    assert sides <= {64, 96, 128}
    assert {event.image_size_px for event in _only(RunStarted, events)} == {96}


def test_one_class_is_made_of_all(train):
    results = train(single_cls=True)
    last = read(results.last)
    assert last.names == ("object",)
    found = YOLO(results.last).val(project=results.save_dir, plots=False, observer=lambda event: None)
    assert repr(dict(found.metrics)) == repr(last.metrics)
    assert found.truths_per_class == (found.truths,)


def test_a_fraction_of_the_images(train):
    events: list[Any] = []
    train(fraction=0.4, observer=events.append)
    (started,) = _only(RunStarted, events)
    assert (started.train_images, started.val_images) == (4, 19)


def test_mosaic_closes_at_the_end(train):
    events: list[Any] = []
    train(epochs=3, close_mosaic=1, observer=events.append)
    assert [event.mosaic for event in _only(EpochStarted, events)] == [True, True, False]


def test_out_of_time_is_no_end_but_a_pause(train):
    events: list[Any] = []
    results = train(time=1e-6, observer=events.append)
    assert results.outcome == "out_of_time"
    assert f"peakmark resume {results.save_dir} time=2e-06" in _only(RunEnded, events)[0].text
    assert read(results.last).position.epoch == 0
    # The time is the whole run's: what a resume has left is no more.
    assert YOLO().resume(results.save_dir, observer=lambda event: None).outcome == "out_of_time"


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW"])
def test_every_optimizer_trains_and_names_itself(train, optimizer):
    events: list[Any] = []
    results = train(optimizer=optimizer, lr0=0.002, epochs=1, observer=events.append)
    assert _only(RunStarted, events)[0].optimizer.startswith(
        f"{optimizer}, lr0 0.002, momentum 0.937, an update every 8 images (as set)"
    )
    assert results.outcome == "finished"


def test_auto_says_its_rule_and_an_explicit_rate_beats_it(train):
    events: list[Any] = []
    train(lr0=0.0005, momentum=0.8, epochs=1, observer=events.append)
    text = _only(RunStarted, events)[0].optimizer
    assert text.startswith(
        "AdamW, lr0 0.0005, momentum 0.8, an update every 8 images (auto: about 2 updates, under 10000)"
    )


def test_freed_memory_is_kept_by_a_run_that_begins_and_by_one_that_goes_on(train, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr("peakmark.run.build.keep_freed_memory", lambda: asked.append("once"))
    results = train(epochs=1, val=False)
    assert len(asked) == 1
    YOLO().resume(results.save_dir, epochs=2, observer=lambda event: None)
    assert len(asked) == 2
