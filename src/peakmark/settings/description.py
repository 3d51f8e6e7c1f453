"""How is a setting told to a person? As rows for the help, and as the words of an error.

It reads the declarations and must not know any particular setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from peakmark.settings.declaration import BearsOn, SettingsModel


@dataclass(frozen=True, slots=True)
class Description:
    """One setting in words."""

    name: str
    meaning: str
    group: str
    bears_on: BearsOn
    unit: str | None
    range: str
    """Short, for a table: `0 to 1`, `SGD, Adam`; empty where the meaning says it."""
    kind: str
    """`a whole number`, `one of`, ...; with `range` behind it a phrase for a sentence."""
    default: str
    """As a user would write it; empty where the setting must be given."""
    unset: str | None
    """What None comes to, where None is the default."""
    added: bool
    """Bears on the result, and there are runs from before it was there, which are as at its default."""

    @property
    def allowed(self) -> str:
        """What it may be, as a phrase: `a whole number from 1`, `one of full, fast`."""
        return f"{self.kind} {self.range}".rstrip()


@cache
def describe(kind: type[SettingsModel]) -> dict[str, Description]:
    """Describes every setting of a kind, by name, in the order of declaration."""
    return {name: _describe(name, field) for name, field in kind.model_fields.items()}


def added_settings(kind: type[SettingsModel]) -> dict[str, Any]:
    """The settings of a kind that runs from before them lack, with what these runs were: the defaults."""
    return {name: kind.model_fields[name].default for name, setting in describe(kind).items() if setting.added}


def as_written(value: Any) -> str:
    """Writes a value as a user would on the command line: None, True, 0.5, [0,1]."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(as_written(item) for item in value) + "]"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _describe(name: str, field: FieldInfo) -> Description:
    extra = cast("dict[str, Any]", field.json_schema_extra)
    choices, types, limits = _pulled_apart(field)
    kind, allowed = _kind_and_range(choices, types, limits)
    return Description(
        name=name.rstrip("_"),
        meaning=field.description or "",
        group=extra["group"],
        bears_on=extra["bears_on"],
        unit=extra["unit"],
        range=allowed,
        kind=kind,
        default="" if field.is_required() else as_written(field.default),
        unset=extra["unset"],
        added=extra["added"],
    )


def _pulled_apart(field: FieldInfo) -> tuple[list[str], set[Any], dict[str, float]]:
    """The choices, the plain types and the limits that a declaration is made of."""
    choices: list[str] = []
    types: set[Any] = set()
    for part in _parts(field.annotation):
        if get_origin(part) is Literal:
            choices += [str(choice) for choice in get_args(part)]
        else:
            types.add(part)
    limits: dict[str, float] = {}
    for limit in field.metadata:
        match limit:
            case annotated_types.Gt(gt):
                limits["gt"] = cast(float, gt)
            case annotated_types.Ge(ge):
                limits["ge"] = cast(float, ge)
            case annotated_types.Lt(lt):
                limits["lt"] = cast(float, lt)
            case annotated_types.Le(le):
                limits["le"] = cast(float, le)
            case _:
                pass
    return choices, types, limits


def _parts(annotation: Any) -> Iterator[Any]:
    """The leaves of a union or of an Annotated type, None left out."""
    if get_origin(annotation) in (Literal, tuple) or not get_args(annotation):
        if annotation is not type(None):
            yield annotation
        return
    inner = get_args(annotation)
    # In Annotated[X, ...] only the first argument is a type.
    for part in inner[:1] if hasattr(annotation, "__metadata__") else inner:
        yield from _parts(part)


def _kind_and_range(choices: list[str], types: set[Any], limits: dict[str, float]) -> tuple[str, str]:
    if choices:
        return "one of", ", ".join(choices)
    if bool in types:
        return "True or False", ""
    if int in types:
        return "a whole number", _range(limits)
    if float in types:
        return "a number", _range(limits)
    return ("text" if str in types else "a list of numbers such as [0,2]"), ""


def _range(limits: dict[str, float]) -> str:
    low = f"from {limits['ge']:g}" if "ge" in limits else f"above {limits['gt']:g}"
    if "le" in limits:
        return f"{low} to {limits['le']:g}" if "ge" in limits else f"{low}, up to {limits['le']:g}"
    return f"{low} to below {limits['lt']:g}" if "lt" in limits else low
