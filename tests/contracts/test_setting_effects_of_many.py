"""Has every setting of tune, seeds, folds and log an effect? Shown with trainings that a formula stands in for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import peakmark
from peakmark.api.many.group import Group
from peakmark.events import Notice
from peakmark.settings.description import describe
from peakmark.settings.fields import FoldsSettings, LogSettings, SeedsSettings, Settings, TuneSettings

Ask = Callable[..., Any]
SPACE = "lr0=1e-4..1e-2 log"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every training is done at once, and is better with a higher rate; gives their names and settings."""
    done: list[tuple[str, dict[str, Any]]] = []

    def train(self: Group[Any], name: str, observe: Any, **settings: Any) -> Any:
        done.append((name, settings))
        asked = {**self.training, **settings}
        fitness = float(asked.get("lr0", 0.001)) + int(asked.get("seed", 0)) / 1000
        metrics = dict.fromkeys(("map50_95", "map50", "precision", "recall"), fitness)
        return SimpleNamespace(
            outcome="finished",
            fitness=fitness,
            metrics=metrics,
            summary={"train_s": 1.0, "validation_s": 0.5},
            save_dir=self.folder / name,
        )

    monkeypatch.setattr(Group, "train", train)
    return done


@pytest.fixture
def ask(tiny_data: Path, tmp_path: Path, trained: Any) -> Ask:
    """Asks for a search, short unless something else is said."""

    def tune(command: str = "tune", **settings: Any) -> Any:
        wishes: dict[str, Any] = {"data": tiny_data, "project": tmp_path / "runs", **settings}
        if command == "tune":
            wishes = {"space": SPACE, "trials": 2, "repeat": 0, **wishes}
        return getattr(peakmark, command)(observer=lambda event: None, **wishes)

    return tune


def draws(tuned: Any) -> list[Any]:
    return [each.settings for each in sorted(tuned.trials, key=lambda each: each.number)]


def check_tune_space(ask, **_):
    assert set(draws(ask(space="mosaic=0..1, box=1..9"))[0]) == {"mosaic", "box"}


def check_tune_trials(ask, **_):
    assert len(ask(trials=3).trials) == 3


def check_tune_time(ask, **_):
    assert len(ask(trials=3, time=1e-9).trials) == 1


def check_tune_sampler(ask, **_):
    # TPE's first ten are random ones.
    tpe, random = (draws(ask(trials=12, sampler=name)) for name in ("tpe", "random"))
    assert tpe[:10] == random[:10]
    assert tpe[10:] != random[10:]


def check_tune_pruner(ask, monkeypatch, **_):
    made: list[str] = []
    open_study = peakmark.api.many.tune.open_study

    def opened(*words: Any) -> Any:
        study = open_study(*words)
        made.append(type(study.pruner).__name__)
        return study

    monkeypatch.setattr("peakmark.api.many.tune.open_study", opened)
    for name in ("none", "median", "hyperband"):
        ask(pruner=name, trials=1)
    assert made == ["NopPruner", "MedianPruner", "HyperbandPruner"]


def check_tune_repeat(ask, trained, **_):
    found = ask(repeat=2, trials=1)
    assert [(name, settings["seed"]) for name, settings in trained[1:]] == [
        ("winner-seed1", 1), ("start-seed1", 1), ("winner-seed2", 2), ("start-seed2", 2),
    ]  # fmt: skip
    lead = float(draws(found)[0]["lr0"]) - 0.001
    assert found.lead.value == pytest.approx(lead)


def check_tune_storage(ask, tmp_path, **_):
    found = ask(storage=f"sqlite:///{tmp_path}/study.db")
    assert (tmp_path / "study.db").is_file()
    assert not (found.folder / "study.log").exists()


def check_tune_resume(ask, trained, **_):
    first = ask()
    again = peakmark.tune(resume=first.folder, trials=3, observer=lambda event: None)
    assert draws(again)[:2] == draws(first)
    assert [name for name, _ in trained] == ["trial0001", "trial0002", "trial0003"]


def check_tune_project(ask, tmp_path, **_):
    assert ask(project=tmp_path / "there").folder == tmp_path / "there/tune"


def check_tune_name(ask, tmp_path, **_):
    assert ask(name="other").folder == tmp_path / "runs/other"


def check_seeds_n(ask, trained, **_):
    ask("seeds", n=3)
    assert [settings["seed"] for _, settings in trained] == [0, 1, 2]


def check_seeds_resume(ask, **_):
    first = ask("seeds", n=2)
    assert peakmark.seeds(resume=first.folder, n=3, observer=lambda event: None).folder == first.folder


def check_seeds_project(ask, tmp_path, **_):
    assert ask("seeds", n=2, project=tmp_path / "there").folder == tmp_path / "there/seeds"


def check_seeds_name(ask, tmp_path, **_):
    assert ask("seeds", n=2, name="other").folder == tmp_path / "runs/other"


@pytest.fixture
def quick_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peakmark.api.many.repeat._looked_at", lambda *words: [])


def check_folds_k(ask, trained, quick_folds, **_):
    ask("folds", k=3)
    assert [Path(settings["data"]).parent.name for _, settings in trained] == ["fold1", "fold2", "fold3"]


def check_folds_resume(ask, **_):
    first = ask("folds", k=2)
    assert peakmark.folds(resume=first.folder, observer=lambda event: None).folder == first.folder


def check_folds_project(ask, tmp_path, **_):
    assert ask("folds", k=2, project=tmp_path / "there").folder == tmp_path / "there/folds"


def check_folds_name(ask, tmp_path, **_):
    assert ask("folds", k=2, name="other").folder == tmp_path / "runs/other"


def check_log_to(messengers, run_folder, **_):
    peakmark.log(run_folder, "tensorboard,wandb")
    assert messengers == [("tensorboard", False), ("wandb", False)]


def check_log_anew(messengers, run_folder, **_):
    peakmark.log(run_folder, "mlflow", anew=True)
    assert messengers == [("mlflow", True)]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    return tmp_path


@pytest.fixture
def messengers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    asked: list[tuple[str, bool]] = []

    class Done:
        def __init__(self, run: Path, name: str, *, anew: bool) -> None:
            self.name, self.done = name, {"id": "1", "points": 1, "done": "there"}
            asked.append((name, anew))

        def is_at_work(self, wait_s: float) -> bool:
            return False

        def said(self) -> Iterator[Notice]:
            return iter(())

        def end(self) -> None:
            pass

        stop = end

    monkeypatch.setattr("peakmark.api.log.Messenger", Done)
    return asked


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}
KINDS = {"tune": TuneSettings, "seeds": SeedsSettings, "folds": FoldsSettings, "log": LogSettings}


@pytest.mark.parametrize("name", CHECKS)
def test_a_setting_does_what_it_declares(
    name, ask, trained, quick_folds, messengers, run_folder, monkeypatch, tmp_path
):
    parts = {"ask": ask, "trained": trained, "messengers": messengers, "run_folder": run_folder}
    CHECKS[name](**parts, quick_folds=quick_folds, monkeypatch=monkeypatch, tmp_path=tmp_path)


def test_every_setting_has_an_entry():
    assert set(CHECKS) == {f"{command}_{name}" for command, kind in KINDS.items() for name in describe(kind)}


def test_none_has_the_name_of_a_setting_of_a_training_but_those_that_mean_the_group():
    """A setting of a training that one of these hides could not be given for the trainings."""
    for kind in (TuneSettings, SeedsSettings, FoldsSettings):
        assert set(describe(kind)) & set(describe(Settings)) <= {"project", "name", "time"}
