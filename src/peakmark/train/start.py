"""What can a run start from? In order of precedence:

1. `model=` a checkpoint: its architecture and its weights, on whatever data is given (fine-tuning).
2. `pretrained=` a checkpoint: its weights, into the architecture that `model=` names.
   Both also take a YOLOv8 .pt file of another program: its weights and class names, read without running it.
3. `model=yolov8n.yaml` and its like: fresh weights, a pure function of the seed.

Going on with a run is another thing: it restores the whole state, not only weights.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import ForeignFileError, read
from peakmark.errors import ModelFileError
from peakmark.model.detector import Detector, build_detector
from peakmark.model.foreign import ForeignModel, read_foreign_model
from peakmark.model.scales import SCALES, Scale
from peakmark.model.transfer import transfer


@dataclass(frozen=True, slots=True)
class ModelSource:
    """An architecture, and what it came with, if anything: a checkpoint of ours or weights of another program."""

    name: str
    """As the user wrote it."""
    scale: Scale
    checkpoint: Checkpoint | None = None
    foreign: ForeignModel | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that its weights know; none for an architecture."""
        trained = self.checkpoint or self.foreign
        return trained.names if trained else ()

    @property
    def weights(self) -> Mapping[str, torch.Tensor] | None:
        if self.checkpoint is not None:
            return self.checkpoint.model
        return self.foreign.weights if self.foreign else None


def find_model(name: str | Path) -> ModelSource:
    """Resolves what the user gave as a model. Raises ModelFileError; nothing is ever downloaded."""
    text = str(name)
    scale = SCALES.get(text.removesuffix(".yaml").removesuffix(".yml"))
    path = Path(text).expanduser()
    if scale is not None and not path.exists():
        return ModelSource(text, scale)
    if path.suffix in (".yaml", ".yml"):
        raise ModelFileError(
            f"model={text}: not one of the architectures that are built in: {', '.join(f'{n}.yaml' for n in SCALES)}."
            f"{_did_you_mean(text)}"
        )
    if not path.exists():
        raise ModelFileError(
            f"model={text}: there is no such file.{_did_you_mean(text)} Nothing is downloaded: give the path of a"
            " checkpoint such as runs/detect/train/weights/best.pt, or an architecture such as yolov8n.yaml."
        )
    if path.is_dir():
        raise ModelFileError(f"model={text}: this is a folder; give the checkpoint in it, such as weights/best.pt.")
    try:
        checkpoint = read(path)
    except ForeignFileError:
        foreign = read_foreign_model(path)
        return ModelSource(text, foreign.scale, foreign=foreign)
    if checkpoint.architecture not in SCALES:
        raise ModelFileError(f"model={text}: its architecture {checkpoint.architecture} is unknown to this version.")
    return ModelSource(text, SCALES[checkpoint.architecture], checkpoint)


def _did_you_mean(text: str) -> str:
    near = difflib.get_close_matches(Path(text).stem, SCALES, n=1, cutoff=0.7)
    return f" Did you mean {near[0]}.yaml?" if near else ""


def starting_model(
    source: ModelSource, pretrained: str | None, names: tuple[str, ...], seed: int
) -> tuple[Detector, tuple[str, ...]]:
    """Builds the model that a run starts with, and says in sentences where its weights come from."""
    model = build_detector(source.scale, len(names), seed)
    given = source if pretrained is None else find_model(pretrained)
    if given.weights is None:
        if pretrained is not None:
            raise ModelFileError(
                f"pretrained={pretrained}: this is an architecture without weights; give a checkpoint."
            )
        return model, ()
    said = transfer(model, given.weights, old_names=given.names, new_names=names)
    notes = [f"A new run from the weights of {given.name}: {said}"]
    if given.foreign:
        notes.append(f"{given.name} is a file of another program: weights are imported, nothing in it was executed.")
    return model, tuple(notes)


def trained_model(checkpoint: Checkpoint) -> Detector:
    """Builds the model of a checkpoint with the weights that were validated."""
    model = Detector(SCALES[checkpoint.architecture], len(checkpoint.names))
    model.load_state_dict(checkpoint.model, assign=True)
    return model
