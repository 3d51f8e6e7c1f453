"""Which optimizer, with which numbers? What the settings leave open is chosen here, by a stated rule.

`optimizer=auto` follows the published behaviour for short trainings (under 10,000 updates): AdamW at
0.002 * 5 / (4 + classes), beta1 0.9, biases warmed up from 0. Longer ones take SGD at 0.01, momentum 0.9. An explicit
lr0, momentum, warmup_bias_lr or nbs always beats the rule. It must not know torch.

The nominal batch is YOLO's 64 images where a run is long. A short run on few images would make too few updates of so
many each: 30 epochs of 205 images come to 96. So it gathers fewer, as many as leave it enough updates, but a microbatch
and 8 at least.

A recipe has a version, since rules of training change as more is learnt; a run keeps the rules that it began with.
`Since` lists what each version changed; version 1 is as published for YOLOv8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from peakmark.nouns.run import Segment
from peakmark.settings.class_weights import class_weights
from peakmark.settings.fields import Settings

VERSION = 3
"""Of the rules by which new runs train."""


class Since:
    """From which version of the rules of training on something holds; ask `version >= Since.HUE_IS_SHIFTED`."""

    ANY_SIZE_HAS_TARGETS: Final = 2
    """Objects of any size get targets, also those that lie between all anchors (`loss/assignment.py`)."""
    STATISTICS_ARE_IN_USE: Final = 3
    """Batch-norm statistics are of weights that are still in use (`model/norm_statistics.py`)."""
    HUE_IS_SHIFTED: Final = 3
    """Before, it was multiplied, which leaves red red (`data/augment/plan.py`)."""
    POLYGONS_ARE_TURNED: Final = 3
    """With their image; before, the boxes around them were (`data/augment/outlines.py`)."""
    LATER_OF_EQUALS_IS_BEST: Final = 3
    """Of two epochs of equal fitness; before, the earlier one (`selection/best.py`)."""
    UPDATES_TAKE_ONE_PASS: Final = 3
    """They are computed in one pass over the memory, which rounds otherwise (`train/optimizer.py`)."""


SHORT_RUN_UPDATES = 10_000
ENOUGH_UPDATES = 1_500
"""With fewer a run ends before it has learnt what its images can teach (`docs/accuracy.md`)."""
_FEW_UPDATES = 500
"""Sets of many kinds were far from done with 100 (`docs/accuracy.md`); 400 were enough for some."""
MOST_NBS = 64
_USUAL_BATCH = 16
_LEAST_NBS = 8
_MOST_CLOSING_EPOCHS = 10
OptimizerName = Literal["SGD", "Adam", "AdamW"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The optimizer with every number filled in."""

    optimizer: OptimizerName
    lr0: float
    momentum: float
    warmup_bias_lr: float
    weight_decay: float
    """Scaled by the images of a window over the nominal batch."""
    nbs: int
    """The nominal batch: images that an update gathers, as near as whole microbatches come."""
    close_mosaic: int
    """Last epochs of the horizon without mosaic, mixup and cutmix."""
    why: str
    """For a person."""
    version: int
    """Of the rules."""
    class_weights: tuple[float, ...] = ()
    """Per class, in the class loss; empty where all weigh the same (`cls_pw=0`)."""
    parts: int = 1
    """Microbatches that a `batch` is cut into."""

    def to_plain(self) -> dict[str, Any]:
        """Gives what a segment keeps of it: where a later part is not in use, the very keys of before there was any."""
        unused = [name for name, usual in (("class_weights", ()), ("parts", 1)) if getattr(self, name) == usual]
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in unused}


def recipe_of(segment: Segment) -> Recipe:
    """Gives the recipe that was settled where the segment began."""
    return Recipe(**segment.recipe)


