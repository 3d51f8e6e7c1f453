"""What must one know of trained weights to use them, and what is known? The part of the facade that every use asks.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peakmark.checkpoint.format import IMPORTED, Checkpoint
from peakmark.errors import ModelFileError, SettingsError
from peakmark.events import Notice, Observer
from peakmark.export.exported import ExportedModel
from peakmark.machine.devices import Arithmetic, precision_here, settle
from peakmark.run.weights import ModelSource, origin_notes
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION, recipe_of


@dataclass(frozen=True, slots=True)
class Trained:
    """What one must know of trained weights to use them."""

    names: tuple[str, ...]
    settings: Mapping[str, Any]
    """Of the run: imgsz, classes, single_cls, fitness, the gains of its losses"""
    arithmetic: Mapping[str, Any] | None
    """That its numbers were made with; None where nobody knows."""
    data_yaml: str | None
    """What it was trained on, where that is known."""
    note: str = ""
    """What is guessed or should be known of them, for a person."""
    nameless: bool = False
    """Whether their classes have no names but those of the data."""
    trained_on: str | None = None
    """What its file calls the data, where they are on another machine."""
    version: int = VERSION
    """Of the rules of training, by which the losses of a validation are what the log says."""
    class_weights: tuple[float, ...] = ()
    """In the class loss; they are the run's, whatever the objects that are validated on."""
    square: bool = False
    """Whether images are padded to squares: for an exported file of one size."""

    @staticmethod
    def of(checkpoint: Checkpoint) -> Trained:
        if checkpoint.is_imported:
            # Whose precision nobody knows: in float32 the outputs are those of the program that trained it.
            settings = {**checkpoint.settings, "amp": False}
            return Trained(checkpoint.names, settings, None, None, trained_on=checkpoint.provenance[IMPORTED]["data"])
        data_yaml = checkpoint.provenance["data"]["yaml"]
        recipe = recipe_of(checkpoint.history.segments[-1])
        return Trained(
            checkpoint.names,
            checkpoint.settings,
            checkpoint.arithmetic,
            data_yaml,
            version=recipe.version,
            class_weights=recipe.class_weights,
        )


def data_of(trained: Trained, given: object) -> object:
    """What a model is validated on: the data that are given, else those it was trained on.

    Raises SettingsError where nobody knows them.
    """
    if given or trained.data_yaml:
        return given or trained.data_yaml
    known = "nothing says what these weights were trained on"
    if trained.trained_on:
        known = f"the file says that these weights were trained on {trained.trained_on}, somewhere else"
    raise SettingsError([f"data is missing; {known}: write data=data.yaml."])


def trained_of(source: ModelSource | ExportedModel, purpose: str) -> Trained:
    """Gives what is known of a model's weights. Raises ModelFileError where they can't be `purpose`."""
    if isinstance(source, ExportedModel):
        about = source.about
        return Trained(about.names, about.settings, None, None, square=about.square)
    if source.weights is None:
        raise ModelFileError(
            f"model={source.name}: this is an architecture without trained weights and can't be {purpose};"
            " give a checkpoint such as runs/detect/train/weights/best.pt."
        )
    if source.checkpoint is not None:
        note = " ".join(origin_notes(source)) if source.checkpoint.is_imported else ""
        return dataclasses.replace(Trained.of(source.checkpoint), note=note)
    names = source.class_names
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    came = "lie in this file alone" if source.bare_origin else "were given in Python"
    note = (
        f"The weights {came}, without the settings they were trained with. Where nothing else is said,"
        f" imgsz={defaults['imgsz']} is taken; the {len(names)} classes are called {', '.join(names[:3])} ..."
    )
    if source.bare_origin:
        note = " ".join((*source.bare_origin["notes"], note))
    return Trained(names, defaults, None, None, note, nameless=True)


def say_what_is_guessed(trained: Trained, observe: Observer) -> None:
    """Tells what is taken for granted of weights that came without their settings."""
    if trained.note:
        observe(Notice(trained.note))


def arithmetic_of(trained: Trained, device: str | int | None, observe: Observer) -> Arithmetic:
    """The arithmetic that the model's numbers were made with, where this machine has it and no other is wished."""
    if trained.arithmetic is None:
        return settle(device=device, amp=trained.settings["amp"], deterministic=trained.settings["deterministic"])
    stored = Arithmetic.from_plain(trained.arithmetic)
    here = settle(device=device, amp=stored.precision != "float32", deterministic=stored.deterministic)
    if here.device == stored.device:
        precision = precision_here(stored.precision, stored.device)
        # On another processor the last digits are others anyway, and more threads than it has only wait.
        threads = stored.threads if here.device_name == stored.device_name else here.threads
        chosen = dataclasses.replace(stored, precision=precision, threads=threads)
    else:
        chosen = here
    if (here.device, here.device_name, chosen.precision) != (stored.device, stored.device_name, stored.precision):
        lacks = here.device == stored.device and chosen.precision != stored.precision
        why = f", which has no {stored.precision}" if lacks else ""
        observe(
            Notice(
                f"The model was trained on {stored.device_name} ({stored.device}, {stored.precision}), this is"
                f" {here.device_name} ({chosen.device}, {chosen.precision}){why}: numbers may differ from the log in"
                f" their {'last' if chosen.precision == stored.precision else 'third'} digits."
            )
        )
    return chosen
