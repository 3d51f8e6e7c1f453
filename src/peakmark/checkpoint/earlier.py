"""How does a file of an earlier format version read as one of today? One small step a version, each for ever.

It must not know the file, nor change what is in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from peakmark.checkpoint.format import comparable
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe

_BEARING_ON_RECIPE = ("optimizer", "lr0", "momentum", "warmup_bias_lr", "weight_decay", "epochs", "batch", "nbs")


def as_today(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Gives the content of a file of any version that was, as the newest version has it."""
    if plain["format_version"] == 1:
        plain = _from_1(plain)
    return _from_2(plain) if plain["format_version"] == 2 else plain


def _from_1(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 1 had one segment a run, and didn't say in it what follows from the settings."""
    settings, history = plain["settings"], plain["history"]
    data = plain["provenance"]["data"]
    wishes = {name: settings[name] for name in _BEARING_ON_RECIPE if name in settings}
    images = history["records"][-1]["images"] if history["records"] else data["train_images"]
    chosen = recipe(Settings.model_validate({"data": "-", **wishes}), classes=len(plain["names"]), images=images)
    settled = {
        "recipe": dataclasses.asdict(chosen),
        "horizon": settings["epochs"],
        "comparable": comparable(data.get("val"), settings["imgsz"]),
        "rewarm_epochs": 0.0,
        "gone": [],
    }
    segments = [{**segment, **settled} for segment in history["segments"]]
    return {**plain, "format_version": 2, "history": {**history, "segments": segments}}


def _from_2(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 2 stopped at once where patience was used up, and took every gain for one."""
    added = {"min_delta": 0.0, "stop_phase": "now"}
    history = plain["history"]
    segments = [
        {**segment, "settings": {**segment["settings"], **added}, "until": None} for segment in history["segments"]
    ]
    return {
        **plain,
        "format_version": 3,
        "settings": {**plain["settings"], **added},
        "result_settings": [*plain["result_settings"], *added],
        "history": {**history, "segments": segments},
    }
