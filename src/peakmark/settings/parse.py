"""Are these the settings of a run? Turns what the user wrote into checked settings, or lists every mistake at once.

It must not know where the pairs come from (a command line, Python, a file), and reads no file itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from peakmark.errors import SettingsError
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.description import as_written, describe
from peakmark.settings.familiar_words.translation import translated
from peakmark.settings.rules import Adjustment, Note, Violation, findings

M = TypeVar("M", bound=SettingsModel)
Origin = Literal["given", "default", "adjusted"]


@dataclass(frozen=True, slots=True)
class Parsed(Generic[M]):
    """Checked settings, and how they came about."""

    settings: M
    origins: Mapping[str, Origin]
    notes: tuple[str, ...]
    """What the user should read before anything starts, a sentence or two each."""


def parse(kind: type[M], given: Mapping[str, Any], base: M | None = None) -> Parsed[M]:
    """Checks settings, given as Python values or as written on a command line (`"None"`, `"1e-3"`, `"[0,1]"`).

    What isn't given is as in `base`, the settings of a run that is resumed, or else at its default. Raises
    SettingsError with a sentence for every mistake: unknown names, wrong values, values that can't stand together.
    """
    typed = translated(kind, given)
    values = {name: _value(raw) for name, raw in typed.values.items()}
    known = {name: value for name, value in values.items() if value is not None or _may_be_none(kind, name)}
    violations = list(typed.violations)
    settings, wrong = _checked(kind, {**dict(base or ()), **known})
    violations += wrong
    found = list(findings(settings, known.keys()))
    violations += [finding.text for finding in found if isinstance(finding, Violation)]
    if violations:
        raise SettingsError(violations)
    adjusted = {finding.name: finding.value for finding in found if isinstance(finding, Adjustment)}
    origins: dict[str, Origin] = {name: "given" if name in known else "default" for name in kind.model_fields}
    origins.update(dict.fromkeys(adjusted, "adjusted"))
    notes = (*typed.notes, *(finding.text for finding in found if isinstance(finding, Note | Adjustment)))
    return Parsed(settings.model_copy(update=adjusted), origins, notes)


def parse_changes(base: M, given: Mapping[str, Any]) -> Parsed[M]:
    """Checks the settings of a run that is resumed with changes; its notes are only of what the changes bring along.

    Raises as `parse`.
    """
    parsed, known = parse(type(base), given, base=base), parse(type(base), {}, base=base).notes
    return replace(parsed, notes=tuple(note for note in parsed.notes if note not in known))


def _may_be_none(kind: type[SettingsModel], name: str) -> bool:
    """Whether None is a value of its own; elsewhere it stands for the default, as people write it."""
    field = kind.model_fields[name]
    return field.is_required() or field.default is None or type(None) in get_args(field.annotation)


def _value(raw: Any) -> Any:
    """Reads the words that stand for Python's constants and lists; numbers are read by the setting's own type."""
    if not isinstance(raw, str):
        return raw
    text = raw.strip()
    if text.startswith("[") and text.endswith("]"):
        return [item.strip() for item in text[1:-1].split(",") if item.strip()]
    return {"none": None, "null": None, "true": True, "false": False}.get(text.lower(), text)


_HINTS: Mapping[str, str] = {
    "batch": "; -1, or a share such as 0.7, takes as many as fit into the memory",
}
"""What is to be said beside the range of a setting that has other values, too."""


def _checked(kind: type[M], values: Mapping[str, Any]) -> tuple[M, list[str]]:
    """Builds the settings; where some are wrong, the rest with defaults, so that the rules can speak as well."""
    try:
        return kind.model_validate(values), []
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    wrong = {str(mistake["loc"][0]) for mistake in mistakes}
    rest = {name: value for name, value in values.items() if name not in wrong}
    # A setting that must be given has no default to stand in for it; no rule minds an empty text.
    absent = {name: "" for name in wrong if kind.model_fields[name].is_required()}
    return kind.model_validate(rest | absent), [_sentence(kind, mistake) for mistake in mistakes]


def _sentence(kind: type[SettingsModel], mistake: ErrorDetails) -> str:
    """Says what is wrong with one setting in our own words; pydantic's speak of inputs and types."""
    description = describe(kind)[str(mistake["loc"][0])]
    name, written = description.name, f"{description.name}={as_written(mistake['input'])}"
    match mistake["type"]:
        case "missing":
            return f"{name} is missing; write {name}=... ({description.meaning})."
        case "value_error":
            return f"{written} {mistake['ctx']['error']}."
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            unit = f" ({description.unit})" if description.unit else ""
            return f"{written} is out of range; {name} is {description.allowed}{unit}{_HINTS.get(name, '')}."
        case _:
            return f"{written} can't be used; {name} is {description.allowed}."
