"""Which settings are there for searching and repeating? Those of tune, seeds and folds, beside those of a training.

What a setting does is not known here, only what it means.
"""

from __future__ import annotations

from typing import Any, Literal

from peakmark.settings.declaration import Checkpoint, Real, SettingsModel, Text, Whole, setting
from peakmark.settings.shared_words import INPUT, LENGTH, MACHINE, OPTIMISATION, OUTPUT


def _project() -> Any:
    return setting("runs/detect", "folder that its folder lies in", OUTPUT, "output")


class TuneSettings(SettingsModel):
    """How settings are searched. Every setting of a training may be given beside these, and holds for each trial."""

    space: Text | None = setting(
        None,
        "what is searched: ranges and choices, e.g. lr0=1e-4..1e-2 log, mosaic=0..1, optimizer=SGD|AdamW",
        OPTIMISATION,
        "result",
        unset="lr0, weight_decay, box, cls, mosaic, scale, translate",
    )
    trials: Whole = setting(20, "trainings, all of them together", LENGTH, "result", ge=1)
    time: Real | None = setting(
        None,
        "begin no trial after this much training, of all sessions and workers together",
        LENGTH,
        "execution",
        unit="hours",
        unset="no limit",
        gt=0,
    )
    sampler: Literal["tpe", "random"] = setting("tpe", "how Optuna draws the next trial", OPTIMISATION, "result")
    pruner: Literal["none", "median", "hyperband"] = setting(
        "none", "how Optuna gives up trials early, by the fitness of their epochs", LENGTH, "result"
    )
    repeat: Whole = setting(
        2, "other seeds that the winner and the start's settings are trained with at the end", LENGTH, "result", ge=0
    )
    storage: Text | None = setting(
        None, "a database of Optuna, e.g. postgresql://...", MACHINE, "execution", unset="a file in the folder"
    )
    resume: Checkpoint = setting(
        None, "folder of a study to go on with, alone or as one more worker", INPUT, "execution", unset="a new study"
    )
    project: Text = _project()
    name: Text = setting("tune", "name of the study; a number follows where it is taken", OUTPUT, "output")


class SeedsSettings(SettingsModel):
    """How a training is repeated. Every setting of a training may be given beside these."""

    n: Whole = setting(5, "seeds: 0 to n - 1", LENGTH, "result", ge=2)
    resume: Checkpoint = setting(None, "folder to go on in", INPUT, "execution", unset="a new folder")
    project: Text = _project()
    name: Text = setting("seeds", "name of the folder; a number follows where it is taken", OUTPUT, "output")


class FoldsSettings(SettingsModel):
    """How a set is cross-validated. Every setting of a training may be given beside these."""

    k: Whole = setting(5, "parts; each is validated on by a training on the others", INPUT, "result", ge=2)
    resume: Checkpoint = setting(None, "folder to go on in", INPUT, "execution", unset="a new folder")
    project: Text = _project()
    name: Text = setting("folds", "name of the folder; a number follows where it is taken", OUTPUT, "output")
