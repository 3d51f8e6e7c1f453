"""How are settings searched? Trainings that Optuna draws, and a winner that has to win again with other seeds.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakmark.api.many.group import EXECUTION, PATHS, Group, is_over, open_group
from peakmark.api.watching import watching
from peakmark.errors import PeakmarkError, TrainingError
from peakmark.evaluate.uncertainty import Estimate
from peakmark.events import EpochEnded, Event, Notice, Observer
from peakmark.files.durable import write_text
from peakmark.record.plain_json import as_json
from peakmark.record.settings_yaml import render
from peakmark.release.comparison.comparing import compare_runs
from peakmark.search.space import in_words, read_space
from peakmark.search.storage import open_study
from peakmark.search.study import ERROR, Plan, Task, Trained, work
from peakmark.search.verdict import in_words as verdict_in_words
from peakmark.search.verdict import paired
from peakmark.settings.commands.search import TuneSettings

if TYPE_CHECKING:
    import optuna

_RESULT = "tune.json"
_WINNER = "winner.yaml"
_COMPARED = 10
"""Trials that are held against the best one: each is resampled with all others."""


@dataclass(frozen=True, slots=True)
class TriedSettings:
    """One trial."""

    number: int
    settings: Mapping[str, Any]
    state: str
    """complete, pruned, fail or running."""
    fitness: float | None
    standard_error: float | None
    """Of the fitness, by the validation images; None where it isn't known."""
    run: Path


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a study came to."""

    folder: Path
    space: str
    trials: tuple[TriedSettings, ...]
    """The best first."""
    done: bool
    """Whether all trials are done, and repeated; else `peakmark tune resume=FOLDER` goes on."""
    lead: Estimate | None
    """How far the winner is ahead of the start's settings, with other seeds, in pairs; None where not repeated."""
    text: str

    @property
    def best(self) -> TriedSettings | None:
        """The trial with the highest fitness; None where none is complete."""
        return self.trials[0] if self.trials and self.trials[0].state == "complete" else None

    def to_json(self) -> str:
        return as_json(self, indent=2)


def tune(data: str | Path | None = None, *, observer: Observer | None = None, **settings: Any) -> Tuned:
    """Searches settings: trains with those that Optuna draws from `space`, and says whether the best are really better.

    `settings`: those of `peakmark tune --help`, and of a training. Raises SettingsError and DataError with every
    mistake at once, MachineError, and what a training raises; what is done by then stays, and can be resumed.
    """
    given = settings if data is None else {**settings, "data": data}
    if isinstance(given.get("space"), Mapping):
        given = {**given, "space": in_words(read_space(given["space"], {"data": "-"}))}
    with watching(observer) as observe:
        # Before a folder is made: what is wrong with it is told with nothing written.
        if given.get("resume") is None:
            read_space(given.get("space"), {"data": "-"})
        group = open_group(TuneSettings, given, observe)
        wishes, base = group.wishes, group.settings()
        plan = Plan(
            group.folder,
            read_space(wishes.space, group.training),
            wishes.trials,
            wishes.sampler,
            base.seed,
            None if wishes.time is None else wishes.time * 3600,
            is_alone=wishes.storage is None,
        )
        study = open_study(group.folder, group.folder.name, wishes.storage, wishes.pruner, _asked(group, plan))
        observe(Notice(f"Searching {in_words(plan.space)}; {wishes.trials} trials in {group.folder}"))
        done = work(study, plan, lambda task: _trained(group, task, observe), observe)
        tuned = _tuned(study, group, plan, done=done)
        if done and tuned.best is not None:
            tuned = _repeated(tuned, group, observe)
        write_text(group.folder / _RESULT, tuned.to_json() + "\n")
    return tuned


def _asked(group: Group[TuneSettings], plan: Plan) -> str:
    """What all workers of a study have in common; paths may be other ones on another machine."""
    training = {name: value for name, value in group.training.items() if name not in (*EXECUTION, *PATHS)}
    own = {"space": in_words(plan.space), "sampler": plan.sampler, "pruner": group.wishes.pruner}
    return as_json({**own, **dict(sorted(training.items()))})


