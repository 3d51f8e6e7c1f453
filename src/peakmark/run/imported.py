"""What does a model of another program become here? A checkpoint of ours: weights, names, settings, its origin.

It carries no numbers, since nothing of it was measured here, and no run goes on from it, as from a stripped file. What
its file says of itself stands in its provenance under `imported`, and stays with every run that begins with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from peakmark.checkpoint.format import IMPORTED, Checkpoint
from peakmark.checkpoint.reader import count_parameters
from peakmark.files.stores import sha256_of_file
from peakmark.model.foreign.reading import ForeignModel
from peakmark.model.scales import Scale
from peakmark.nouns.run import History, Position
from peakmark.run.provenance import versions
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import to_plain
from peakmark.settings.settings_file import as_far_as_known

_NO_DATA = {"yaml": None, "train": None, "train_images": 0, "val": None, "val_images": 0}


def imported_checkpoint(
    scale: Scale,
    names: tuple[str, ...],
    weights: Mapping[str, torch.Tensor],
    origin: Mapping[str, Any],
    train_args: Mapping[str, Any],
) -> Checkpoint:
    """Makes a checkpoint of a model; `origin` as `origin_of_file` gives it, `train_args` by their names there."""
    return Checkpoint(
        model=dict(weights),
        training_weights={},
        optimizer={},
        scaler=None,
        ema_updates=0,
        position=Position(),
        open_epoch={},
        counters={},
        history=History(),
        settings=_settings(scale, origin, train_args),
        # Nothing is settled by them here: they only say how it was trained there.
        result_settings=(),
        names=names,
        architecture=scale.name,
        # That it was trained with, nobody knows.
        arithmetic={},
        provenance={
            "versions": versions(),
            "data": dict(_NO_DATA),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "parent": None,
            "lineage": [],
            IMPORTED: dict(origin),
        },
        weights_epoch=None,
        validated=False,
        fitness=None,
        best_fitness=None,
        metrics=None,
    )


def origin_of_file(path: Path, model: ForeignModel) -> dict[str, Any]:
    """What is known of where such weights come from, as plain values. Raises MachineError where it can't be read."""
    return {
        "file": path.name,
        "sha256": sha256_of_file(path),
        **model.origin.to_plain(),
        "notes": list(model.notes),
    }


def _settings(scale: Scale, origin: Mapping[str, Any], train_args: Mapping[str, Any]) -> dict[str, Any]:
    """Its settings in our words where they are ours as well, and our defaults."""
    said = as_far_as_known(train_args)
    kept = {
        name: value
        for name, value in said.items()
        # Where files lay and how fast it went there says nothing of the model.
        if (Settings.model_fields[name].json_schema_extra or {}).get("bears_on") == "result"  # type: ignore[union-attr]
    }
    placed = {"model": f"{scale.name}.yaml", "data": origin.get("data") or ""}
    return to_plain(parse(Settings, {"data": "-"}).settings) | kept | placed


def origin_in_words(imported: Mapping[str, Any]) -> str:
    """Says in a sentence what `imported` of a provenance tells: the file, who wrote it, and its licence."""
    program = " ".join(filter(None, (imported["program"] or "another program", imported["version"])))
    licence = f"its licence, as it says: {imported['license']}" if imported["license"] else "it names no licence"
    return f"{imported['file']} ({program}; {licence})"


def describe_foreign(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Gives what `peakmark inspect` shows of a file of another program, of which this checkpoint was made."""
    origin = checkpoint.provenance[IMPORTED]
    return {
        "file": str(path),
        "size_bytes": path.stat().st_size,
        "format": "of another program; nothing in it was executed",
        "validated": False,
        **described_origin(origin),
        "architecture": checkpoint.architecture,
        "names": list(checkpoint.names),
        "parameters": count_parameters(checkpoint),
        "settings": checkpoint.settings,
    }


def described_origin(origin: Mapping[str, Any]) -> dict[str, Any]:
    """What such a file says of itself, in the words of `inspect`."""
    done, epochs = origin["epochs_done"], origin["epochs"]
    finished = {True: "ended", False: "interrupted", None: "whether it ended isn't said"}[origin["finished"]]
    return {
        "program": origin["program"],
        "version": origin["version"],
        "license": origin["license"],
        "docs": origin["docs"],
        "date": origin["date"],
        "sha256": origin["sha256"],
        "weights": origin["weights"],
        "training": f"{'?' if done is None else done} of {'?' if epochs is None else epochs} epochs done, {finished}",
        "trained_on": origin["data"],
        "metrics_there": dict(origin["metrics"]) or None,
        "notes": list(origin["notes"]),
    }
