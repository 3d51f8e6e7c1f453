"""Is a model good enough? Requirements are read, and judged on what was measured or on how sure that is.

It must not know which model was validated, nor what a pipeline does with the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from peakmark.errors import SettingsError
from peakmark.evaluate.fitness import Fitness
from peakmark.evaluate.resampling import draw_resamples
from peakmark.evaluate.uncertainty import RESAMPLES, RESAMPLING_SEED, Estimate, estimate
from peakmark.evaluate.validator import Validated
from peakmark.formula.terms import Formula
from peakmark.record.plain_json import as_json
from peakmark.settings.requirements import Requirement, read_requirement

At = Literal["value", "lower"]

_FEWEST_IMAGES = 2


@dataclass(frozen=True, slots=True)
class Ruling:
    """What came of one requirement."""

    requirement: str
    limit: float
    value: float | None
    """None where it can't be measured on these data."""
    low: float | None
    """Of the 95 % interval; None where there is none."""
    high: float | None
    judged: float | None
    """The number that was compared with the limit."""
    passed: bool


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether a model passes."""

    passed: bool
    rulings: tuple[Ruling, ...]
    at: At
    model: str
    data: str
    split: str
    images: int
    truths: int
    protocol: str

    def to_json(self) -> str:
        """Gives all of it as JSON."""
        return as_json(asdict(self), indent=2)


def open_requirements(
    texts: Sequence[str], class_names: Sequence[str], measured: Sequence[int] | None = None
) -> tuple[Requirement, ...]:
    """Opens requirements, as a setting holds them, for these classes.

    `measured`: numbers of those that are measured; None for all. Raises SettingsError where one names another.
    """
    requirements = tuple(map(read_requirement, texts))
    unknown = [
        f"require={each.condition.text}: {metric} is of no class of the model; they are {', '.join(class_names)}."
        for each in requirements
        for metric in each.condition.metrics
        if metric.of_class is not None and metric.class_number(class_names) is None
    ]
    unknown += [
        f"require={each.condition.text}: {metric} is of a class that classes= leaves out."
        for each in requirements
        for metric in each.condition.metrics
        if measured is not None and metric.class_number(class_names) not in (None, *measured)
    ]
    if unknown:
        raise SettingsError(unknown)
    return requirements


def rule_on(requirements: Sequence[Requirement], validated: Validated, at: At) -> tuple[Ruling, ...]:
    """Judges each requirement; deterministic.

    What can't be measured fails, and so does what has no interval where one is asked for.
    """
    evaluation, evidence = validated.evaluation, validated.evidence
    weights_BI = draw_resamples(evidence.images, RESAMPLES, RESAMPLING_SEED)
    rulings = []
    for each in requirements:
        text = each.condition.text
        left = Fitness(Formula(text, text, each.condition.left), evaluation.names)
        value = left.of_evaluation(evaluation)
        interval = None
        if value is not None and evidence.images >= _FEWEST_IMAGES:
            interval = estimate(value, left.resampled(evidence, weights_BI), evidence.images)
        rulings.append(_ruling(each, value, interval, at))
    return tuple(rulings)


def gate_result(
    requirements: Sequence[Requirement], validated: Validated, at: At, asked: Mapping[str, Any]
) -> GateResult:
    """Judges all of them; `asked` says which model was validated on what."""
    rulings = rule_on(requirements, validated, at)
    evaluation = validated.evaluation
    return GateResult(
        passed=all(ruling.passed for ruling in rulings),
        rulings=rulings,
        at=at,
        model=asked["model"],
        data=asked["data"],
        split=asked["split"],
        images=evaluation.images,
        truths=evaluation.truths,
        protocol=evaluation.protocol,
    )


def _ruling(requirement: Requirement, value: float | None, interval: Estimate | None, at: At) -> Ruling:
    condition, limit = requirement.condition, requirement.limit
    wants_more = condition.sign.startswith(">")
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    judged = value if at == "value" else low if wants_more else high
    return Ruling(condition.text, limit, value, low, high, judged, _holds(judged, condition.sign, limit))


def _holds(judged: float | None, sign: str, limit: float) -> bool:
    if judged is None:
        return False
    return {">=": judged >= limit, ">": judged > limit, "<=": judged <= limit, "<": judged < limit}[sign]
