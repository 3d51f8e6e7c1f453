"""What is not the same in several runs? Settings, data, machine, libraries and more, a value per run.

Only what differs is told. It must not know which run is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from peakmark.record.comparison import Difference
from peakmark.record.data_listing import Listing, differences
from peakmark.release.comparison.runs import Run
from peakmark.settings.description import as_written, describe
from peakmark.settings.fields import Settings

_ALWAYS_ANOTHER: Final = ("name", "project", "exist_ok")
"""Where a run lies is how it is called here; that it differs says nothing."""
_ABSENT: Final = "–"
_DIGITS: Final = 12
"""Of a fingerprint, enough to tell two apart."""


def differing_settings(runs: Sequence[Run]) -> tuple[Difference, ...]:
    """Lists the settings that differ, those that bear on the result first, in the order of the help."""
    known = describe(Settings)
    found = []
    for name, values in _differing([run.settings for run in runs]):
        if name not in _ALWAYS_ANOTHER:
            defaults = tuple(run.origins.get(name) == "default" for run in runs)
            bears = name not in known or known[name].bears_on in ("result", "content")
            found.append(Difference(name, values, defaults, bears))
    place = {name: number for number, name in enumerate(known)}
    return tuple(sorted(found, key=lambda each: (not each.bears_on_result, place.get(each.name, len(place)))))


def differing_surroundings(runs: Sequence[Run]) -> tuple[Difference, ...]:
    """Lists what differs around the settings: data, model, optimizer in use, machine, libraries."""
    return tuple(
        Difference(name, values)
        for of in (_data, _model, _optimizer, lambda run: run.arithmetic, lambda run: run.versions)
        for name, values in _differing([of(run) for run in runs])
    )


def differing_files(one: Run, other: Run) -> tuple[str, ...]:
    """Says which images and labels differ between the listings of two runs; empty where that isn't known."""
    if one.listing is None or other.listing is None:
        return ()
    return differences(one.listing, other.listing) or _another_order(one.listing, other.listing)


def _another_order(one: Listing, other: Listing) -> tuple[str, ...]:
    return tuple(
        f"{split}: the same files, in another order."
        for split in one
        if split in other and list(one[split]) != list(other[split])
    )


def _data(run: Run) -> dict[str, Any]:
    return {
        "training images": run.data.get("train_images"),
        "training data": str(run.data.get("train"))[:_DIGITS],
        "validation images": run.data.get("val_images"),
        "validation data": str(run.data.get("val"))[:_DIGITS],
    }


def _model(run: Run) -> dict[str, Any]:
    return {"architecture": run.architecture, "classes": ", ".join(run.classes)}


def _optimizer(run: Run) -> dict[str, Any]:
    """What an automatic choice came to: the settings alone say only that it was left to it."""
    recipe = run.history.segments[-1].recipe
    return {f"{name} in use": recipe[name] for name in ("optimizer", "lr0", "momentum")}


def _differing(mappings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name in dict.fromkeys(name for mapping in mappings for name in mapping):
        written = tuple(as_written(each[name]) if name in each else _ABSENT for each in mappings)
        if len(set(written)) > 1:
            yield name, written
