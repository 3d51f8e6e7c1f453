"""Is a run that was stopped and resumed the same run? Bit for bit, wherever it was stopped and however often.

Each test is worth only as much as its opposite: where a part of the state is spoilt, the same comparison must fail.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from typing import Any

import pytest

from peakmark import YOLO, inspect
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.events import EpochEnded, EpochStarted, MicrobatchDone, Notice, RunStarted, ValidationProgress
from peakmark.record.unfinished import newest_unfinished

# Five microbatches an epoch: in windows of one and two of them while it warms up, then of two, two and one.
WISHES = {
    "epochs": 2, "batch": 2, "nbs": 4, "warmup_epochs": 1, "mosaic": 0.7, "mixup": 0.5, "close_mosaic": 1,
    "multi_scale": 1.0, "save_interval": 0,
}  # fmt: skip


def _ignore(event: object) -> None:
    pass


@pytest.fixture(scope="module")
def whole(train_in, tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("uninterrupted"), **WISHES).save_dir


@pytest.fixture(scope="module")
def uninterrupted(whole, facts):
    return facts(whole)


@pytest.fixture(scope="module")
def unspoilt(whole):
    """The four digests of the uninterrupted run's end."""
    return inspect(whole / "weights/last.pt")["digests"]


@pytest.fixture
def stopped(train, stop_at):
    """Trains until the n-th event of a kind, and gives the folder of the run that was stopped there."""

    def train_until(kind, number, **settings):
        results = train(observer=stop_at(kind, number), **{**WISHES, **settings})
        assert results.outcome == "interrupted"
        return results.save_dir

    return train_until


@pytest.mark.parametrize(
    ("kind", "number", "where"),
    [
        pytest.param(EpochStarted, 1, (0, 0, "train"), id="before the first image", marks=pytest.mark.slow),
        pytest.param(MicrobatchDone, 2, (0, 4, "train"), id="at a window's start"),
        pytest.param(MicrobatchDone, 8, (1, 4, "train"), id="inside a window"),
        pytest.param(MicrobatchDone, 5, (0, 10, "validate"), id="after the last image of an epoch"),
        pytest.param(ValidationProgress, 1, (0, 10, "validate"), id="in a validation"),
        pytest.param(EpochEnded, 1, (1, 0, "train"), id="at an epoch's end"),
        pytest.param(ValidationProgress, 4, (1, 10, "validate"), id="in the last validation", marks=pytest.mark.slow),
    ],
)
def test_a_stop_changes_nothing(stopped, facts, uninterrupted, kind, number, where):
    run = stopped(kind, number)
    position = read(run / "weights/last.pt").position
    assert (position.epoch, position.images, position.phase) == where
    assert YOLO().resume(run, observer=_ignore).outcome == "finished"
    assert facts(run) == uninterrupted


def test_a_chain_of_stops_with_other_numbers_of_workers(stopped, stop_at, facts, uninterrupted, monkeypatch):
    run = stopped(MicrobatchDone, 3, workers=1)
    for workers, (kind, number) in enumerate([(ValidationProgress, 1), (MicrobatchDone, 2), (MicrobatchDone, 2)]):
        for module in ("build", "open_data"):
            monkeypatch.setattr(f"peakmark.run.{module}.workers_of", lambda *_, count=workers: count)
        assert YOLO().resume(run, observer=stop_at(kind, number)).outcome == "interrupted"
    assert YOLO().resume(run, observer=_ignore).outcome == "finished"
    assert facts(run) == uninterrupted


def test_saving_inside_an_epoch_changes_nothing(train, facts, uninterrupted):
    run = train(**{**WISHES, "save_interval": 1e-6}).save_dir
    assert facts(run) == uninterrupted


def test_a_run_that_is_over_stays_as_it_is(whole, uninterrupted, runs, facts):
    run = shutil.copytree(whole, runs / "train")
    assert YOLO().resume(run / "weights/last.pt", observer=_ignore).outcome == "finished"
    assert facts(run) == uninterrupted


def test_patience_holds_where_the_run_was_killed_before_its_end(train, facts, monkeypatch):
    """Between the epoch that uses patience up and the end of the run lies a moment in which it can be killed."""
    impatient = {"epochs": 4, "patience": 1, "min_delta": 0.9, "lr0": 1e-5, "optimizer": "SGD", "val_period": 1}
    run = train(**impatient)
    assert run.outcome == "early_stopped"
    before = facts(run.save_dir)
    run.save_dir.joinpath("summary.json").unlink()
    again = YOLO().resume(run.save_dir, observer=_ignore)
    assert again.outcome == "early_stopped"
    assert facts(run.save_dir) == before


