"""How much does the seed alone move the fitness, and do other settings move it more than that?

The images' chance and the seed's are different things: the resamples of a validation set say nothing of the second.
Here runs that differ in the seed alone are replicates. It must not know any file.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from peakmark.evaluate.uncertainty import student_95
from peakmark.record.comparison import Measured, SeedGroup
from peakmark.release.comparison.runs import Run
from peakmark.settings.description import as_written


def seed_groups(runs: Sequence[Run], fitness: Mapping[str, float]) -> tuple[SeedGroup, ...]:
    """Groups the runs that differ in the seed alone, highest mean first; `fitness` by name of the run.

    A group has two seeds or more; a single run says nothing of its spread and is in none.
    """
    found: list[list[Run]] = []
    for run in runs:
        group = next((group for group in found if _apart_from_seed(group[0]) == _apart_from_seed(run)), None)
        if group is None:
            found.append([run])
        else:
            group.append(run)
    groups = [group for group in found if len({run.settings["seed"] for run in group}) == len(group) > 1]
    by_mean = sorted(groups, key=lambda group: -_mean(group, fitness))
    return tuple(_described(group, by_mean, fitness) for group in by_mean)


def _apart_from_seed(run: Run) -> tuple[object, ...]:
    bearing = {name: value for name, value in run.bearing_on_result().items() if name != "seed"}
    return bearing, run.architecture, run.settings.get("pretrained"), run.data.get("train")


def _described(group: Sequence[Run], groups: Sequence[Sequence[Run]], fitness: Mapping[str, float]) -> SeedGroup:
    return SeedGroup(
        label=_label(group, groups),
        runs=tuple(run.name for run in group),
        mean=_mean(group, fitness),
        standard_deviation=math.sqrt(_variance(group, fitness)),
        behind=None if group is groups[0] else _lead(groups[0], group, fitness),
    )


def _lead(one: Sequence[Run], other: Sequence[Run], fitness: Mapping[str, float]) -> Measured:
    """Compares two means by Welch's interval: spreads may differ, and degrees of freedom are few."""
    errors = [_variance(group, fitness) / len(group) for group in (one, other)]
    standard_error = math.sqrt(sum(errors))
    lead = _mean(one, fitness) - _mean(other, fitness)
    weights = sum(error**2 / (len(group) - 1) for error, group in zip(errors, (one, other), strict=True))
    half = student_95(sum(errors) ** 2 / weights) * standard_error if weights else 0.0
    return Measured(lead, standard_error, lead - half, lead + half)


def _label(group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> str:
    settings: list[dict[str, Any]] = [
        {"architecture": each[0].architecture, **each[0].bearing_on_result()} for each in groups
    ]
    own = settings[groups.index(group)]
    telling = [name for name in own if name != "seed" and any(each.get(name) != own[name] for each in settings)]
    return ", ".join(f"{name}={as_written(own[name])}" for name in telling)


def _mean(group: Sequence[Run], fitness: Mapping[str, float]) -> float:
    return statistics.fmean(fitness[run.name] for run in group)


def _variance(group: Sequence[Run], fitness: Mapping[str, float]) -> float:
    return statistics.variance([fitness[run.name] for run in group])
