"""What can a run start from? In order of precedence:

1. `model=` a checkpoint: its architecture and its weights, on whatever data is given (fine-tuning).
2. `pretrained=` a checkpoint: its weights, into the architecture that `model=` names.
   Both also take a YOLOv8 .pt file of another program, read without running it: it becomes a checkpoint of ours, with
   what it says of its origin. And bare tensors, whose classes have no names.
3. `model=yolov8n.yaml` and its like: fresh weights, a pure function of the seed.

Resuming a run is another thing: it restores the whole state, not only weights.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from peakmark.checkpoint.format import IMPORTED, Checkpoint
from peakmark.checkpoint.reader import ForeignFileError, read
from peakmark.errors import ModelFileError
from peakmark.files.given_path import NO_FILE_WORDS, given_path, is_special
from peakmark.files.safetensors_file import SUFFIX
from peakmark.model.detector import Detector, build_detector, classes_of, detector_from_weights
from peakmark.model.foreign.bare_tensors import in_our_names
from peakmark.model.foreign.reading import read_foreign_model, read_foreign_safetensors
from peakmark.model.scales import SCALES, Scale
from peakmark.model.transfer import misfit, transfer
from peakmark.run.imported import imported_checkpoint, origin_in_words, origin_of_file
from peakmark.run.known_models import how_to_get, in_cache

_COCO_CLASSES = 80


@dataclass(frozen=True, slots=True)
class ModelSource:
    """An architecture, and what it came with, if anything: a checkpoint, ours or made of another program's file.

    With `loaded`, these weights take the place of those that it came with: a program handed them over, or a file holds
    nothing else.
    """

    name: str
    """As the user wrote it."""
    scale: Scale
    checkpoint: Checkpoint | None = None
    loaded: Mapping[str, torch.Tensor] | None = None
    bare_origin: Mapping[str, Any] | None = None
    """Of weights that lie in a file alone, without names and settings."""
    is_foreign: bool = False
    """Whether its file is none that Peakmark wrote."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that its weights know; none for an architecture."""
        return self.checkpoint.names if self.checkpoint else ()

    @property
    def origin(self) -> Mapping[str, Any] | None:
        """What is known of where its weights come from, where they, or those that they were trained from, are not ours.

        The key `imported` of a provenance.
        """
        if self.checkpoint is not None:
            found: Mapping[str, Any] | None = self.checkpoint.provenance.get(IMPORTED)
            return found
        return self.bare_origin

    @property
    def weights(self) -> Mapping[str, torch.Tensor] | None:
        if self.loaded is not None:
            return self.loaded
        return self.checkpoint.model if self.checkpoint is not None else None

    @property
    def classes(self) -> int:
        """How many its weights know; 0 for an architecture."""
        return len(self.names) if self.loaded is None else classes_of(self.loaded)

    @property
    def class_names(self) -> tuple[str, ...]:
        """As they are shown: of weights that came without names, class0, class1 ..."""
        return self.names or tuple(f"class{number}" for number in range(self.classes))

    def detector(self) -> Detector:
        """Builds its network: with a copy of its weights, or fresh ones for as many classes as COCO has."""
        if self.weights is None:
            return build_detector(self.scale, _COCO_CLASSES, seed=0)
        return detector_from_weights(self.scale, self.weights)

    def with_weights(self, weights: Mapping[str, torch.Tensor]) -> ModelSource:
        """The same source with a copy of these weights, by our names or by those of the field; for another number of
        classes nobody knows their names.

        Raises ModelFileError where they are not those of this architecture.
        """
        try:
            weights = in_our_names(weights) or weights
        except ModelFileError as error:
            raise ModelFileError(f"These weights can't be taken: {error}.") from error
        classes = detector_from_weights(self.scale, weights).head.classes
        # The caller's may change later, while a training starts from them.
        own = {name: tensor.detach().clone() for name, tensor in weights.items()}
        known = self if classes == len(self.names) else ModelSource(self.name, self.scale)
        return dataclasses.replace(known, loaded=own)


def find_model(name: str | Path) -> ModelSource:
    """Resolves what the user gave as a model. Raises ModelFileError; nothing is downloaded here.

    A known name stands for the file that was fetched for it before, where there is none of that name.
    """
    text = str(name)
    scale = SCALES.get(text.removesuffix(".yaml").removesuffix(".yml"))
    path = given_path(text, "model")
    if is_special(path):
        raise ModelFileError(f"model={text}: {NO_FILE_WORDS}.")
    if scale is not None and not path.exists():
        return ModelSource(text, scale)
    if path.suffix in (".yaml", ".yml"):
        raise ModelFileError(
            f"model={text}: not one of the architectures that are built in: {', '.join(f'{n}.yaml' for n in SCALES)}."
            f"{_of_another_kind(text) or _did_you_mean(text)}"
        )
    if not path.exists() and (fetched := in_cache(text)) is not None:
        return _of_file(fetched, text)
    if not path.exists():
        remedy = (
            " Nothing is downloaded: give the path of a checkpoint such as runs/detect/train/weights/best.pt, or an"
            " architecture such as yolov8n.yaml."
        )
        said = _of_another_kind(text) or _did_you_mean(text)
        raise ModelFileError(f"model={text}: there is no such file.{how_to_get(path.name) or said + remedy}")
    if path.is_dir():
        raise ModelFileError(f"model={text}: this is a folder; give the checkpoint in it, such as weights/best.pt.")
    return _of_file(path, text)


