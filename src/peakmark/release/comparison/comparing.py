"""Which of several runs is best, how sure is that, and what is different about them? From their folders alone.

Runs are compared by their best epochs: by the weights that would be used. Numbers of different kinds are shown beside
each other and not ranked. It must not know who asks, nor how the answer is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from peakmark.checkpoint.format import protocol_in
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.fitness import Fitness, FitnessFunction, fitness_by
from peakmark.formula.terms import DEFAULT
from peakmark.formula.text import read_formula
from peakmark.record.comparison import ComparedRun, Comparison, Measured
from peakmark.release.comparison.metrics import Resampled, behind, evidence_of, resample
from peakmark.release.comparison.runs import Run, read_runs
from peakmark.release.comparison.sameness import sameness
from peakmark.release.comparison.seeds import seed_groups
from peakmark.release.comparison.settings import differing_settings, differing_surroundings
from peakmark.release.comparison.words import another_kind, outcome, seeds_in_words, unranked

_COMPARABLE = ("validation images", "image sizes", "protocols")
"""The parts of what makes epochs comparable, as checkpoint.format.comparable puts them together."""


def compare_runs(
    given: Sequence[str | Path], wished: str | None, function: FitnessFunction | None = None
) -> tuple[Comparison, tuple[Run, ...]]:
    """Compares runs by the fitness `wished`, or what their best epochs were chosen by; gives the runs in its order.

    `function` is that fitness where it is one in Python. Raises ModelFileError where a name is no run's, or fewer than
    two can be read, and SettingsError where a fitness is of no class of a run.
    """
    runs, notes = read_runs(given)
    chosen, said = _fitness(runs, wished)
    evidence = {run.name: evidence_of(run, run.best) for run in runs if run.best is not None}
    judged = {run.name: fitness_by(chosen, run.classes, function) for run in runs}
    fitnesses = _fitnesses(runs, judged, evidence)
    found = {run.name: _resampled(run, evidence, judged, fitnesses) for run in runs if run.name in fitnesses}
    resampled = {name: each for name, each in found.items() if isinstance(each, Resampled)}
    reasons = _reasons_not_to_rank([run for run in runs if run.name in fitnesses], resampled)
    # Sorting is stable: of equals the first that was named stays first.
    order = runs if reasons else tuple(sorted(runs, key=lambda run: -fitnesses.get(run.name, float("-inf"))))
    leads = {} if reasons else _leads(order[0], resampled, chosen)
    without = {**evidence, **found}
    compared = tuple(_compared(run, fitnesses.get(run.name), without.get(run.name), leads) for run in order)
    groups = () if reasons else seed_groups([run for run in order if run.name in fitnesses], fitnesses)
    images = {each.images for each in resampled.values()}
    comparison = Comparison(
        text=unranked(reasons) if reasons else f"{outcome(compared, images)} {seeds_in_words(groups, len(runs))}",
        ranked=not reasons,
        fitness=chosen,
        fitness_in_words=read_formula(chosen).words,
        protocol="; or ".join(dict.fromkeys(protocol_in(run.comparable) for run in order)),
        images=images.pop() if len(images) == 1 else None,
        runs=compared,
        settings=differing_settings(order),
        surroundings=differing_surroundings(order),
        seeds=groups,
        sameness=sameness(order),
        notes=(*notes, *said),
    )
    return comparison, order


def _fitness(runs: Sequence[Run], wished: str | None) -> tuple[str, tuple[str, ...]]:
    """Gives what to compare by, and what to say about it."""
    chosen_by = {run.name: str(run.settings["fitness"]) for run in runs if run.best is not None}
    own = set(chosen_by.values())
    # A function in Python can't be asked about other runs' epochs unless it is given again.
    by = wished or next((each for each in own if len(own) == 1 and not read_formula(each).is_function), DEFAULT)
    others = dict.fromkeys(each for each in chosen_by.values() if each != by)
    if not others:
        return by, ()
    said = "; ".join(f"{each} in {', '.join(name for name, of in chosen_by.items() if of == each)}" for each in others)
    return by, (f"Compared by {by}, though best epochs were chosen by another fitness: {said}.",)


def _fitnesses(
    runs: Sequence[Run], judged: Mapping[str, Fitness], evidence: Mapping[str, Evidence | str]
) -> dict[str, float]:
    values = {
        run.name: judged[run.name].of_record(run.best, partial(_unless_missing, evidence[run.name]))
        for run in runs
        if run.best is not None
    }
    return {name: value for name, value in values.items() if value is not None}


def _unless_missing(evidence: Evidence | str) -> Evidence | None:
    return evidence if isinstance(evidence, Evidence) else None


def _resampled(
    run: Run,
    evidence: Mapping[str, Evidence | str],
    judged: Mapping[str, Fitness],
    fitnesses: Mapping[str, float],
) -> Resampled | str:
    kept = evidence[run.name]
    if isinstance(kept, str) or run.best is None or run.best.metrics is None:
        return str(kept)
    return resample(kept, run.best.metrics, fitnesses[run.name], judged[run.name])


def _reasons_not_to_rank(runs: Sequence[Run], resampled: Mapping[str, Resampled]) -> list[str]:
    """Says why the numbers of runs are not of one kind; empty where they are."""
    if len(runs) < 2:
        return ["fewer than two of them have a best epoch"]
    kinds = {run.name: [*run.comparable.split(", ", 2), ", ".join(run.classes)] for run in runs}
    reasons = []
    for what, *values in zip((*_COMPARABLE, "classes"), *kinds.values(), strict=True):
        if len(set(values)) > 1:
            reasons.append(another_kind(what, dict(zip(kinds, values, strict=True))))
    first = next(iter(resampled.values()), None)
    if not reasons and first and not all(each.has_truths_of(first) for each in resampled.values()):
        reasons = ["their evidence does not hold the same objects"]
    return reasons


def _leads(best: Run, resampled: Mapping[str, Resampled], fitness_name: str) -> dict[str, dict[str, Measured]]:
    if best.name not in resampled:
        return {}
    return dict(zip(resampled, behind(resampled[best.name], list(resampled.values()), fitness_name), strict=True))


def _compared(
    run: Run, value: float | None, found: Resampled | Evidence | str | None, leads: Mapping[str, dict[str, Measured]]
) -> ComparedRun:
    lead = leads.get(run.name, {})
    return ComparedRun(
        name=run.name,
        folder=run.folder.path,
        state=run.state,
        epochs=len(run.history.records),
        best_epoch=run.best.epoch + 1 if run.best else None,
        fitness=value,
        metrics=(run.best.metrics or {}) if run.best else {},
        per_class=(run.best.per_class or {}) if run.best else {},
        classes=run.classes,
        measured=found.alone() if isinstance(found, Resampled) else {},
        behind=lead,
        tied=lead["fitness"].low <= 0 if "fitness" in lead else None,
        digests=run.digests,
        notes=(*run.notes, found) if isinstance(found, str) else run.notes,
    )
