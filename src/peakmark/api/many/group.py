"""How are several trainings one thing? In one folder, each a run of its own in it, and resumed as a whole.

What is asked for is written down first, in asked.json, so that a killed group goes on as it was meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from peakmark.api.asking import checked
from peakmark.api.model.beside import check_places
from peakmark.api.model.results import TrainResults
from peakmark.api.model.yolo import YOLO
from peakmark.data.dataset import DatasetSpec
from peakmark.distributed.launched import is_one_of_several
from peakmark.errors import ModelFileError, SettingsError
from peakmark.events import Notice, Observer
from peakmark.files.durable import write_text
from peakmark.files.given_path import given_path
from peakmark.nouns.outcome import OVER
from peakmark.record.folder import RunFolder, create_run_folder
from peakmark.record.plain_json import as_json
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.familiar_words.translation import in_our_names
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import to_plain
from peakmark.settings.processes import processes_of

M = TypeVar("M", bound=SettingsModel)
_FILE = "asked.json"
EXECUTION = ("device", "workers", "threads", "cache")
"""Settings of a training that each process may have otherwise."""
PATHS = ("data", "model", "pretrained")
"""Those that may be a file's path."""


@dataclass(frozen=True, slots=True)
class Group(Generic[M]):
    """Trainings that belong together."""

    folder: Path
    wishes: M
    training: Mapping[str, Any]
    """The settings of each training that somebody gave, as plain values; the others are at their defaults."""
    spec: DatasetSpec

    def settings(self) -> Settings:
        """Of a training, with the defaults."""
        return parse(Settings, self.training).settings

    def train(self, name: str, observe: Observer, **settings: Any) -> TrainResults:
        """Does one training, or goes on with it; `settings` count before those of the group. Raises as `train` does."""
        folder = RunFolder(self.folder / name)
        if folder.settings_yaml.is_file():
            return YOLO().resume(folder.path, observer=observe)
        asked = {**self.training, **settings}
        model = YOLO(asked.pop("model", Settings.model_fields["model"].default))
        # A folder without settings was left by a kill before the run began: it is moved aside, and holds nothing.
        return model.train(observer=observe, **asked, project=self.folder, name=name, exist_ok=True)


def open_group(kind: type[M], given: Mapping[str, Any], observe: Observer) -> Group[M]:
    """Begins a group, or opens the one that `resume=` names.

    Raises SettingsError and DataError with every mistake, before anything is written, and MachineError.
    """
    own = {name: value for name, value in given.items() if name in kind.model_fields}
    training = {name: value for name, value in given.items() if name not in kind.model_fields}
    if refused := list(_refused(training)):
        raise SettingsError(refused)
    if own.get("resume") is not None:
        return _opened(kind, own, training)
    wishes = parse(kind, own).settings
    parsed, spec = checked(Settings, training, check_places)
    _check_each(parsed.settings)
    plain = to_plain(parsed.settings)
    training = {name: plain[name] for name in in_our_names(Settings, training) if name in plain}
    for name in PATHS:
        place = Path(str(training.get(name))).expanduser()
        if place.exists():
            training[name] = str(place.absolute())  # it may be resumed from another folder
    places = to_plain(wishes)
    folder, said = create_run_folder(Path(str(places["project"])), str(places["name"]), exist_ok=False)
    write_text(folder.path / _FILE, as_json({"own": places, "training": training}, indent=1) + "\n")
    for note in (*parsed.notes, *said):
        observe(Notice(note))
    return Group(folder.path.absolute(), wishes, training, spec)


def _refused(training: Mapping[str, Any]) -> Iterator[str]:
    """What a group can't give to each of its trainings, in words."""
    if callable(training.get("fitness")):
        yield "fitness=: a function in Python can't be written down for a group; give it as a formula."
    if "exist_ok" in training:
        yield "exist_ok: a group never takes the folder of another one; leave it out, or give another name."
    if "time" in training:
        yield "time: a training that it ends has not come to its end, and the group would wait for it; give epochs."


def _check_each(settings: Settings) -> None:
    """Raises SettingsError where these can't be the settings of trainings that belong together."""
    if not settings.val:
        raise SettingsError(["val=False: without a validation no run is better than another; leave it out."])
    if processes_of(settings) > 1 or is_one_of_several():
        raise SettingsError(
            [
                "tune, seeds and folds train with one process each: leave out processes and torchrun, and name one"
                " device. Several workers share a study: peakmark tune resume=FOLDER device=1."
            ]
        )


def _opened(kind: type[M], own: Mapping[str, Any], training: Mapping[str, Any]) -> Group[M]:
    folder = given_path(str(own["resume"]), "resume")
    try:
        asked = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        before, kept = dict(asked["own"]), dict(asked["training"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"resume={own['resume']}: there is no {_FILE} in it to resume from.") from error
    fixed = [name for name in training if name not in EXECUTION]
    if fixed:
        raise SettingsError([f"{', '.join(fixed)}: what is resumed keeps its settings; leave them out."])
    wishes = parse(kind, {**before, **own}).settings
    changed = [
        name
        for name, value in to_plain(wishes).items()
        if kind.model_fields[name].json_schema_extra["bears_on"] == "result"  # type: ignore[index]
        and value != before.get(name)
        and name not in ("trials", "n", "repeat")
    ]
    if changed:
        raise SettingsError([f"{', '.join(changed)}: what is resumed keeps its settings; leave them out."])
    training = {**kept, **training}
    parsed, spec = checked(Settings, training, check_places)
    _check_each(parsed.settings)
    return Group(folder.absolute(), wishes, training, spec)


def is_over(results: TrainResults) -> bool:
    """Whether a training came to its end; else somebody stopped it, and the group is to stop as well."""
    return results.outcome in OVER
