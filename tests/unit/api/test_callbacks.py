"""Callbacks: called under the names of the field, in its order, once each, with what people read off a trainer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from peakmark.api.model.callbacks import NAMES, Callbacks
from peakmark.errors import SettingsError
from peakmark.events import (
    CheckpointSaved,
    EpochEnded,
    EpochStarted,
    Event,
    MicrobatchDone,
    Notice,
    RunEnded,
    RunStarted,
    ValidationProgress,
)
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import Decision, EpochRecord, History, Position

METRICS = {"map50_95": 0.25, "map50": 0.5, "precision": 0.75, "recall": 0.125}


def started(folder: Path, epoch: int = 0) -> RunStarted:
    return RunStarted(
        folder, "yolov8n", 3, ("cat", "dog"), 8, 4, 2, 64, Position(epoch), "cpu", "float32", 1, "AdamW (auto)"
    )


def ended(epoch: int, *, validated: bool = True) -> EpochEnded:
    record = EpochRecord(
        epoch, 0, 1, 8, Losses(1.0, 2.0, 3.0), (0.1, 0.2, 0.3), METRICS if validated else None,
        validation=Losses(4.0, 5.0, 6.0) if validated else None, fitness=0.25 if validated else None,
    )  # fmt: skip
    return EpochEnded(record, Decision(epoch, validated, 0, 0.25, False, False, None, "why"), 2)


def epoch_of(number: int, *, validated: bool = True) -> list[Event]:
    progress: list[Event] = [ValidationProgress(number, done, 4) for done in (2, 4)] if validated else []
    microbatches = [MicrobatchDone(number, 2, done, 8, Losses(1.0, 2.0, 3.0), 1, 64, 0) for done in (4, 8)]
    return [EpochStarted(number, 2, 8, True), *microbatches, *progress, ended(number, validated=validated)]


def over(folder: Path) -> RunEnded:
    return RunEnded(folder, "finished", Position(2), 0, 0.25, METRICS, "done", False)


def _note(calls: list[str], name: str, view: Any) -> None:
    calls.append(name)


def calls_of(events: list[Event]) -> list[str]:
    calls: list[str] = []
    callbacks = Callbacks()
    for name in NAMES:
        callbacks.add(name, partial(_note, calls, name))
    watch = callbacks.watching(lambda event: None)
    for event in events:
        watch(event)
    return calls


START = ["on_pretrain_routine_end", "on_train_start"]
EPOCH = ["on_train_epoch_start", "on_train_batch_end", "on_train_batch_end", "on_train_epoch_end"]
VALIDATION = ["on_val_start", "on_val_batch_end", "on_val_batch_end", "on_val_end"]
END = ["on_train_end", "teardown"]


def test_a_run_calls_the_names_of_the_field_in_their_order(tmp_path):
    saved = CheckpointSaved(("last.pt",), Position(1), 10)
    # After the last epoch averages are validated: that is no epoch's validation.
    averages: list[Event] = [ValidationProgress(1, 4, 4), over(tmp_path)]
    events = [started(tmp_path), *epoch_of(0), saved, *epoch_of(1), *averages]
    whole_epoch = [*EPOCH, *VALIDATION, "on_fit_epoch_end"]
    assert calls_of(events) == [*START, *whole_epoch, "on_model_save", *whole_epoch, *END]


def test_an_epoch_without_validation_ends_once(tmp_path):
    events = [started(tmp_path), *epoch_of(0, validated=False), over(tmp_path)]
    assert calls_of(events) == [*START, *EPOCH, "on_fit_epoch_end", *END]


def test_a_run_that_is_resumed_before_a_validation_ends_that_epoch(tmp_path):
    events: list[Event] = [
        started(tmp_path, 1),
        ValidationProgress(1, 2, 4),
        ValidationProgress(1, 4, 4),
        ended(1),
        over(tmp_path),
    ]
    assert calls_of(events) == [*START, "on_train_epoch_end", *VALIDATION, "on_fit_epoch_end", *END]


def test_a_validation_by_itself(tmp_path):
    seen: list[Any] = []
    callbacks = Callbacks()
    callbacks.add("on_val_start", lambda view: seen.append("start"))
    callbacks.add("on_val_end", lambda view: seen.append((view.metrics, view.fitness, view.save_dir)))
    watch = callbacks.watching(seen.append)
    progress = ValidationProgress(0, 4, 4)
    watch(progress)
    figures = {"metrics/mAP50(B)": 0.5, "fitness": 0.25}
    watch.validated(figures, tmp_path)
    assert seen == [progress, "start", (figures, 0.25, tmp_path)]


def test_what_people_read_off_a_trainer(tmp_path):
    (tmp_path / "settings.yaml").write_text("epochs: 2  # given\nbatch: 4  # given\nlr0: null  # default\n")
    views: list[dict[str, Any]] = []
    read = (
        "epoch", "epochs", "start_epoch", "save_dir", "best", "last", "names", "metrics", "lr", "fitness",
        "best_fitness", "tloss", "stop", "device", "batch_size",
    )  # fmt: skip
    callbacks = Callbacks()
    callbacks.add("on_fit_epoch_end", lambda trainer: views.append({name: getattr(trainer, name) for name in read}))
    callbacks.add("on_fit_epoch_end", lambda trainer: views.append(vars(trainer.args)))
    callbacks.add("on_fit_epoch_end", lambda trainer: views.append(trainer.label_loss_items(trainer.tloss)))
    watch = callbacks.watching(lambda event: None)
    for event in (started(tmp_path), *epoch_of(0)):
        watch(event)
    assert views[0] == {
        "epoch": 0, "epochs": 2, "start_epoch": 0, "save_dir": tmp_path, "best": tmp_path / "weights/best.pt",
        "last": tmp_path / "weights/last.pt", "names": {0: "cat", 1: "dog"},
        "metrics": {
            "metrics/precision(B)": 0.75, "metrics/recall(B)": 0.125, "metrics/mAP50(B)": 0.5,
            "metrics/mAP50-95(B)": 0.25, "val/box_loss": 4.0, "val/cls_loss": 5.0, "val/dfl_loss": 6.0,
        },
        "lr": {"lr/pg0": 0.1, "lr/pg1": 0.2, "lr/pg2": 0.3}, "fitness": 0.25, "best_fitness": 0.25,
        "tloss": (1.0, 2.0, 3.0), "stop": False, "device": "cpu", "batch_size": 4,
    }  # fmt: skip
    assert views[1] == {"epochs": 2, "batch": 4, "lr0": None}
    assert views[2] == {"train/box_loss": 1.0, "train/cls_loss": 2.0, "train/dfl_loss": 3.0}


def test_events_themselves_and_several_functions_in_their_order(tmp_path):
    seen: list[Any] = []
    callbacks = Callbacks()
    callbacks.add(EpochEnded, lambda event: seen.append(("first", event.record.epoch)))
    callbacks.add(EpochEnded, lambda event: seen.append(("second", event.decision.is_best)))
    callbacks.add(RunEnded, seen.append)
    callbacks.clear(RunEnded)
    watch = callbacks.watching(lambda event: None)
    for event in (started(tmp_path), *epoch_of(0), over(tmp_path)):
        watch(event)
    assert seen == [("first", 0), ("second", True)]


def test_a_function_that_fails_is_told_once_and_at_the_end_how_often(tmp_path):
    told: list[Any] = []
    callbacks = Callbacks()
    called: list[int] = []
    callbacks.add("on_train_epoch_start", lambda view: view.weather)
    callbacks.add("on_train_epoch_start", lambda view: called.append(view.epoch))
    watch = callbacks.watching(told.append)
    for event in (started(tmp_path), *epoch_of(0), *epoch_of(1), over(tmp_path)):
        watch(event)
        watch.hooks(event, History(), told.append, None)
    notices = [event for event in told if isinstance(event, Notice)]
    assert called == [0, 1], "those that were registered after it are called"
    assert [notice.serious for notice in notices] == [True, True]
    assert "The callback <lambda> of on_train_epoch_start failed: A callback can't read 'weather'" in notices[0].text
    assert "What there is: args, batch_size, best," in notices[0].text
    assert notices[1].text.endswith("failed 2 times in this run.")


def test_an_observer_that_fails_is_told_on_the_screen(tmp_path, capsys):
    def observe(event: Event) -> None:
        raise ZeroDivisionError("mine")

    journal: list[Any] = []
    watch = Callbacks().watching(observe)
    for event in (started(tmp_path), *epoch_of(0)):
        watch(event)
        watch.hooks(event, History(), journal.append, None)
    assert len(journal) == 1
    assert capsys.readouterr().err.count("observer= failed: mine (ZeroDivisionError") == 1


@pytest.mark.parametrize("stops", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_run_is_no_failure(tmp_path, stops):
    def stop(view: Any) -> None:
        raise stops

    callbacks = Callbacks()
    callbacks.add("on_train_start", stop)
    with pytest.raises(stops):
        callbacks.watching(lambda event: None)(started(tmp_path))


def test_a_callback_can_set_nothing(tmp_path):
    def end_early(view: Any) -> None:
        view.stop = True

    told: list[Any] = []
    callbacks = Callbacks()
    callbacks.add("on_train_start", end_early)
    watch = callbacks.watching(told.append)
    watch(started(tmp_path))
    watch.hooks.tell_what_is_owed(watch)
    assert "can't be set" in told[-1].text
    assert "patience=" in told[-1].text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("on_fit_epoch_ends", "Did you mean on_fit_epoch_end?"),
        ("on_tea_time", "there is no such event. Names: on_pretrain"),
        ("on_predict_batch_end", "stream=True"),
        ("on_export_end", "gives back what it has written"),
        ("on_train_batch_start", "on_train_batch_end"),
        (Path, "class of an event"),
    ],
)
def test_an_unknown_name_is_refused(name, words):
    with pytest.raises(SettingsError) as refused:
        Callbacks().add(name, print)
    assert words in str(refused.value)


def test_what_is_no_function_is_refused():
    with pytest.raises(SettingsError, match="'print' is no function"):
        Callbacks().add("on_train_end", "print")  # type: ignore[arg-type]
