"""What does a file of settings ask for? `cfg=args.yaml`, of another trainer or of a run, line by line in our words.

It must not know what a setting does. What is given beside the file counts before what stands in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from peakmark.errors import SettingsError
from peakmark.files.given_path import NO_FILE_WORDS, given_path, is_special
from peakmark.files.plain_yaml import read_plain_yaml
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.description import as_written
from peakmark.settings.familiar_words.translation import COMMANDS, in_our_names, translated
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import to_plain

_CHOSEN_BY_AUTO = ("lr0", "momentum", "warmup_bias_lr")
_USUAL_THERE = {"nbs": 64, "close_mosaic": 10}


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file of settings that has been read: its lines are settings now."""

    path: str
    became: Mapping[str, str]
    """What became of each line, by the name that stands in it."""

    def __str__(self) -> str:
        width = max(map(len, self.became), default=0)
        lines = [f"  {name.ljust(width)}  {words}" for name, words in self.became.items()]
        return "\n".join((f"What became of the lines of {self.path}:", *lines))


def with_file(kind: type[SettingsModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Puts the settings of the file that `cfg=` names beside those that were given, which count before them.

    Raises SettingsError where it is no file of settings, and for each of its lines that can't be taken.
    """
    path = given.get("cfg")
    if path is None or isinstance(path, ReadFile):
        return dict(given)
    lines = _lines(given_path(str(path), "cfg"), path)
    open_there = _open_there(lines) | _of_yolov5(lines) if kind is Settings else {}
    lines = {name: value for name, value in lines.items() if name not in open_there}
    typed = translated(kind, {name: value for name, value in lines.items() if value is not None})
    ours = in_our_names(kind, given)
    became, wrong = {}, []
    for name, value in lines.items():
        if value is None:
            became[name] = "empty: the default"
        elif name in typed.became and typed.became[name] not in typed.violations:
            became[name] = f"{as_written(value)}: {typed.became[name]}"
        elif _is_of_another_command(kind, name):
            became[name] = f"{as_written(value)}: left out, it belongs to another command"
        else:
            wrong.append(f"{path}: {typed.became[name]} Change or remove the line.")
        if set(in_our_names(kind, {name: value})) & ours.keys():
            became[name] = f"{as_written(value)}: what is given beside the file counts"
    if wrong:
        raise SettingsError(wrong)
    return {**typed.values, **ours, "cfg": ReadFile(str(path), became | open_there)}


def as_far_as_known(said: Mapping[str, Any], *, as_it_ran: bool = False) -> dict[str, Any]:
    """Gives what another trainer's settings are in our words, as far as they are any of ours; the rest is left out.

    Nothing is refused: it is told of a training that is there. `as_it_ran`: with its usual numbers where ours would
    follow from the run's length, for a run that goes on with them. Deterministic.
    """
    open_there = {} if as_it_ran else _open_there(said)
    lines = {name: value for name, value in said.items() if name not in open_there and value is not None}
    typed = translated(Settings, lines).values
    try:
        parsed = parse(Settings, {"data": "-", **typed})
    except SettingsError:
        # One of them makes no sense: each is tried by itself.
        typed = {name: value for name, value in typed.items() if _is_known(name, value)}
        parsed = parse(Settings, {"data": "-", **typed})
    plain = to_plain(parsed.settings)
    # A share of the memory says nothing of how many images that came to there.
    return {name: plain[name] for name in typed if name != "batch" or parsed.settings.batch >= 1}


def _is_known(name: str, value: Any) -> bool:
    try:
        parse(Settings, {"data": "-", name: value})
    except SettingsError:
        return False
    return True


def _open_there(lines: Mapping[str, Any]) -> dict[str, str]:
    """What of another trainer's file nobody chose, with what becomes of it: taken as chosen, it would train otherwise.

    It writes every setting, set or not: with optimizer: auto rates that it ignores itself, and its usual numbers where
    ours follow from the run's length.
    """
    if not lines.keys() >= {"task", "mode"}:
        return {}
    found: dict[str, str] = {}
    if lines.get("optimizer", "auto") == "auto":
        ignored = [name for name in _CHOSEN_BY_AUTO if lines.get(name) is not None]
        found |= {name: f"{as_written(lines[name])}: left out, optimizer: auto chooses it" for name in ignored}
    usual = [name for name, value in _USUAL_THERE.items() if lines.get(name) == value]
    return found | {name: f"{_USUAL_THERE[name]}, its default: follows from the run's length here" for name in usual}


def _of_yolov5(lines: Mapping[str, Any]) -> dict[str, str]:
    """What has our name in a file of YOLOv5's and is another thing there: taken as ours, its usual 1 would weigh every
    class by its full inverse frequency. Raises SettingsError where it asks for what Peakmark lacks.
    """
    weight = lines.get("cls_pw")
    if "obj_pw" not in lines or weight is None:
        return {}
    if weight != 1:
        raise SettingsError(
            [
                f"cls_pw: {as_written(weight)} beside obj_pw, so in a file of YOLOv5's, is the weight of positives,"
                " which Peakmark lacks. Remove the line; cls_pw here weighs classes by their inverse frequency."
            ]
        )
    return {"cls_pw": f"{as_written(weight)}: left out, beside obj_pw it is the weight of positives, and 1 is none"}


def _is_of_another_command(kind: type[SettingsModel], name: str) -> bool:
    return any(name in other.model_fields for other in COMMANDS.values() if other is not kind) or name == "source"


def _lines(path: Path, given: Any) -> dict[str, Any]:
    if is_special(path):
        raise SettingsError([f"cfg={given}: {NO_FILE_WORDS} of settings such as args.yaml."])
    if not path.is_file():
        raise SettingsError([f"cfg={given}: there is no such file; give a file of settings such as args.yaml."])
    try:
        content, _ = read_plain_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingsError([f"cfg={given}: this can't be read as YAML ({reason})."]) from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SettingsError([f"cfg={given}: this holds no settings; a line is written as epochs: 100."])
    return content
