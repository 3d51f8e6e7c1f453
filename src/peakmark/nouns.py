"""Which few types cross from one room to another? The nouns: data without behaviour that several rooms must agree on.

Shape letters: G truths of an image, D detections, N truths of a batch, B images of a batch, A anchors, C classes,
R bins.
Importing this file loads no torch, so that the command line starts fast. It must not know any room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from peakmark.geometry.letterbox import Letterbox

if TYPE_CHECKING:
    import torch

    from peakmark.geometry.anchors import AnchorGrid

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
ImageArray = NDArray[np.uint8]
"""An image as height x width x 3, RGB."""


# --- what is in an image -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Truths:
    """The labelled objects of one image, in px of the image it travels with."""

    boxes_xyxy_px: FloatArray
    """(G, 4)"""
    classes: IntArray
    """(G,)"""
    outlines_px: Sequence[FloatArray] | None = None
    """(G) of each object the hull (P, 2) of the polygon that it was labelled by, without points for a box; None where
    only boxes are asked for."""

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class Detections:
    """What a model found in one image, highest score first, in px of the image it travels with."""

    boxes_xyxy_px: FloatArray
    """(D, 4)"""
    scores: FloatArray
    """(D,), 0 to 1"""
    classes: IntArray
    """(D,)"""

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class Sample:
    """One training image after augmentation, and what is left of its truths."""

    image: ImageArray
    truths: Truths


@dataclass(frozen=True, slots=True)
class Batch:
    """What one microbatch is made of: `images_BCHW` as bytes, and the truths of all its images in one list."""

    images_BCHW: torch.Tensor
    """(B, 3, H, W) uint8, RGB; H and W are multiples of 32, in training the side of a square"""
    boxes_xyxy_px: torch.Tensor
    """(N, 4) float32, px of the batch's images"""
    classes: torch.Tensor
    """(N,) int64"""
    image_index: torch.Tensor
    """(N,) int64, ascending: which image of the batch a truth belongs to"""
    files: tuple[str, ...]
    """The image files, for messages: one per image of the batch."""

    def __len__(self) -> int:
        return int(self.images_BCHW.shape[0])


@dataclass(frozen=True, slots=True)
class ValidationBatch:
    """A batch of letterboxed images of one shape, with what is needed to go back to the original images."""

    batch: Batch
    numbers: tuple[int, ...]
    """Which images of the set they are; a set is cut into batches by shape, so not in its order."""
    letterboxes: tuple[Letterbox, ...]
    truths: tuple[Truths, ...]
    """Per image, in px of the original image."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Some images of a set with what is true of them and what was found in them, all in px of the images."""

    images: tuple[ImageArray, ...]
    truths: tuple[Truths, ...]
    detections: tuple[Detections, ...]
    titles: tuple[str, ...]


# --- what a model says ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """The raw outputs of the detector for a batch, and the anchors they belong to."""

    box_logits_BAR4: torch.Tensor
    """(B, A, 4 x R): left, top, right, bottom, each a distribution over R bins, in strides"""
    class_logits_BAC: torch.Tensor
    grid: AnchorGrid


@dataclass(frozen=True, slots=True)
class LossSums:
    """Unweighted sums of the three loss terms over a batch, and the sum of target scores they are divided by."""

    box: torch.Tensor
    cls: torch.Tensor
    dfl: torch.Tensor
    target_scores: torch.Tensor


@dataclass(frozen=True, slots=True)
class Losses:
    """The three losses as they are logged: with their gains, divided by the sum of target scores."""

    box: float
    cls: float
    dfl: float


# --- where a run is ------------------------------------------------------------------------------------------------

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
    """By the names in `settings.formula.METRIC_NAMES`; None where the epoch was not validated."""
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


# --- where its time goes ------------------------------------------------------------------------------------------

Stage = Literal["loading", "forward", "loss", "backward", "update", "validation", "saving", "other"]
"""loading: waiting for a batch. update: clipping, optimizer and average. saving: the copy of the state."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a stretch of a training went."""

    seconds: Mapping[Stage, float]
    images: int
    microbatches: int
    updates: int

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    def share(self, *stages: Stage) -> float:
        """The part of the time that these took together, 0 to 1."""
        return sum(self.seconds.get(stage, 0.0) for stage in stages) / self.total_s if self.total_s else 0.0


