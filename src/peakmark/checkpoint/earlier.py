"""How does a file of an earlier format version read as one of today? One small step a version, each for ever.

It must not know the file, nor change what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peakmark.nouns.evaluation import PROTOCOL
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe

_BEARING_ON_RECIPE = ("optimizer", "lr0", "momentum", "warmup_bias_lr", "weight_decay", "epochs", "batch", "nbs")


def as_today(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Gives the content of a file of any version that was, as the newest version has it."""
    for version, step in enumerate((_from_1, _from_2, _from_3, _from_4, _from_5, _from_6), start=1):
        if plain["format_version"] == version:
            plain = step(plain)
    return plain


def _from_1(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 1 had one segment a run, and didn't say in it what follows from the settings."""
    settings, history = plain["settings"], plain["history"]
    data = plain["provenance"]["data"]
    wishes = {name: settings[name] for name in _BEARING_ON_RECIPE if name in settings}
    images = history["records"][-1]["images"] if history["records"] else data["train_images"]
    then = Settings.model_validate({"data": "-", **_always_the_same(settings), **wishes})
    chosen = recipe(then, classes=len(plain["names"]), images=images)
    settled = {
        # The rules of training too are those of its time: a run keeps what it began with.
        "recipe": chosen.to_plain() | {"version": 1},
        "horizon": settings["epochs"],
        "comparable": _compared_then(data.get("val"), settings["imgsz"]),
        "rewarm_epochs": 0.0,
        "gone": [],
    }
    segments = [{**segment, **settled} for segment in history["segments"]]
    return {**plain, "format_version": 2, "history": {**history, "segments": segments}}


def _compared_then(val_fingerprint: str | None, side_px: int) -> str:
    """What a validation was made of: squares of `side_px`."""
    data = f"validation data {val_fingerprint}" if val_fingerprint else "no validation data"
    return f"{data}, {side_px} px, {PROTOCOL}"


def _from_2(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 2 stopped at once where patience was used up, and took every gain for one."""
    history = plain["history"]
    segments = [{**segment, "until": None} for segment in history["segments"]]
    plain = {**plain, "format_version": 3, "history": {**history, "segments": segments}}
    return _with_settings(plain, {"min_delta": 0.0, "stop_phase": "now"})


def _from_3(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 3 compiled nothing, and only OpenCV augmented images."""
    arithmetic = {**plain["arithmetic"], "compiled": False, "augmentation": "opencv"}
    plain = {**plain, "format_version": 4, "arithmetic": arithmetic}
    return _with_settings(plain, {"compile": False})


def _from_4(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 4 validated all runs with the same thresholds."""
    plain = {**plain, "format_version": 5}
    return _with_settings(plain, {"conf": 0.001, "iou": 0.7, "max_det": 300})


def _from_5(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 5 chose no nominal batch and no closing; its first files know no cutmix and no version of the rules."""
    if "cutmix" not in plain["settings"]:
        # A run without it would otherwise be restored to other settings than its file has, and refused for it.
        plain = _with_settings(plain, {"cutmix": 0.0})
    history = plain["history"]
    segments = [
        {**segment, "recipe": {"version": 1, **segment["recipe"]} | _always_the_same(segment["settings"])}
        for segment in history["segments"]
    ]
    return {**plain, "format_version": 6, "history": {**history, "segments": segments}}


def _from_6(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 6 moved batch-norm statistics in every forward pass."""
    arithmetic = plain["arithmetic"]
    # That of an imported file is empty: nobody knows.
    known = {**arithmetic, "statistics": "in place"} if arithmetic else arithmetic
    return {**plain, "format_version": 7, "arithmetic": known}


def _always_the_same(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What was a number in the settings of every run before version 6."""
    return {name: settings.get(name, usual) for name, usual in (("nbs", 64), ("close_mosaic", 10))}


def _with_settings(plain: Mapping[str, Any], added: Mapping[str, Any]) -> Mapping[str, Any]:
    """Adds settings that bear on the result, as every run before them was."""
    history = plain["history"]
    segments = [{**segment, "settings": {**segment["settings"], **added}} for segment in history["segments"]]
    return {
        **plain,
        "settings": {**plain["settings"], **added},
        "result_settings": [*plain["result_settings"], *added],
        "history": {**history, "segments": segments},
    }
