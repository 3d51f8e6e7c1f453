"""What does a name stand for, where a model is used? A checkpoint, another program's weights, an exported file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from peakmark.errors import ModelFileError, SettingsError
from peakmark.export.exported import ExportedModel, open_exported
from peakmark.export.registry import format_of
from peakmark.machine.cores import default_threads
from peakmark.model.detector import Detector
from peakmark.run.weights import ModelSource, find_model
from peakmark.settings.fields import PredictSettings, ValSettings

_PLAIN_WEIGHTS = "safetensors"
"""The format whose files hold what a training can start from."""


def find_usable(name: str | Path) -> ModelSource | ExportedModel:
    """Resolves what the user gave as a model. Raises ModelFileError, and MachineError where nothing runs its format."""
    path = Path(name)
    known = format_of(path)
    if known is None or not path.exists():
        return find_model(name)
    if known.name != _PLAIN_WEIGHTS:
        return open_exported(path, default_threads())
    try:
        return open_exported(path, default_threads())
    except ModelFileError:
        return find_model(name)  # bare tensors of anybody


def only_trainable(found: ModelSource | ExportedModel, purpose: str) -> ModelSource:
    """Gives the source of weights. Raises ModelFileError for an exported file, which can't be `purpose`."""
    if isinstance(found, ModelSource):
        return found
    if found.format.name == _PLAIN_WEIGHTS:
        return find_model(found.path)
    raise ModelFileError(
        f"model={found.path}: this is an exported file ({found.format.title}), which can be validated and used for"
        f" prediction, and not {purpose}; give the checkpoint that it was exported from."
    )


def usable(found: ModelSource | ExportedModel) -> Detector | ExportedModel:
    """Gives what computes: a network with its weights, or the file itself."""
    return found.detector() if isinstance(found, ModelSource) else found


def described_exported(path: Path) -> dict[str, Any] | None:
    """What `peakmark inspect` shows of an exported file; None for another. Raises as `find_usable` does."""
    known = format_of(path)
    found = find_usable(path) if known is not None and path.exists() else None
    if not isinstance(found, ExportedModel):
        return None
    files = [found.path] if found.path.is_file() else sorted(found.path.iterdir())
    return {
        "file": str(found.path),
        "size_bytes": sum(file.stat().st_size for file in files),
        "format": f"{found.format.title}, exported by Peakmark",
        **dataclasses.asdict(found.about),
    }


def class_names_of(found: ModelSource | ExportedModel) -> tuple[str, ...]:
    """The classes by number; none for an architecture."""
    return found.class_names if isinstance(found, ModelSource) else found.about.names


def as_changed(source: ModelSource, model: Detector) -> ModelSource:
    """Gives the source of a network that somebody was given: with its weights, where they were changed."""
    now = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    before = source.detector().state_dict()
    same = all(torch.equal(tensor, before[name]) for name, tensor in now.items())
    return source if same else source.with_weights(now)


def kind_of(found: ModelSource | ExportedModel) -> str:
    """What it is, in a word: an architecture, or a format."""
    return found.scale.name if isinstance(found, ModelSource) else found.format.title


def check_asked(model: Detector | ExportedModel, wishes: ValSettings | PredictSettings) -> None:
    """Refuses what an exported file can't do. Raises SettingsError with all of it."""
    if not isinstance(model, ExportedModel):
        return
    about, wrong = model.about, []
    if about.square and wishes.imgsz not in (None, about.side_px):
        wrong.append(
            f"imgsz={wishes.imgsz}: this file takes images of {about.side_px} px; export with dynamic=True for others"
        )
    if wishes.augment:
        wrong.append("augment=True: an exported file looks at each image once")
    if wishes.device not in (None, "cpu"):
        wrong.append(f"device={wishes.device}: an exported file is run on the processor")
    if wrong:
        raise SettingsError([f"{text}; the checkpoint can." for text in wrong])
