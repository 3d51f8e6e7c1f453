"""How is what came out of a comparison said to people who skip tables? In a sentence or three.

It must not compute anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from peakmark.record.comparison import ComparedRun, Measured, SeedGroup

_IMAGES_ALONE = (
    "This covers the chance of the validation images alone: it says which weights are better, not which settings."
)
_SEED_UNKNOWN = "Another seed of the same settings may move the fitness as much or more."


def outcome(runs: Sequence[ComparedRun], images: Collection[int]) -> str:
    """Says which run is best, and how sure that is; the best comes first."""
    best, others = runs[0], [run for run in runs[1:] if run.fitness is not None]
    where = f"on the same {next(iter(images), 0)} images"
    unsure = [run.name for run in others if run.tied is None]
    if len(unsure) == len(others):
        return _unsure(best, others)
    said = _of_two(best, others[0], where) if len(others) == 1 else _of_many(best, others, where)
    if unsure:
        said += f" How sure its lead over {_listed(unsure)} is can't be said: there is no evidence."
    return said if _are_equal(others) else f"{said} {_IMAGES_ALONE}"


def seeds_in_words(groups: Sequence[SeedGroup], runs: int) -> str:
    """Says how far seeds spread, and whether settings make more than that; without replicates, that it is open."""
    if not groups:
        return _SEED_UNKNOWN
    if len(groups) == 1:
        (group,) = groups
        of = "all" if len(group.runs) == runs else _listed(group.runs)
        return (
            f"The settings of {of} are the same but for the seed: between their {len(group.runs)} seeds the fitness"
            f" spreads by {group.standard_deviation:.4f} (standard deviation)."
        )
    best, second = groups[:2]
    lead = second.behind or Measured(0.0, 0.0, 0.0, 0.0)
    return f"Over seeds, {_described(best)} is ahead of {_described(second)} by {_with_error(lead)}: {_meaning(lead)}."


def unranked(reasons: Sequence[str]) -> str:
    """Says why there is no winner."""
    return (
        f"These runs are not ranked: {'; '.join(reasons)}. Their numbers stand beside each other, but none is better."
        " To rank them, validate each best.pt on one set at one size: peakmark val model=RUN/weights/best.pt data=..."
    )


def another_kind(what: str, values: Mapping[str, str]) -> str:
    """Says that runs differ in what their numbers mean; `values` by name of the run."""
    shown = ", ".join(f"{name}: {_shortened(value)}" for name, value in values.items())
    return f"they were validated with different {what} ({shown})"


def _shortened(value: str) -> str:
    words = value.removeprefix("validation data ")
    # A fingerprint says enough in its first digits.
    return words[:12] if len(words) == 64 and " " not in words else words


def _unsure(best: ComparedRun, others: Sequence[ComparedRun]) -> str:
    against = ", ".join(f"{run.fitness:.4f} of {run.name}" for run in others)
    return (
        f"{best.name} has the highest fitness, {best.fitness:.4f} against {against}. Whether that is more than chance"
        " can't be said without evidence of the best epochs."
    )


def _of_two(best: ComparedRun, other: ComparedRun, where: str) -> str:
    lead = other.behind["fitness"]
    if _are_equal([other]):
        return f"{best.name} and {other.name} have exactly the same fitness {where}: {best.fitness:.4f}."
    if other.tied:
        return (
            f"{best.name} and {other.name} can't be told apart: {best.name} is ahead by {_with_error(lead)} {where},"
            " which may be chance."
        )
    return f"{best.name} is ahead of {other.name} by {_with_error(lead)} {where}: a real difference."


def _of_many(best: ComparedRun, others: Sequence[ComparedRun], where: str) -> str:
    behind = [run.name for run in others if run.tied is False]
    tied = [run.name for run in others if run.tied]
    said = f"{best.name} has the highest fitness of {len(others) + 1} runs, {best.fitness:.4f}."
    parts = [f"is really ahead of {_listed(behind)}"] if behind else []
    parts += [f"can't be told from {_listed(tied)}"] if tied else []
    return f"{said} {where[0].upper()}{where[1:]} it {', but '.join(parts)}."


def _are_equal(others: Sequence[ComparedRun]) -> bool:
    """Whether all are exactly like the best on every image."""
    leads = [run.behind.get("fitness") for run in others]
    return all(lead is not None and lead.value == lead.standard_error == 0 for lead in leads)


def _described(group: SeedGroup) -> str:
    return f"{group.label or _listed(group.runs)} (mean {group.mean:.4f} of {len(group.runs)} seeds)"


def _meaning(lead: Measured) -> str:
    return "a real difference" if lead.low > 0 else "that may be chance"


def _with_error(lead: Measured) -> str:
    return f"{lead.value:.4f} ± {lead.standard_error:.4f}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
