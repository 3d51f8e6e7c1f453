"""Where is a run, and what does it remember? Position, segments, records, and what is decided from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from peakmark.nouns.losses import Losses

Phase = Literal["train", "validate"]


@dataclass(frozen=True, slots=True)
class Position:
    """Where the fold is: the next thing to do is `phase` of `epoch`, from image number `images` on. All are 0-based."""

    epoch: int = 0
    images: int = 0
    """Images taken in the open epoch."""
    phase: Phase = "train"
    """`validate`: all images of the epoch are trained, the validation is still to be done."""
    step: int = 0
    """Attempted updates since the run began; a skipped one counts."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the run under one set of settings; what the settings alone don't say of it is settled here.

    Rates, windows and augmentation are functions of the open segment and a position, so nothing is switched anywhere
    and nothing can be forgotten at a resume.
    """

    from_epoch: int
    from_images: int
    """Of the epoch's images, those before it belong to the segment before."""
    settings: Mapping[str, Any]
    """The settings that bear on the result."""
    reason: str
    """start, or what was changed."""
    recipe: Mapping[str, Any]
    """The optimizer with every number filled in, as `settings.recipe` has it. Settled where the segment begins: a run
    that is made longer doesn't get another automatic optimizer by it."""
    horizon: int
    """Epochs over which the rate falls and the phases are laid; later epochs are like the last of them."""
    comparable: str
    """What a validation is made of: data, image size, protocol. Epochs are compared only where it is the same."""
    rewarm_epochs: float = 0.0
    """Over which the rate rises from 0 to where it belongs, for an optimizer that starts anew."""
    until: int | None = None
    """Epochs after which the run ends; None for the `epochs` of its settings. Set where an early stop runs the closing
    epochs first."""
    gone: tuple[int, ...] = ()
    """Epochs that can't be best any more: the fitness was changed, and their weights are not on the disk."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """All that is remembered of one finished epoch; one row of results.csv."""

    epoch: int
    segment: int
    step: int
    """Attempted updates at the epoch's end."""
    images: int
    train: Losses
    lr: tuple[float, ...]
    """Per parameter group (weights, norms, biases), at the last update of the epoch."""
    metrics: Mapping[str, float] | None = None
    """By the names in `formula.terms.METRIC_NAMES`; None where the epoch was not validated."""
    per_class: Mapping[str, tuple[float, ...]] | None = None
    """For map50_95, map50, precision, recall: a value per class, NaN for a class without truths."""
    validation: Losses | None = None
    fitness: float | None = None
    skipped_steps: int = 0
    """Updates of this epoch left out because something was not finite."""
    train_s: float = 0.0
    validation_s: float = 0.0
    """The two time columns: the only part of a record that a digest leaves out."""


@dataclass(frozen=True, slots=True)
class History:
    """Everything the run remembers; best epoch, early stop, results.csv and curves are pure functions of it."""

    records: tuple[EpochRecord, ...] = ()
    segments: tuple[Segment, ...] = ()
    """In order; the last one is open."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from the history after an epoch, and why."""

    epoch: int
    is_best: bool
    best_epoch: int | None
    best_fitness: float | None
    stop: bool
    keep: bool
    """Whether epochN.pt is kept (save_period)."""
    patience_left: int | None
    """Epochs without a better one until the run stops; None where patience is off or nothing was validated yet."""
    reason: str
    """One sentence for a person."""
    close: bool = False
    """Whether the run ends early, but first runs its closing epochs: from here on without mosaic."""