def test_a_signal_while_best_is_validated_again_is_heeded_and_completed_later(train, facts, uninterrupted, monkeypatch):
    """Whoever is to end the process may not wait for a large set: the run is done but for this last look."""
    from peakmark.validation.validation import validate_weights

    def ended_meanwhile(*given: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return validate_weights(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr("peakmark.run.end.end.validate_weights", ended_meanwhile)
        stopped = train(observer=_ignore, **WISHES)
    assert stopped.outcome == "interrupted"
    assert newest_unfinished(stopped.save_dir.parent) == stopped.save_dir
    assert YOLO().resume(stopped.save_dir, observer=_ignore).outcome == "finished"
    assert facts(stopped.save_dir) == uninterrupted


@pytest.mark.parametrize("left", [[], [".last.0.peakmark-part.pt"]])
def test_a_run_killed_in_its_first_save_starts_again(whole, runs, facts, uninterrupted, left):
    run = shutil.copytree(whole, runs / "train")
    for file in (run / "weights").iterdir():
        file.unlink()
    for name in left:
        (run / "weights" / name).write_bytes(b"half")
    YOLO().resume(run, observer=_ignore)
    assert facts(run) == uninterrupted


# --- opposites ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped_once(train_in, stop_at, tmp_path_factory):
    """A run that was stopped inside its second epoch; to be copied, not changed."""
    project = tmp_path_factory.mktemp("stopped")
    return train_in(project, observer=stop_at(MicrobatchDone, 8), **WISHES).save_dir


def _without_optimizer_state(checkpoint: Checkpoint) -> Checkpoint:
    return dataclasses.replace(checkpoint, optimizer={**checkpoint.optimizer, "state": {}})


def _with_ema_at_its_start(checkpoint: Checkpoint) -> Checkpoint:
    return dataclasses.replace(checkpoint, ema_updates=0)


def _with_moved_buffers(checkpoint: Checkpoint) -> Checkpoint:
    weights = {
        name: tensor + 0.01 if name.endswith("running_mean") else tensor
        for name, tensor in checkpoint.training_weights.items()
    }
    return dataclasses.replace(checkpoint, training_weights=weights)


def _with_another_seed(checkpoint: Checkpoint) -> Checkpoint:
    return dataclasses.replace(checkpoint, settings={**checkpoint.settings, "seed": 1})


def _one_window_further(checkpoint: Checkpoint) -> Checkpoint:
    further = dataclasses.replace(checkpoint.position, images=checkpoint.position.images + 4)
    return dataclasses.replace(checkpoint, position=further)


def _as_it_is(checkpoint: Checkpoint) -> Checkpoint:
    return checkpoint


@pytest.mark.parametrize(
    ("spoil", "differing"),
    [
        (_as_it_is, set()),
        (_without_optimizer_state, {"model", "training_weights", "optimizer", "everything"}),
        (_with_ema_at_its_start, {"model", "everything"}),
        (_with_moved_buffers, {"model", "training_weights", "everything"}),
        (_with_another_seed, {"model", "training_weights", "optimizer", "everything"}),
        (_one_window_further, {"model", "training_weights", "optimizer", "everything"}),
    ],
)
def test_a_spoilt_state_gives_another_run(stopped_once, unspoilt, runs, spoil, differing):
    run = shutil.copytree(stopped_once, runs / "train")
    last = run / "weights/last.pt"
    save(spoil(read(last)), last)
    if differing:
        with pytest.raises(SettingsError, match="nobody agreed"):
            YOLO().resume(run, observer=_ignore)
    YOLO().resume(run, observer=_ignore, yes=True)
    mine = inspect(last)["digests"]
    assert {name for name, digest in mine.items() if digest != unspoilt[name]} == differing


# --- what a resume refuses and says ---------------------------------------------------------------------------------


def test_other_data_is_refused(train, stop_at, write_set, tmp_path):
    data = write_set(tmp_path / "set", train=6, val=2)
    run = train(data=data, observer=stop_at(MicrobatchDone, 1)).save_dir
    (tmp_path / "set/labels/train/03.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    with pytest.raises(MachineError, match="The train images or labels are not the ones"):
        YOLO().resume(run, observer=_ignore)


def test_a_device_that_is_gone_is_said(stopped_once, runs):
    run = shutil.copytree(stopped_once, runs / "train")
    last = run / "weights/last.pt"
    elsewhere = read(last)
    save(dataclasses.replace(elsewhere, arithmetic={**elsewhere.arithmetic, "device": "cuda:7"}), last)
    with pytest.raises(MachineError, match=r"device=cuda:7: this machine has \d+ CUDA devices"):
        YOLO().resume(run, observer=_ignore)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match=r"this is no run; give a run's folder such as runs/detect/train"):
        YOLO().resume(tmp_path, observer=_ignore)


def test_a_damaged_last_is_passed_over_and_said(stopped_once, runs, facts, uninterrupted):
    run = shutil.copytree(stopped_once, runs / "train")
    last = run / "weights/last.pt"
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    events: list[Any] = []
    YOLO().resume(run, observer=events.append)
    notes = [note for event in events if isinstance(event, RunStarted) for note in event.notes]
    notes += [event.text for event in events if isinstance(event, Notice)]
    assert any(f"{last} is damaged" in note for note in notes)
    assert facts(run) == uninterrupted


def test_a_resume_needs_no_file_that_the_run_started_from(whole, train, stop_at, tmp_path):
    started_from = shutil.copy(whole / "weights/best.pt", tmp_path / "start.pt")
    run = train(**{**WISHES, "pretrained": str(started_from)}, observer=stop_at(MicrobatchDone, 8)).save_dir
    started_from.unlink()
    assert YOLO().resume(run, observer=_ignore).outcome == "finished"


def test_a_run_without_a_checkpoint_starts_from_its_settings(whole, runs, facts, uninterrupted):
    """As a kill before the first save leaves it."""
    run = shutil.copytree(whole, runs / "train")
    shutil.rmtree(run / "weights")
    for name in ("results.csv", "summary.json"):
        (run / name).unlink()
    assert newest_unfinished(runs) == run
    events: list[Any] = []
    YOLO().resume(run, observer=events.append)
    (started,) = (event for event in events if isinstance(event, RunStarted))
    assert any("starts from its settings.yaml" in note for note in started.notes)
    assert facts(run) == uninterrupted


def test_a_resume_draws_only_where_the_run_does(stopped_once, runs):
    run = shutil.copytree(stopped_once, runs / "train")
    YOLO().resume(run, observer=_ignore)
    assert list(run.glob("*.jpg")) == list(run.glob("*.png")) == []
