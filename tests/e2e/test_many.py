"""Searching, seeds and folds on a tiny set: stopped and resumed, the same in the end, and what they leave."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import CHEAP

import peakmark
from peakmark import folds, seeds, tune
from peakmark.api.many.tune import Tuned
from peakmark.cli.main import app
from peakmark.errors import ModelFileError, SettingsError
from peakmark.events import EpochEnded, Event, RunEnded

TINY = {**CHEAP, "epochs": 1}


def quiet(event: Event) -> None:
    pass


class Killed(BaseException):
    """No Exception, as a kill isn't."""


def killed_after(runs: int) -> Callable[[Event], None]:
    """Kills in the epoch of a run after so many whole ones."""
    ended = 0

    def observe(event: Event) -> None:
        nonlocal ended
        ended += isinstance(event, RunEnded)
        if isinstance(event, EpochEnded) and ended == runs:
            raise Killed

    return observe


def trials(tuned: Tuned) -> list[Any]:
    return sorted((each.number, dict(each.settings), each.fitness) for each in tuned.trials)


def test_a_search_that_is_killed_ends_as_one_that_was_not(tiny_data, runs):
    asked = {**TINY, "data": tiny_data, "project": runs, "trials": 1, "repeat": 1, "space": "lr0=1e-4..1e-2 log"}
    with pytest.raises(Killed):
        tune(observer=killed_after(0), **asked)
    again = tune(resume=runs / "tune", observer=quiet)
    whole = tune(observer=quiet, **asked)
    assert trials(again) == trials(whole)
    assert again.done
    assert whole.lead is not None
    assert again.lead is not None
    assert again.lead.value == whole.lead.value
    assert again.best is not None
    assert again.best.run == again.folder / f"trial{again.best.number:04d}"
    assert "With one other seed it is" in again.text
    settings = yaml.safe_load((again.folder / "winner.yaml").read_text())
    assert settings["lr0"] == again.best.settings["lr0"]
    assert settings["epochs"] == 1
    told = json.loads((again.folder / "tune.json").read_text())
    assert told["text"] == again.text


@pytest.mark.parametrize("pruned", [True, False])
def test_a_trial_that_is_given_up_or_stopped(tiny_data, runs, monkeypatch, pruned):
    """Optuna gives it up in its first epoch and the study goes on; or a Ctrl-C stops it, and it stays open."""
    ended: list[Any] = []

    def observe(event: Event) -> None:
        ended.extend([event] if isinstance(event, RunEnded) else [])
        if isinstance(event, EpochEnded) and not pruned and event.record.epoch == 0:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("optuna.Trial.should_prune", lambda trial: pruned)
    asked = {**TINY, "epochs": 3, "trials": 1, "repeat": 0, "pruner": "median", "space": "mosaic=0..1"}
    found = tune(tiny_data, project=runs, observer=observe, **asked)
    assert [event.outcome for event in ended] == ["interrupted"]
    assert [each.state for each in found.trials] == ["pruned" if pruned else "running"]
    assert found.done == pruned
    assert ("No trial came to its end" if pruned else f"peakmark tune resume={found.folder}") in found.text


def test_mistakes_of_a_search_are_told_before_a_folder_is_made(tiny_data, runs):
    asked = {**TINY, "data": tiny_data, "project": runs}
    for wrong, says in (
        ({"space": "mosaic=0..7"}, "mosaic=7"),
        ({"val": False}, "val=False"),
        ({"trials": 0}, "trials=0"),
        ({"fitness": max}, "function in Python"),
        ({"exist_ok": True}, "exist_ok: a group never takes"),
        ({"processes": 2}, "train with one process each"),
        ({"device": "0,1"}, "train with one process each"),
    ):
        with pytest.raises(SettingsError, match=says):
            tune(observer=quiet, **{**asked, **wrong})
    assert not runs.exists()
    with pytest.raises(ModelFileError, match=r"asked\.json"):
        tune(resume=runs, observer=quiet)


def test_seeds_that_are_stopped_and_resumed(tiny_data, runs, capsys):
    with pytest.raises(Killed):
        seeds(tiny_data, n=2, project=runs, observer=killed_after(1), **TINY)
    with pytest.raises(SettingsError, match="lr0: what is resumed keeps its settings"):
        seeds(resume=runs / "seeds", lr0=0.5, observer=quiet)
    with pytest.raises(SystemExit) as ended:
        app(["seeds", f"resume={runs / 'seeds'}"])
    assert ended.value.code == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("seed1", "mean", "deviation", "a single run lies", f"{runs / 'seeds'}"))
    found = seeds(resume=runs / "seeds", observer=quiet)
    assert found.done
    assert [run.name for run in found.runs] == ["seed0", "seed1"]
    values = [run.fitness for run in found.runs]
    assert found.spread["fitness"].value == pytest.approx(sum(values) / 2)
    assert found.deviations["fitness"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    with pytest.raises(SettingsError, match="the seeds are 0 to n - 1"):
        seeds(tiny_data, seed=3, observer=quiet)
    with pytest.raises(SettingsError, match="time: a training that it ends"):
        seeds(tiny_data, time=1, observer=quiet)


def test_a_trial_that_has_no_fitness_in_any_epoch_fails_and_the_search_goes_on(tiny_data, runs):
    asked = {**TINY, "project": runs, "trials": 1, "repeat": 0, "space": "lr0=1e-4..1e-2 log"}
    found = tune(tiny_data, observer=quiet, fitness="map50 / (map50 - map50)", **asked)
    assert [each.state for each in found.trials] == ["fail"]
    assert found.done
    assert "No trial came to its end" in found.text


def test_every_image_is_held_out_once(tiny_data, runs):
    found = folds(tiny_data, k=2, project=runs, observer=quiet, **TINY)
    assert [run.name for run in found.runs] == ["fold1", "fold2"]
    seen = json.loads((found.folder / "out-of-fold.json").read_text())["images"]
    files = sorted(image["file"] for image in seen)
    assert files == sorted(str(path) for path in (tiny_data.parent / "images").rglob("*.png"))
    for number in (1, 2):
        lists = {
            split: set((found.folder / f"data/fold{number}/{split}.txt").read_text().splitlines())
            for split in ("train", "val")
        }
        held_out = {image["file"] for image in seen if image["held_out_in"] == f"fold{number}"}
        assert lists["val"] == held_out
        assert lists["train"] == set(files) - held_out
    assert (found.folder / "audit.html").is_file()


def test_the_model_says_where_the_search_is():
    with pytest.raises(AttributeError, match=r"peakmark\.tune\("):
        peakmark.YOLO().tune()


def test_a_file_of_another_kind_is_no_group(tmp_path: Path):
    (tmp_path / "asked.json").write_text("[]")
    with pytest.raises(ModelFileError, match=r"asked\.json"):
        folds(resume=tmp_path, observer=quiet)
