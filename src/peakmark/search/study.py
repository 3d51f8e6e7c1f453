"""How do the trials of a study get done, by one worker or several, killed or not? Each in its turn, each once.

A trial that a killed worker left open is taken up again by whoever comes next, with the same settings and in the same
folder; one that another worker is at is left to it. It must not know how a run is trained.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from peakmark.errors import MachineError, TrainingError
from peakmark.events import Notice, Observer
from peakmark.files.durable import make_folder
from peakmark.files.lock import RunLock, is_held
from peakmark.search.space import Space
from peakmark.search.storage import draw
from peakmark.settings.description import as_written

if TYPE_CHECKING:
    import optuna

_ASKING = "asking"
_LOOK_S = 0.05
_FOLDER = "folder"
ERROR = "standard_error"
_TRAINED_S = "trained_s"


class Report(Protocol):
    """Tells the study how far a trial is."""

    def __call__(self, epoch: int, fitness: float) -> bool:
        """Takes an epoch (0-based) and its fitness; says whether the trial is to be given up."""

    def is_behind(self) -> bool:
        """Whether it is to be given up by what was told of it before."""


@dataclass(frozen=True, slots=True)
class Task:
    """A trial that is to be trained, and how it is told of."""

    number: int
    """1-based."""
    settings: Mapping[str, Any]
    report: Report

    @property
    def name(self) -> str:
        """Of its run folder."""
        return f"trial{self.number:04d}"

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={as_written(value)}" for name, value in self.settings.items())
        return f"Trial {self.number}: {settings}"


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run came to."""

    fitness: float | None
    """None where it was stopped: the trial stays open."""
    standard_error: float | None = None
    trained_s: float = 0.0
    """How long it was trained and validated, of all sessions; without the time between them."""
    pruned: bool = False


class Train(Protocol):
    """Trains a trial, or goes on with its training. A TrainingError says that these settings can't be trained."""

    def __call__(self, task: Task) -> Trained: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How a study is done."""

    folder: Path
    space: Space
    trials: int
    sampler: str
    seed: int
    time_s: float | None
    """Training time of all workers and sessions, after which no trial is begun."""
    is_alone: bool = True
    """Whether all workers share this folder: an open trial that nobody holds is then that of a killed worker."""


def work(study: optuna.Study, plan: Plan, train: Train, tell: Observer) -> bool:
    """Does the trials that are left; says whether none is open, by whomever. Deterministic with one worker."""
    import optuna

    while True:
        with _taken(study, plan) as trial:
            if trial is None:
                # All are done, or the time is over; one that another worker is at may still be open.
                states = [each.state for each in study.get_trials(deepcopy=False)]
                return optuna.trial.TrialState.RUNNING not in states
            task = Task(trial.number + 1, draw(study, trial, plan.space, plan.sampler, plan.seed), _Reporting(trial))
            trial.set_user_attr(_FOLDER, str(plan.folder / task.name))
            tell(Notice(str(task)))
            if not _done(study, trial, task, train, tell):
                return False


def _done(study: optuna.Study, trial: optuna.Trial, task: Task, train: Train, tell: Observer) -> bool:
    """Trains a trial and tells the study; False where it was stopped."""
    import optuna

    try:
        # It was to be given up when its worker was killed: one more epoch would make it another trial.
        trained = Trained(0.0, pruned=True) if task.report.is_behind() else train(task)
    except TrainingError as error:
        tell(Notice(f"Trial {task.number} failed: {error}", serious=True))
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return True
    if trained.fitness is None:
        return False
    trial.set_user_attr(_TRAINED_S, trained.trained_s)
    if trained.standard_error is not None:
        trial.set_user_attr(ERROR, trained.standard_error)
    if trained.pruned:
        study.tell(trial.number, state=optuna.trial.TrialState.PRUNED)
        tell(Notice(f"Trial {task.number} was given up early: others had come further by then."))
    else:
        study.tell(trial.number, trained.fitness)
    return True


class _Reporting:
    """Tells a study of epochs; one that a resume repeats was told before."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        self._known = set(known)

    def __call__(self, epoch: int, fitness: float) -> bool:
        if epoch not in self._known:
            self._known.add(epoch)
            self._trial.report(fitness, epoch)
        return self._trial.should_prune()

    def is_behind(self) -> bool:
        return bool(self._known) and self._trial.should_prune()


@contextmanager
def _taken(study: optuna.Study, plan: Plan) -> Iterator[optuna.Trial | None]:
    """Holds a trial that nobody is at: one that was left open, else a new one; None where there is none to do."""
    with _turn(plan.folder / "locks" / _ASKING):
        trial = _to_do(study, plan)
        if trial is not None:
            lock = _lock(plan, trial.number)
            lock.__enter__()
    if trial is None:
        yield None
        return
    try:
        yield trial
    finally:
        lock.__exit__(None, None, None)


def _to_do(study: optuna.Study, plan: Plan) -> optuna.Trial | None:
    import optuna

    trials = study.get_trials(deepcopy=False)
    for each in trials:
        if each.state != optuna.trial.TrialState.RUNNING or is_held(_place(plan, each.number)):
            continue
        # One of a worker with another folder, on the same database, is that worker's.
        if plan.is_alone or _place(plan, each.number).is_dir():
            return optuna.Trial(study, each._trial_id)
    if len(trials) >= plan.trials or _is_out_of_time(trials, plan):
        return None
    return study.ask()


def _is_out_of_time(trials: list[optuna.trial.FrozenTrial], plan: Plan) -> bool:
    if plan.time_s is None:
        return False
    # Not Optuna's durations: a trial that was killed and resumed a day later would have taken that day.
    return float(sum(each.user_attrs.get(_TRAINED_S, 0.0) for each in trials)) >= plan.time_s


def _place(plan: Plan, number: int) -> Path:
    return plan.folder / "locks" / str(number + 1)


def _lock(plan: Plan, number: int) -> RunLock:
    make_folder(_place(plan, number))
    return RunLock(_place(plan, number))


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Waits until no other worker is choosing: two must not take one trial."""
    make_folder(folder)
    lock = RunLock(folder)
    while True:
        try:
            lock.__enter__()
            break
        except MachineError:
            if not is_held(folder):
                raise
            time.sleep(_LOOK_S)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