def _trained(group: Group[TuneSettings], task: Task, observe: Observer) -> Trained:
    gave_up = False

    def report(event: Event) -> None:
        nonlocal gave_up
        observe(event)
        if isinstance(event, EpochEnded) and event.record.fitness is not None and not gave_up:
            gave_up = task.report(event.record.epoch, event.record.fitness)
            if gave_up:
                signal.raise_signal(signal.SIGINT)  # it saves and stops, as for anybody

    results = group.train(task.name, report, **task.settings)
    trained_s = results.summary["train_s"] + results.summary["validation_s"]
    if gave_up and not is_over(results):
        return Trained(results.fitness or 0.0, trained_s=trained_s, pruned=True)
    if not is_over(results):
        return Trained(None)
    if results.fitness is None or not math.isfinite(results.fitness):
        raise TrainingError("no epoch of it has a fitness.")
    certainty = results.summary.get("certainty")
    return Trained(results.fitness, certainty["fitness"]["standard_error"] if certainty else None, trained_s)


def _tuned(study: optuna.Study, group: Group[TuneSettings], plan: Plan, *, done: bool) -> Tuned:
    found = [
        TriedSettings(
            each.number + 1,
            dict(each.params),
            each.state.name.lower(),
            each.value if each.state.name == "COMPLETE" else None,
            each.user_attrs.get(ERROR),
            Path(each.user_attrs.get("folder", group.folder)),
        )
        for each in study.get_trials(deepcopy=False)
    ]
    # Of equals the first: it needed no more trials.
    found.sort(key=lambda each: (-math.inf if each.fitness is None else each.fitness, -each.number), reverse=True)
    complete = sum(each.state == "complete" for each in found)
    if not done:
        text = f"{complete} trials are done, and some are open. Go on with: peakmark tune resume={group.folder}"
    elif not complete:
        text = "No trial came to its end."
    else:
        best = found[0]
        error = "" if best.standard_error is None else f" ± {best.standard_error:.4f}"
        text = f"Trial {best.number} is the best of {complete}: fitness {best.fitness:.4f}{error}.{_tied(found)}"
    return Tuned(group.folder, in_words(plan.space), tuple(found), done, None, text)


def _tied(found: Sequence[TriedSettings]) -> str:
    """Says which trials can't be told from the best by the validation images, with the choice among them counted."""
    complete = [each for each in found if each.state == "complete"][:_COMPARED]
    try:
        comparison, _ = compare_runs([each.run for each in complete], None)
    except PeakmarkError:
        return ""  # a single one, or runs of another worker, whose folders aren't here
    tied = {each.folder.resolve() for each in comparison.runs if each.tied}
    numbers = sorted(each.number for each in complete[1:] if each.run.resolve() in tied)
    if not numbers:
        return ""
    which = "trial" if len(numbers) == 1 else "trials"
    return f" By the validation images it can't be told from {which} {', '.join(map(str, numbers))}."


def _repeated(tuned: Tuned, group: Group[TuneSettings], observe: Observer) -> Tuned:
    """Writes the winner's settings, trains them and the start's with other seeds, and says what came of it."""
    assert tuned.best is not None
    winner = {**group.training, **tuned.best.settings}
    origins = {name: "found by the study" if name in tuned.best.settings else "given" for name in winner}
    write_text(group.folder / _WINNER, render(winner, origins))
    use = f"Train with its settings: peakmark train cfg={group.folder / _WINNER}"
    seeds = range(group.settings().seed + 1, group.settings().seed + 1 + group.wishes.repeat)
    ones, others = list[float](), list[float]()
    for seed in seeds:
        for values, name, settings in ((ones, "winner", tuned.best.settings), (others, "start", {})):
            observe(Notice(f"The {name}'s settings with seed {seed}, to tell the winner from luck."))
            results = group.train(f"{name}-seed{seed}", observe, **{**settings, "seed": seed})
            if not is_over(results):
                text = f"{tuned.text} Its repetitions are open. Go on with: peakmark tune resume={group.folder}"
                return replace(tuned, done=False, text=text)
            values.append(math.nan if results.fitness is None else results.fitness)
    if not ones:
        return replace(tuned, text=f"{tuned.text} It wasn't repeated (repeat=0). {use}")
    lead = paired(ones, others)
    return replace(tuned, lead=lead, text=f"{tuned.text} {verdict_in_words(lead, len(ones))} {use}")
