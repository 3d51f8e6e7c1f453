"""A study that is killed at any moment has the trials of one that wasn't; workers share them; each is done once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from peakmark.errors import MachineError, SettingsError, TrainingError
from peakmark.search.space import read_space
from peakmark.search.storage import open_study
from peakmark.search.study import ERROR, Plan, Task, Trained, work

SPACE = read_space("lr0=1e-4..1e-1 log, mosaic=0..1, batch=4..32, optimizer=SGD|AdamW", {"data": "-"})
EPOCHS = 4


class Killed(BaseException):
    """No Exception, as a kill isn't."""


def fitness_of(settings: Mapping[str, Any], epoch: int) -> float:
    """A stand-in for a training: best at lr0 0.01 and mosaic 0.5, and better with each epoch."""
    worse = abs(settings["lr0"] - 0.01) + (settings["mosaic"] - 0.5) ** 2 + abs(settings["batch"] - 16) / 100
    return float(1 - worse - 1 / (epoch + 2) - (settings["optimizer"] == "SGD") / 10)


def trains(kill_at: set[tuple[int, int]] = frozenset(), tasks: list[str] | None = None) -> Any:  # type: ignore[assignment]
    """Trains the stand-in, and is killed once at each of these trials and epochs."""
    left = set(kill_at)

    def train(task: Task) -> Trained:
        if tasks is not None:
            tasks.append(str(task))
        for epoch in range(EPOCHS):
            if (task.number, epoch) in left:
                left.remove((task.number, epoch))
                raise Killed
            if task.report(epoch, fitness_of(task.settings, epoch)):
                return Trained(0.0, pruned=True)
        return Trained(fitness_of(task.settings, EPOCHS - 1), 0.01)

    return train


def plan_in(folder: Path, **changes: Any) -> Plan:
    asked: dict[str, Any] = {"trials": 12, "sampler": "tpe", "seed": 0, "time_s": None, **changes}
    return Plan(folder=folder, space=SPACE, **asked)


def trials_of(folder: Path, pruner: str) -> list[Any]:
    return [
        (each.number, each.params, each.state, each.value, each.intermediate_values)
        for each in open_study(folder, "study", None, pruner).get_trials()
    ]


def done(folder: Path, train: Any, pruner: str = "none", **changes: Any) -> list[Any]:
    """Works until all is done, each time in a new process's place; gives the trials."""
    folder.mkdir(exist_ok=True)
    while True:
        try:
            assert work(
                open_study(folder, "study", None, pruner), plan_in(folder, **changes), train, lambda event: None
            )
            return trials_of(folder, pruner)
        except Killed:
            pass


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_killed_twice_it_ends_with_the_same_trials(tmp_path, sampler):
    # Of TPE the first ten are random: the others follow from the history.
    without = done(tmp_path / "without", trains(), sampler=sampler)
    killed = done(tmp_path / "killed", trains({(3, 1), (11, 0)}), sampler=sampler)
    assert killed == without
    assert len(without) == 12
    other = done(tmp_path / "other", trains(), sampler=sampler, seed=1)
    assert [each[1] for each in other] != [each[1] for each in without], "the comparison can tell"


def test_a_pruned_study_that_is_killed_is_pruned_alike(tmp_path):
    without = done(tmp_path / "without", trains(), "hyperband")
    killed = done(tmp_path / "killed", trains({(3, 2), (8, 1)}), "hyperband")
    assert killed == without
    assert optuna.trial.TrialState.PRUNED in {each[2] for each in without}


def test_killed_while_a_trial_is_drawn(tmp_path, monkeypatch):
    without = done(tmp_path / "without", trains(), trials=3)
    suggest, calls = optuna.Trial.suggest_int, []

    def killed(self: Any, *words: Any, **options: Any) -> int:
        calls.append(self.number)
        if calls.count(1) == 1 and self.number == 1:
            raise Killed
        return suggest(self, *words, **options)

    monkeypatch.setattr(optuna.Trial, "suggest_int", killed)
    assert done(tmp_path / "killed", trains(), trials=3) == without
    assert calls.count(1) == 2