def recipe(settings: Settings, *, classes: int, images: int, objects: Sequence[int] = (), processes: int = 1) -> Recipe:
    """Fills in what the settings leave open, for a run over `images` training images that `processes` compute.

    `objects` of each class in them. Raises ValueError where `cls_pw` is on and they are not given.
    """
    nbs = _nominal_batch(settings, images) if settings.nbs is None else settings.nbs
    updates = settings.epochs * -(-images // max(settings.batch, nbs))
    automatic = settings.optimizer == "auto"
    short = updates < SHORT_RUN_UPDATES
    name: OptimizerName = ("AdamW" if short else "SGD") if settings.optimizer == "auto" else settings.optimizer
    if automatic:
        lr0, momentum, bias_lr = (round(0.002 * 5 / (4 + classes), 6), 0.9, 0.0) if short else (0.01, 0.9, 0.0)
        why = f"auto: about {updates} updates, {'under' if short else 'not under'} {SHORT_RUN_UPDATES}"
    else:
        lr0, momentum, bias_lr = 0.01, 0.937, 0.1
        why = "as set"
    return Recipe(
        optimizer=name,
        lr0=lr0 if settings.lr0 is None else settings.lr0,
        momentum=momentum if settings.momentum is None else settings.momentum,
        warmup_bias_lr=bias_lr if settings.warmup_bias_lr is None else settings.warmup_bias_lr,
        weight_decay=weight_decay(settings, nbs),
        nbs=nbs,
        close_mosaic=_closing_epochs(settings.epochs) if settings.close_mosaic is None else settings.close_mosaic,
        why=why,
        version=VERSION,
        class_weights=class_weights(settings.cls_pw, objects),
        parts=_parts(settings, nbs, processes) if settings.parts is None else settings.parts,
    )


def few_updates(settings: Settings, images: int) -> tuple[str, ...]:
    """Says it where a large batch leaves so few updates that a smaller one would teach the network more."""
    made, possible = (settings.epochs * -(-images // batch) for batch in (settings.batch, _USUAL_BATCH))
    # Where nbs is set, a smaller batch would only be gathered up to it again.
    if settings.nbs is not None or settings.batch <= _USUAL_BATCH or made >= _FEW_UPDATES:
        return ()
    return (
        f"batch={settings.batch} leaves this run {made} updates of its weights, and it is by these that it learns:"
        f" batch={_USUAL_BATCH} would make {possible}.",
    )


def mosaic_is_open(closing_epochs: int, horizon: int, epoch: int) -> bool:
    """Whether mosaic, mixup and cutmix may happen in this epoch: a function of it, so nothing has to be switched.

    Epochs beyond the horizon are in the phase of its last one.
    """
    return min(epoch, horizon - 1) < _first_closed(closing_epochs, horizon)


def mosaic_is_open_in(segment: Segment, epoch: int) -> bool:
    """Whether mosaic, mixup and cutmix may happen in an epoch of this segment."""
    return mosaic_is_open(recipe_of(segment).close_mosaic, segment.horizon, epoch)


def first_closed_epoch(segment: Segment) -> int:
    """Gives the epoch that the closing begins with; the horizon itself where there is none."""
    return _first_closed(recipe_of(segment).close_mosaic, segment.horizon)


def _first_closed(closing_epochs: int, horizon: int) -> int:
    return horizon - closing_epochs


def weight_decay(settings: Settings, nbs: int) -> float:
    """Of an update, in proportion to the images that it gathers."""
    return settings.weight_decay * window_images(settings.batch, nbs) / nbs


def window_images(batch: int, nbs: int) -> int:
    """Images of a full accumulation window: as near to nbs as whole microbatches come."""
    return batch * window_microbatches(batch, nbs)


def window_microbatches(batch: int, nbs: int) -> int:
    """Microbatches of a full accumulation window."""
    return max(1, round(nbs / batch))


def largest_microbatch(settings: Settings, chosen: Recipe, images: int) -> int:
    """Images of a whole microbatch, of which a set of `images` may be too small."""
    return -(-min(settings.batch, images) // chosen.parts)


def _closing_epochs(epochs: int) -> int:
    """YOLO's 10, but a third of a short run at the most: with 10 of 10 it would never see a mosaic."""
    return min(_MOST_CLOSING_EPOCHS, epochs // 3)


def _parts(settings: Settings, nbs: int, processes: int) -> int:
    """As many as there are processes, where a full window has fewer microbatches than that to share out."""
    return 1 if window_microbatches(settings.batch, nbs) >= processes else min(processes, settings.batch)


def _nominal_batch(settings: Settings, images: int) -> int:
    """The most images an update, up to 64, with which the run still makes enough updates; down to the batch, or 8.

    Under the batch it could make no more of them, and weights would decay as if it did.
    """
    return min(MOST_NBS, max(_LEAST_NBS, settings.batch, settings.epochs * images // ENOUGH_UPDATES))
