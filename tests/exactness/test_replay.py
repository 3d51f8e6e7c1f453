"""Does a replay prove what it says? Equal where nothing is wrong; the first step and tensor where something is."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import MachineError, ModelFileError
from peakmark.events import MicrobatchDone, Notice
from peakmark.record.folder import RunFolder
from peakmark.resume.replay import replay
from peakmark.run.weights import trained_model
from peakmark.train.step import Stepper

# Three windows an epoch.
WISHES = {
    "epochs": 3, "batch": 2, "nbs": 4, "warmup_epochs": 0, "mosaic": 0.7, "mixup": 0.5, "close_mosaic": 1,
    "multi_scale": 1.0, "save_interval": 0, "save_period": 1, "optimizer": "SGD",
}  # fmt: skip


def _ignore(event: object) -> None:
    pass


@pytest.fixture(scope="module")
def whole(train_in, tmp_path_factory):
    """A run with a file of each epoch; only read here."""
    return RunFolder(train_in(tmp_path_factory.mktemp("whole"), keep=1, **WISHES).save_dir)


def _files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_the_runs_own_past_comes_out_again(whole):
    before = _files(whole.path)
    events: list[object] = []
    done = replay(whole, steps=None, source=None, observe=events.append)
    assert (done.start.epoch, done.end.epoch) == (1, 2)
    assert done.equal, done.difference
    assert re.search(r"(best|epoch2)\.pt, as the run itself left it$", done.compared_with)
    assert done.steps == 3 == len(done.losses)
    # An epoch's last running mean is what the run has logged for it.
    assert repr(done.losses[-1]) == repr(read(whole.last).history.records[1].train)
    assert sum(isinstance(event, MicrobatchDone) for event in events) == 5
    assert _files(whole.path) == before


def test_steps_go_past_the_file_and_into_the_next_epoch(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = replay(whole, steps=5, source=whole.epoch_file(0), observe=_ignore)
    assert (done.equal, done.steps, done.end.epoch, done.end.images) == (True, 5, 2, 8)
    assert re.search(r"(best|epoch2)\.pt", done.compared_with)
    assert list(tmp_path.iterdir()) == [], "nothing is written, wherever it is called from"


def test_without_another_file_near_only_the_repetition_is_shown(whole):
    done = replay(whole, steps=2, source=whole.epoch_file(0), observe=_ignore)
    assert (done.equal, done.steps, done.difference) == (True, 2, None)
    assert "no other file of the run was kept near enough" in done.compared_with


def test_a_difference_between_two_computations_is_named(whole, monkeypatch):
    real, numbers = Stepper.attempt, iter(range(1000))

    def planted(self, *rest, **named):
        attempt = real(self, *rest, **named)
        if next(numbers) == 3:  # the second computation's second step
            self._parameters[7].data.view(-1)[5] += 1e-6
        return attempt

    monkeypatch.setattr(Stepper, "attempt", planted)
    name, _ = list(trained_model(read(whole.last)).named_parameters())[7]
    done = replay(whole, steps=2, source=whole.epoch_file(0), observe=_ignore)
    assert not done.equal
    assert done.difference is not None
    assert done.difference.startswith("At step 2 (epoch 2, 8 images taken) two computations differ: training weights: ")
    assert name in done.difference
    assert "differs in 1 of" in done.difference
    assert done.steps == 2


def test_a_file_that_the_run_can_not_have_left_is_named(whole, runs):
    run = RunFolder(shutil.copytree(whole.path, runs / "train"))
    later = read(run.epoch_file(1))
    files = [file for file in (run.best, run.epoch_file(1)) if read(file).weights_epoch == later.weights_epoch]
    save(dataclasses.replace(later, ema_updates=later.ema_updates - 1), *files)
    done = replay(run, steps=None, source=run.epoch_file(0), observe=_ignore)
    assert not done.equal
    assert done.difference is not None
    assert f"another state comes out than {files[0].name} holds: update count: is " in done.difference


def test_another_machine_is_said_first(whole, runs):
    run = RunFolder(shutil.copytree(whole.path, runs / "train"))
    first = read(run.epoch_file(0))
    save(dataclasses.replace(first, arithmetic={**first.arithmetic, "device_name": "an abacus"}), run.epoch_file(0))
    events: list[object] = []
    done = replay(run, steps=1, source=run.epoch_file(0), observe=events.append)
    assert done.equal
    assert any("an abacus" in why for why in done.inexact)
    assert isinstance(events[0], Notice)
    assert "an abacus" in events[0].text


def test_a_file_from_inside_an_epoch_lies_on_the_way(train, stop_at):
    stopped = train(**{**WISHES, "epochs": 2}, observer=stop_at(MicrobatchDone, 7))
    run = RunFolder(stopped.save_dir)
    assert read(run.last).position.images == 4
    done = replay(run, steps=4, source=None, observe=_ignore)
    assert done.equal, done.difference
    assert "last.pt, as the run itself left it" in done.compared_with
    # The run ends after three steps, its last validation included.
    assert (done.steps, done.end.epoch) == (3, 2)


def test_other_data_is_refused(train, stop_at, write_set, tmp_path):
    data = write_set(tmp_path / "set", train=6, val=2)
    run = train(data=data, observer=stop_at(MicrobatchDone, 3)).save_dir
    (tmp_path / "set/labels/train/03.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    with pytest.raises(MachineError, match="The train images or labels are not the ones"):
        replay(RunFolder(run), steps=1, source=None, observe=_ignore)


def test_where_no_step_is_left_it_is_said(whole, tmp_path):
    with pytest.raises(ModelFileError, match=r"last\.pt: the run is over there.*save_period=1"):
        replay(whole, steps=1, source=whole.last, observe=_ignore)
    with pytest.raises(ModelFileError, match="no step to make again"):
        replay(RunFolder(tmp_path), steps=1, source=None, observe=_ignore)
