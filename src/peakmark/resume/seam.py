"""What lies on the two sides of a resume? The run as it was, and as it is wished; and what the difference amounts to.

It must not know what is decided about the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peakmark.machine.devices import Arithmetic
from peakmark.nouns.resume import Cause
from peakmark.nouns.run import Position
from peakmark.settings.description import describe
from peakmark.settings.difference import Change, difference
from peakmark.settings.fields import AUGMENTATION, Settings
from peakmark.settings.recipe import Recipe, window_images

AUGMENTATIONS = tuple(name for name, each in describe(Settings).items() if each.group == AUGMENTATION)
THRESHOLDS = ("conf", "iou", "max_det")
"""What counts as a detection in a validation."""
MEASURED = (*THRESHOLDS, "classes")
"""What the words for its numbers name."""
MIXING = ("mosaic", "mixup", "cutmix")
"""Chances of an image made of several; all of them end when mosaic is closed."""
ADAM_PER_SGD = 10.0
"""Adam's steps are as long as its rate, SGD's are shortened by the gradient: 0.001 of one is like 0.01 of the other."""


@dataclass(frozen=True, slots=True)
class Side:
    """A run on one side of a seam: as it was, or as it is wished."""

    settings: Settings
    recipe: Recipe
    horizon: int
    rate: float
    """Of the weights in the next epoch that is trained, or would be; 0 where the run ends here."""
    mosaic_open: bool
    """Whether mosaic, mixup and cutmix may happen in the next epoch that is trained."""
    architecture: str
    names: tuple[str, ...]
    arithmetic: Arithmetic
    versions: Mapping[str, str]
    train: str
    val: str | None
    """Fingerprints of the data."""
    protocol: str | None = None
    """What the numbers of a validation mean; None where nothing is to be compared."""

    @property
    def mosaic(self) -> float:
        return self.settings.mosaic if self.mosaic_open else 0.0

    @property
    def mixup(self) -> float:
        return self.settings.mixup if self.mosaic_open else 0.0

    @property
    def cutmix(self) -> float:
        return self.settings.cutmix if self.mosaic_open else 0.0

    @property
    def window_images(self) -> int:
        """Images that an update gathers once the warm-up is over."""
        return window_images(self.settings.batch, self.recipe.nbs)

    @property
    def is_adam(self) -> bool:
        return self.recipe.optimizer != "SGD"


@dataclass(frozen=True, slots=True)
class Seam:
    """Everything that a plan is made of."""

    run: Path
    """The run's folder, for the remedies."""
    position: Position
    before: Side
    after: Side
    contradictions: tuple[Cause, ...] = ()
    """What in the state can't be true of a healthy run."""
    cores: int | None = None
    """How many threads a new run would take here; None where that is not known."""
    elsewhere: str = ""
    """Why it goes on in a folder of its own; empty where it does in the run's."""

    @property
    def changes(self) -> tuple[Change, ...]:
        return difference(self.before.settings, self.after.settings)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What of the changes bears on the result, in words."""
        before, after = self.before, self.after
        data = tuple(
            f"{split} data: {str(old)[:12]} -> {str(new)[:12]}"
            for split, old, new in (("train", before.train, after.train), ("val", before.val, after.val))
            if old != new and old and new
        )
        if before.protocol != after.protocol and not self.changed(*MEASURED):
            data += (f"what is measured: {before.protocol} -> {after.protocol}",)
        return tuple(str(change) for change in self.changes if self.bears_on_result(change)) + data

    @property
    def augments_elsewhere(self) -> bool:
        """Whether plans are carried out by something that rounds differently from what did it before."""
        return self.before.arithmetic.augmentation != self.after.arithmetic.augmentation

    @property
    def weighs_classes_otherwise(self) -> bool:
        """Whether the class loss gives the classes other weights than before."""
        return self.before.recipe.class_weights != self.after.recipe.class_weights

    def bears_on_result(self, change: Change) -> bool:
        """Where images are kept is the same for the result, except where they are augmented there as well."""
        return change.bears_on == "result" or (change.name == "cache" and self.augments_elsewhere)

    def changed(self, *names: str) -> list[Change]:
        return [change for change in self.changes if change.name in names]

    @property
    def inside_an_epoch(self) -> bool:
        return self.position.images > 0 and self.position.phase == "train"

    @property
    def changes_the_run(self) -> bool:
        """Whether a new segment begins here: something that bears on the result is another thing than before."""
        before, after = self.before, self.after
        return (
            any(self.bears_on_result(change) for change in self.changes)
            or (before.train, before.val, before.protocol) != (after.train, after.val, after.protocol)
            or before.horizon != after.horizon
            or before.recipe != after.recipe
        )

    @property
    def optimizer_is_new(self) -> bool:
        """Whether it begins with empty moments: those of Adam and AdamW are the same, those of SGD another thing."""
        return self.before.is_adam != self.after.is_adam

    @property
    def effective_rate_ratio(self) -> float:
        """How much longer the next steps are than they would have been; 1 where there is no next step."""
        before, after = self.before, self.after
        if not before.rate or not after.rate:
            return 1.0
        ratio = after.rate / before.rate
        if self.optimizer_is_new:
            ratio *= ADAM_PER_SGD if after.is_adam else 1 / ADAM_PER_SGD
        return ratio