# --- how a run is gone on with ------------------------------------------------------------------------------------

Fate = Literal["carried over", "rescaled", "re-initialised", "changed", "refused"]


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """What becomes of one part of a run at a resume; everything in words for a person."""

    part: str
    """weights, optimizer, learning rate ..."""
    fate: Fate
    why: str
    moves: str = ""
    """How much it may move the first epochs; empty for not at all."""
    dangerous: bool = False
    """A jump that experience calls dangerous: it needs the user's yes."""


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """What a resume will do, part by part; read before the first step."""

    changes: tuple[str, ...]
    """Settings that have another value, as `name: old -> new`."""
    parts: tuple[PlannedPart, ...]
    inexact: tuple[str, ...]
    """Why the run can't be bit for bit the one without the stop; empty where it is."""
    expected: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """How far the first epochs may leave their band because of this plan, below (negative) and above it, by the names
    that `Verdict` uses."""

    @property
    def dangers(self) -> tuple[PlannedPart, ...]:
        return tuple(part for part in self.parts if part.dangerous)

    @property
    def refusals(self) -> tuple[PlannedPart, ...]:
        return tuple(part for part in self.parts if part.fate == "refused")


VerdictKind = Literal["continuous", "drifting", "broken", "too early"]


@dataclass(frozen=True, slots=True)
class Observed:
    """One number of one epoch after a resume, held against the band around the trend before it."""

    epoch: int
    name: str
    """train/box, train/cls, train/dfl, val/box, val/cls, val/dfl or map50_95."""
    value: float
    expected: float
    normal: float
    """Half the width within which it is ordinary."""
    alarm: float
    """Half the width beyond which something is wrong."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What may have broken a run, with what speaks for it."""

    name: str
    """optimizer state missing, data changed ..."""
    evidence: str
    remedy: str
    certainty: float
    """0 to 1; by it causes are ranked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the epochs after a resume follow from those before it."""

    kind: VerdictKind
    text: str
    """One sentence for a person."""
    observed: tuple[Observed, ...] = ()
    causes: tuple[Cause, ...] = ()
    """Likeliest first; looked for only where the verdict is broken."""


# --- what an evaluation says ---------------------------------------------------------------------------------------


MAX_DETECTIONS = 100
"""Of an image and class that COCO looks at; the ones with lower scores don't exist for its precision and recall."""
PROTOCOL = f"COCO: 10 IoU thresholds 0.50 to 0.95, 101 recall levels, {MAX_DETECTIONS} detections per image and class"
"""How every metric is made; it stands wherever a number does."""


@dataclass(frozen=True, slots=True)
class Curves:
    """For pictures. Per class: NaN rows for classes without truths."""

    recall_levels: FloatArray
    """(101,) 0 to 1"""
    precision_CR: NDArray[np.float64]
    """(C, 101) interpolated precision at IoU 0.5"""
    confidences: FloatArray
    """(K,) 0 to 1"""
    precision_CK: NDArray[np.float64]
    recall_CK: NDArray[np.float64]
    f1_CK: NDArray[np.float64]
    best_confidence: float
    """The one confidence with the best mean F1 over the classes that have truths."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a validation of a set found, by `protocol`."""

    names: tuple[str, ...] = field(repr=False)
    metrics: Mapping[str, float]
    per_class: Mapping[str, tuple[float, ...]] = field(repr=False)
    curves: Curves = field(repr=False)
    confusion: IntArray = field(repr=False)
    """(C + 1, C + 1): row predicted class, column true class; last row: missed truths, last column: background."""
    images: int
    truths: int
    truths_per_class: tuple[int, ...] = field(repr=False)
    detections: int
    losses: Losses | None = None
    protocol: str = PROTOCOL
    coco: Mapping[str, float] = field(default_factory=dict, repr=False)
    """The twelve figures of COCO, with its cap of 100 detections of an image and class. They are those of `metrics`,
    except where an image has more objects of a class: `protocol` then says that the metrics are without the cap."""