def _of_file(path: Path, text: str) -> ModelSource:
    try:
        foreign = read_foreign_safetensors(path) if path.suffix == SUFFIX else None
        checkpoint = read(path) if foreign is None else None
    except ForeignFileError:
        checkpoint, foreign = None, read_foreign_model(path)
    if foreign is not None:
        origin = origin_of_file(path, foreign)
        if not foreign.names:
            return ModelSource(text, foreign.scale, loaded=foreign.weights, bare_origin=origin, is_foreign=True)
        made = imported_checkpoint(foreign.scale, foreign.names, foreign.weights, origin, foreign.train_args)
        return ModelSource(text, foreign.scale, made, is_foreign=True)
    assert checkpoint is not None
    _check_weights(checkpoint, f"model={text}")
    return ModelSource(text, SCALES[checkpoint.architecture], checkpoint)


def with_names(source: ModelSource, names: tuple[str, ...] | None) -> Checkpoint:
    """The checkpoint behind trained weights, its classes called by `names` where they are given.

    Raises ModelFileError where they are of another number, or bare tensors have none.
    """
    if names is not None and len(names) != source.classes:
        raise ModelFileError(
            f"{source.name}: names has {len(names)}, and its weights are for {source.classes} classes."
        )
    if source.checkpoint is not None:
        return source.checkpoint if names is None else dataclasses.replace(source.checkpoint, names=names)
    if names is None:
        raise ModelFileError(
            f"{source.name} holds bare tensors, which name no classes: write names=[...], {source.classes} of them in"
            " the order of their numbers."
        )
    assert source.loaded is not None
    return imported_checkpoint(source.scale, names, source.loaded, dict(source.bare_origin or {}), {})


def find_weights(file: str | Path, scale: Scale) -> ModelSource:
    """Finds a file that holds weights of this architecture. Raises ModelFileError where it doesn't."""
    found = find_model(file)
    if found.weights is None:
        raise ModelFileError(f"{file}: this is an architecture without weights; give a checkpoint.")
    if found.scale != scale:
        raise ModelFileError(
            f"{file} is a {found.scale.name}, this model a {scale.name}. To train from what fits of other weights:"
            f" train(pretrained={str(file)!r})."
        )
    return found


_TASKS = {"seg": "segmentation", "pose": "poses", "cls": "classification", "obb": "turned boxes"}
_FAMILIES = re.compile(
    r"yolo_?(v?(3|4|5|6|7|9|10|11|12|13|26)|(x|r|e|nas|world)(?![a-z]))|rt-?detr|(mobile|fast)?sam(?![a-z])",
    re.IGNORECASE,
)


def _of_another_kind(text: str) -> str:
    """Says what a known name stands for that is no YOLOv8 detector: a nearest name would be another model."""
    stem = Path(text).stem.lower()
    base, dash, variant = stem.partition("-")
    if dash and variant in _TASKS and base in SCALES:
        return f" It is a model of {_TASKS[variant]}; Peakmark trains detectors: {base}.yaml is the one of this size."
    if dash and base in SCALES:
        return f" It is another architecture than {base}.yaml, which Peakmark doesn't have."
    if _FAMILIES.match(stem):
        return " It is another family of models; Peakmark trains YOLOv8 detectors, such as yolov8n.yaml."
    return ""


def _did_you_mean(text: str) -> str:
    near = difflib.get_close_matches(Path(text).stem, SCALES, n=1, cutoff=0.7)
    return f" Did you mean {near[0]}.yaml?" if near else ""


def starting_model(
    source: ModelSource, pretrained: str | None, names: tuple[str, ...], seed: int
) -> tuple[Detector, tuple[str, ...], Mapping[str, Any] | None]:
    """Builds the model that a run starts with; says where its weights come from, in sentences and as `origin` does."""
    model = build_detector(source.scale, len(names), seed)
    given = source if pretrained is None else find_model(pretrained)
    if given.weights is None:
        if pretrained is not None:
            raise ModelFileError(
                f"pretrained={pretrained}: this is an architecture without weights; give a checkpoint."
            )
        return model, (), None
    # Weights that came without names go class by class where there are as many, as load_state_dict does it.
    nameless = not given.names and given.classes == len(names)
    said = transfer(model, given.weights, old_names=names if nameless else given.names, new_names=names)
    whose = "given in Python" if given.loaded is not None and not given.bare_origin else f"of {given.name}"
    return model, (f"A new run from the weights {whose}: {said}", *origin_notes(given)), given.origin


def origin_notes(source: ModelSource) -> tuple[str, ...]:
    """What whoever uses or trains from weights of another program should know of them."""
    origin = source.origin
    if origin is None:
        return ()
    if source.checkpoint is not None and not source.checkpoint.is_imported:
        return (f"{source.name} was trained from {origin_in_words(origin)}.",)
    said = (
        f"is a file of another program: {origin_in_words(origin)}. Its weights are imported, nothing in it was executed"
        if source.is_foreign
        else f"was imported from {origin_in_words(origin)}"
    )
    return (f"{source.name} {said}.", *origin["notes"])


def _check_weights(checkpoint: Checkpoint, said_of: str) -> None:
    """A file may be whole and still not hold what it says: torch would end in an error of its own."""
    if checkpoint.architecture not in SCALES:
        raise ModelFileError(f"{said_of}: its architecture {checkpoint.architecture!a:.60} is unknown to this version.")
    wrong = misfit(checkpoint.model, checkpoint.architecture, len(checkpoint.names))
    if wrong:
        raise ModelFileError(f"{said_of}: {wrong}. Peakmark didn't write it so; take another file of the run.")


def trained_model(checkpoint: Checkpoint) -> Detector:
    """Builds the model of a checkpoint with the weights that were validated. Raises ModelFileError as `find_model`."""
    _check_weights(checkpoint, "The checkpoint")
    return detector_from_weights(SCALES[checkpoint.architecture], checkpoint.model)
