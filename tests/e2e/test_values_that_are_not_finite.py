"""What happens when a loss is NaN? The update is left out and harms nothing; a few in a row end the run, whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.cli.main import app
from peakmark.errors import TrainingError
from peakmark.events import EpochEnded, EpochStarted, RunEnded, StepSkipped
from peakmark.machine.stopping import StopRequest

# Without warm-up, so that the first window has two microbatches of two images.
WISHES = {"batch": 2, "nbs": 4, "warmup_epochs": 0, "save_interval": 0}


def _ignore(event: object) -> None:
    pass


def test_one_is_skipped_told_and_the_run_goes_on(train, plant_nan, tiny_data):
    plant_nan({6})
    events: list[Any] = []
    results = train(**WISHES, observer=events.append)
    assert results.outcome == "finished"
    (skipped,) = (event for event in events if isinstance(event, StepSkipped))
    assert (skipped.epoch, skipped.what, skipped.in_a_row) == (1, "the loss", 1)
    assert len(skipped.files) == 2
    assert all(file.startswith(str(tiny_data.parent / "images/train")) for file in skipped.files)
    assert [event.record.skipped_steps for event in events if isinstance(event, EpochEnded)] == [0, 1]
    last = read(results.last)
    assert last.counters == {"skipped_in_a_row": 0, "skipped_steps": 1}
    for name, tensor in (last.training_weights | last.model).items():
        assert bool(torch.isfinite(tensor).all()), name


def test_weights_buffers_optimizer_and_average_are_unharmed(train, plant_nan, monkeypatch):
    """The first microbatch of the window has moved the norms' statistics when the second turns out to be NaN."""

    def state_when(kind: type) -> Any:
        asked: list[Any] = []
        monkeypatch.setattr(StopRequest, "reason", property(lambda self: "interrupted" if asked else None))

        def observe(event: Any) -> None:
            if isinstance(event, kind):
                asked.append(event)

        return read(train(**WISHES, observer=observe).last)

    before = state_when(EpochStarted)
    plant_nan({1})
    after = state_when(StepSkipped)
    assert (before.position.images, before.position.step) == (0, 0)
    assert (after.position.images, after.position.step) == (4, 1)
    for part in ("training_weights", "model"):
        for name, tensor in getattr(before, part).items():
            assert torch.equal(tensor, getattr(after, part)[name]), (part, name)
    assert after.optimizer["state"] == {}
    assert after.ema_updates == 0


def test_many_in_a_row_end_the_run_and_last_pt_can_be_gone_on_with(train, plant_nan, monkeypatch):
    plant_nan(range(6, 100))
    events: list[Any] = []
    with pytest.raises(TrainingError, match=r"3 updates in a row were not finite \(the loss, epoch 2, images "):
        train(**WISHES, epochs=3, observer=events.append)
    assert [event.in_a_row for event in events if isinstance(event, StepSkipped)] == [1, 2, 3]
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    assert ended.outcome == "not_finite"
    summary = json.loads((ended.folder / "summary.json").read_text())
    assert summary["outcome"] == "not_finite"
    last = read(ended.folder / "weights/last.pt")
    assert (last.position.epoch, last.position.phase) == (1, "train")
    monkeypatch.undo()
    assert YOLO().resume(ended.folder, observer=_ignore).outcome == "finished"


def test_the_command_ends_with_4_and_names_the_images(tiny_data, runs, plant_nan, capsys):
    plant_nan(range(100))
    words = [f"{name}={value}" for name, value in {**WISHES, "imgsz": 32, "epochs": 2, "plots": False}.items()]
    with pytest.raises(SystemExit) as ended:
        app(["train", f"data={tiny_data}", f"project={runs}", *words])
    assert ended.value.code == 4
    assert read(runs / "train/weights/last.pt").ema_updates == 0
    told = capsys.readouterr()
    assert "3 updates in a row were not finite (the loss, epoch 1, images" in told.err
    assert "Update skipped in epoch 1 after 4 images: the loss. Nothing was harmed. Images: " in told.out
    assert "Traceback" not in told.err
