"""What did the user mean by a setting that is none of ours? The habits of the field, answered by one rule.

What has another name here is translated. What asks for something that happens anyway is taken. What Peakmark lacks is
named as lacking, with what to do instead. A nearest name is offered for what looks like a slip of the keys, and for
nothing else: `nms=True` is no slip of `nbs`. Whatever is taken is said once, and ends as the very settings that our
own words would have given: two names for one thing must not make two runs look different that are the same.
It must not know what a setting does.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peakmark.settings.declaration import SettingsModel
from peakmark.settings.description import as_written
from peakmark.settings.familiar_words.habits import HABITS, SAME_THING, Habit, habit_of
from peakmark.settings.fields import (
    AuditSettings,
    ConvertSettings,
    GateSettings,
    ImportSettings,
    LogSettings,
    PredictSettings,
    PromoteSettings,
    ResumeSettings,
    Settings,
    TrackSettings,
    ValSettings,
)

COMMANDS: dict[str, type[SettingsModel]] = {
    "train": Settings,
    "val": ValSettings,
    "predict": PredictSettings,
    "track": TrackSettings,
    "audit": AuditSettings,
    "convert": ConvertSettings,
    "promote": PromoteSettings,
    "gate": GateSettings,
    "import": ImportSettings,
    "log": LogSettings,
    "resume": ResumeSettings,
}
_SLIP = 0.8
"""Likeness from which a name is taken for a slip of the keys: epoch and epochs, mosiac and mosaic; not nms and nbs."""


@dataclass(slots=True)
class Translated:
    """What was typed, in our words."""

    values: dict[str, Any] = field(default_factory=dict)
    """By the names of settings; names that are none are left out."""
    notes: list[str] = field(default_factory=list)
    """What the user should read of it, a sentence each."""
    violations: list[str] = field(default_factory=list)
    """A sentence for each that can't be taken."""
    became: dict[str, str] = field(default_factory=dict)
    """What became of each, by the name that was typed, in a few words."""


def translated(kind: type[SettingsModel], given: Mapping[str, Any]) -> Translated:
    """Says everything that was typed in the names of `kind`; where that can't be done, why, and what to write."""
    result = Translated()
    command = next((name for name, each in COMMANDS.items() if each is kind), "")
    renamed: list[str] = []
    anyway: list[str] = []
    for name, value in given.items():
        if name == "cfg" and not isinstance(value, str | Path | None):
            result.notes.append(str(value))  # a file that has been read: its lines stand beside it
            continue
        ours = _our_name(kind, name)
        if ours in kind.model_fields and (ours == name or ours not in given):
            taken = _in_our_form(ours, value, result)
            if ours in result.values and result.values[ours] != taken:
                result.violations.append(
                    f"{name}={as_written(value)} is {ours}, which is given already; keep one of them."
                )
            result.values[ours] = taken
            as_ours = f"{ours}={as_written(taken)}"
            result.became[name] = "taken as it is" if (ours, taken) == (name, value) else f"taken as {as_ours}"
            if ours.rstrip("_") != name:
                renamed.append(f"{name}={as_written(value)} as {as_ours}")
            continue
        habit = habit_of(_plain(name), command)
        if habit is not None and habit.asks_for_nothing(value):
            anyway.append(f"{name}={as_written(value)} ({habit.why})")
            result.became[name] = f"nothing to do: {habit.why}"
            continue
        sentence = _refused(kind, name, value, habit)
        result.violations.append(sentence)
        result.became[name] = sentence
    if renamed:
        result.notes.append(f"Taken under our names: {', '.join(renamed)}.")
    if anyway:
        result.notes.append(f"Nothing to do for {', '.join(anyway)}.")
    return result


def _plain(name: str) -> str:
    return name.lower().lstrip("-").replace("-", "_")


def _our_name(kind: type[SettingsModel], name: str) -> str:
    """What we call what is called `name`, whether there is such a setting or not."""
    plain = _plain(name)
    if f"{plain}_" in kind.model_fields:  # a word that Python keeps for itself, such as from
        return f"{plain}_"
    return name if name in kind.model_fields else SAME_THING.get(plain, plain)


def flags_of(kind: type[SettingsModel]) -> frozenset[str]:
    """The names that may stand alone on a command line, which switches them on."""
    switches = {name for name, field in kind.model_fields.items() if isinstance(field.default, bool)}
    return frozenset(switches | {name.strip() for name, habit in HABITS.items() if habit.is_a_switch} | {"resume"})


def in_our_names(kind: type[SettingsModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The same with names of the field replaced by ours where both aren't given; what is unknown stays."""
    named: dict[str, Any] = {}
    for name, value in given.items():
        ours = _our_name(kind, name)
        named[ours if ours in kind.model_fields and ours not in given and ours not in named else name] = value
    return named


def without_model(kind: type[SettingsModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given beside the model, by whatever name that goes."""
    return {name: value for name, value in given.items() if "model" not in in_our_names(kind, {name: value})}


def _in_our_form(name: str, value: Any, result: Translated) -> Any:
    """Takes what a single value was wrapped into out of it again; a height and a width become the longer side."""
    form = _FORMS.get(name)
    return value if form is None else form(value, result)


def _side(value: Any, result: Translated) -> Any:
    items = [item.strip() for item in value.strip("[]() ").split(",")] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not 1 <= len(items) <= 2:
        return value
    try:
        sides = [int(item) for item in items]
    except (TypeError, ValueError):
        return value
    if len(set(sides)) > 1:
        result.notes.append(
            f"imgsz={as_written(sides)} is taken as imgsz={max(sides)}, the longer side: training images are square,"
            " and validation and prediction look at each image in its own rectangle."
        )
    return max(sides)


def _weights(value: Any, result: Translated) -> Any:
    if value is not True and str(value).strip().lower() != "true":
        return value
    result.notes.append(
        "pretrained=True: a run starts from the weights of model=FILE.pt, and an architecture such as yolov8n.yaml from"
        " random ones; nothing is downloaded."
    )
    return None


_FORMS: Mapping[str, Callable[[Any, Translated], Any]] = {"imgsz": _side, "pretrained": _weights}


def _refused(kind: type[SettingsModel], name: str, value: Any, habit: Habit | None) -> str:
    """Says in a sentence why something can't be taken, and what to do."""
    fields, ours = kind.model_fields, _our_name(kind, name)
    if ours in fields:
        return f"{name} is {ours}, which is given as well; keep one of them."
    elsewhere = [command for command, other in COMMANDS.items() if ours in other.model_fields]
    if habit is not None:
        return f"{name}={as_written(value)} can't be taken: {habit.instead}."
    if elsewhere:
        return f"{name} is no setting here; it belongs to peakmark {' and peakmark '.join(elsewhere)}."
    near = difflib.get_close_matches(_plain(name), [each.rstrip("_") for each in fields], n=1, cutoff=_SLIP)
    if near:
        return f"{name} is no setting; the nearest one is {near[0]}: write {near[0]}={as_written(value)}."
    return f"{name} is no setting, and none comes near it; --help lists all."