def test_what_is_done_is_not_done_again_and_more_trials_can_be_asked_for(tmp_path):
    tasks: list[str] = []
    done(tmp_path / "a", trains(tasks=tasks), trials=2)
    done(tmp_path / "a", trains(tasks=tasks), trials=3)
    assert [task.partition(":")[0] for task in tasks] == ["Trial 1", "Trial 2", "Trial 3"]
    assert "optimizer=" in tasks[0]


def test_two_workers_on_one_storage_share_the_trials(tmp_path):
    tasks: list[str] = []
    began = threading.Barrier(2, timeout=60)

    def train(task: Task) -> Trained:
        if task.number <= 2:
            began.wait()  # both are at one at the same time
        return trains(tasks=tasks)(task)  # type: ignore[no-any-return]

    def worker() -> None:
        work(open_study(tmp_path, "study", None, "none"), plan_in(tmp_path), train, lambda event: None)

    workers = [threading.Thread(target=worker) for _ in range(2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    assert sorted(int(task.split()[1].strip(":")) for task in tasks) == list(range(1, 13))
    assert all(each[2] == optuna.trial.TrialState.COMPLETE for each in trials_of(tmp_path, "none"))


def test_a_database_of_its_own(tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    study = open_study(tmp_path, "study", storage, "none")
    assert work(study, plan_in(tmp_path, trials=2, is_alone=False), trains(), lambda event: None)
    assert len(open_study(tmp_path, "study", storage, "none").get_trials()) == 2
    with pytest.raises(MachineError, match="storage=nonsense"):
        open_study(tmp_path, "study", "nonsense://", "none")


def test_a_study_of_the_same_name_that_searches_something_else_is_not_joined(tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    open_study(tmp_path, "study", storage, "none", "lr0")
    assert open_study(tmp_path, "study", storage, "none", "lr0").get_trials() == []
    with pytest.raises(SettingsError, match="has a study of this name that searches lr0; take another name"):
        open_study(tmp_path, "study", storage, "none", "mosaic")


def test_a_trial_of_another_folder_on_the_same_database_is_left_alone(tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    (tmp_path / "one").mkdir()
    with pytest.raises(Killed):
        work(
            open_study(tmp_path, "study", storage, "none"),
            plan_in(tmp_path / "one", trials=2, is_alone=False),
            trains({(1, 0)}),
            lambda event: None,
        )
    tasks: list[str] = []
    other = plan_in(tmp_path / "other", trials=2, is_alone=False)
    all_done = work(open_study(tmp_path, "study", storage, "none"), other, trains(tasks=tasks), lambda event: None)
    assert not all_done, "the first one's trial is open"
    assert [task.partition(":")[0] for task in tasks] == ["Trial 2"]


def test_a_stopped_trial_stays_open_a_failed_one_does_not(tmp_path):
    told: list[Any] = []

    def stopped(task: Task) -> Trained:
        if task.number == 1:
            raise TrainingError("3 updates in a row were not finite")
        return Trained(None)

    study = open_study(tmp_path, "study", None, "none")
    assert not work(study, plan_in(tmp_path, trials=2), stopped, told.append)
    assert [each.state.name for each in study.get_trials()] == ["FAIL", "RUNNING"]
    assert any("Trial 1 failed: 3 updates" in event.text for event in told)
    assert work(study, plan_in(tmp_path, trials=2), trains(), told.append)
    assert study.get_trials()[1].user_attrs[ERROR] == 0.01


def test_no_trial_begins_after_the_time_is_over(tmp_path):
    """By the time of training, not by the clock: a trial may have been killed, and resumed a day later."""

    def train(task: Task) -> Trained:
        return Trained(0.5, trained_s=10.0)

    study = open_study(tmp_path, "study", None, "none")
    assert work(study, plan_in(tmp_path, trials=5, time_s=15), train, lambda event: None)
    assert len(study.get_trials()) == 2
