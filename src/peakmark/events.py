"""What happens in a run? Events for whoever watches: told by loop and session, drawn by some, written by others.

Importing this file loads no torch, so that the command line starts fast. It must not know who watches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Losses
from peakmark.nouns.outcome import Outcome
from peakmark.nouns.resume import ChangePlan, Continuity
from peakmark.nouns.run import Decision, EpochRecord, Position
from peakmark.nouns.timings import Timings


@dataclass(frozen=True, slots=True)
class SplitContents:
    """How many images of a split have objects, and why the others have none."""

    images: int
    with_objects: int
    objects: int
    background_by_empty_file: int
    without_label_file: int
    background_by_dropped_lines: int = 0
    """Images of which no label line could be used."""
    background_by_choice: int = 0
    """Images whose objects are all of classes that are left out."""

    def __str__(self) -> str:
        parts = [f"{self.with_objects:,} with objects ({self.objects:,} in all)"]
        parts.append(f"{self.background_by_empty_file:,} background by an empty label file")
        parts.append(f"{self.without_label_file:,} without a label file")
        if self.background_by_dropped_lines:
            parts.append(f"{self.background_by_dropped_lines:,} whose label lines were all left out")
        if self.background_by_choice:
            parts.append(f"{self.background_by_choice:,} with objects of other classes alone")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class RunStarted:
    folder: Path
    model: str
    parameters: int
    classes: tuple[str, ...]
    train_images: int
    val_images: int
    """0 where nothing is validated."""
    epochs: int
    image_size_px: int
    position: Position
    device: str
    precision: str
    threads: int
    optimizer: str
    """Name and how it was chosen, for a person."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Library versions and fingerprints of the data, as a checkpoint has them."""
    notes: tuple[str, ...] = ()
    """What the user should read before it happens."""
    kept: str = ""
    """Which weights will lie on the disk, and what they take, for a person."""
    train_contents: SplitContents | None = None
    val_contents: SplitContents | None = None


@dataclass(frozen=True, slots=True)
class ResumePlanned:
    """A run is about to be resumed; told before anything is changed."""

    folder: Path
    plan: ChangePlan
    position: Position


@dataclass(frozen=True, slots=True)
class SeamJudged:
    """The first epochs after a resume were held against those before."""

    verdict: Continuity
    epoch: int
    """The last one that was looked at."""


@dataclass(frozen=True, slots=True)
class EpochStarted:
    epoch: int
    epochs: int
    images: int
    mosaic: bool


@dataclass(frozen=True, slots=True)
class MicrobatchDone:
    epoch: int
    epochs: int
    images_done: int
    images: int
    losses: Losses
    """Means over the epoch so far."""
    truths: int
    """Of this microbatch."""
    image_size_px: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class BatchShown:
    """A training batch as the network sees it, for a picture: the first ones, and the first ones without mosaic."""

    number: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """Something was not finite; the update was left out and nothing was harmed."""

    epoch: int
    images_done: int
    what: str
    files: tuple[str, ...]
    in_a_row: int


@dataclass(frozen=True, slots=True)
class ValidationProgress:
    epoch: int
    images_done: int
    images: int


@dataclass(frozen=True, slots=True)
class EpochEnded:
    record: EpochRecord
    decision: Decision
    epochs: int


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    files: tuple[str, ...]
    """Names inside the weights folder."""
    position: Position
    bytes: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the user that belongs to no other event."""

    text: str
    serious: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is that takes its time and is no training."""

    what: str
    """What is done, as a word or two: reading, writing."""
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class TimeMeasured:
    """Where the time of some steps or of an epoch went, and what would help; told with profile=True."""

    over: str
    """Which stretch it was, for a person."""
    timings: Timings
    advice: tuple[str, ...]
    """In sentences."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    folder: Path
    outcome: Outcome
    position: Position
    best_epoch: int | None
    best_fitness: float | None
    best_metrics: Mapping[str, float] | None
    text: str
    """What ended the run and what to do next, in a sentence or two."""
    pictures: bool
    """Whether the folder holds the pictures and the report of the whole run."""
    how_sure: str = ""
    """How sure the best epoch is, in sentences; empty where that is not known."""
    averaging: str = ""
    """What averaging the best epochs' weights came to, in a sentence or two; empty where it was not tried."""
    weights_bytes: int = 0
    """What the run's weights take on the disk."""
    best_is_gone: bool = False
    """Whether an epoch was best, but its best.pt isn't there."""
    shipping: str = ""
    """How a small copy of best.pt is made, and how small it is; empty where the run is not over."""
    recommended: Path | None = None
    """The weights to use: best.pt, or the average that is better beyond the noise. None where the run is not over, or
    no epoch is best, or its file isn't there."""


Event = (
    RunStarted
    | ResumePlanned
    | SeamJudged
    | EpochStarted
    | MicrobatchDone
    | BatchShown
    | StepSkipped
    | ValidationProgress
    | EpochEnded
    | CheckpointSaved
    | Notice
    | Progress
    | TimeMeasured
    | RunEnded
)
Observer = Callable[[Event], None]


def unwatched(event: Event) -> None:
    """The observer where nobody watches."""
