"""How many images make a microbatch where the user names a share of the memory instead?

Free memory differs from start to start, so this is asked once, when a run begins: the answer is the run's `batch` from
then on, in its settings and checkpoints, and a resume anywhere keeps it. On a processor the memory is estimated, since
it is promised without being there; on a GPU each size is tried, with an update that is thrown away.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Protocol

import torch

from peakmark.data.augment.plan import greatest_side
from peakmark.data.loader import Microbatch
from peakmark.distributed.processes import ALONE
from peakmark.errors import MachineError
from peakmark.loss.detection import Objective
from peakmark.machine.devices import Arithmetic
from peakmark.machine.memory import available_bytes_on, is_out_of_memory
from peakmark.model.detector import Detector
from peakmark.model.norm_statistics import StatisticsByWindow
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Gains
from peakmark.run.memory_needed import training_bytes
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import MOST_NBS, VERSION
from peakmark.state.state import RunState
from peakmark.train.network import PlainNetwork
from peakmark.train.schedule import Rates
from peakmark.train.step import Stepper
from peakmark.train.windows import Window

_STEP = 8
"""Images between sizes; below it the powers of two. In small steps, a little more free memory would be another run."""
_TRUTHS_AN_IMAGE = 32
"""In the images of a trial: what a mosaic of a crowded set holds."""
_GIB = 2**30


class Memory(Protocol):
    """The memory of a device, and what trainings take of it."""

    def free_bytes(self) -> int:
        """What is free before a training."""

    def bytes_for(self, batch: int) -> int | None:
        """What a training of microbatches of so many images takes at its most; None where it runs out of memory."""


def is_open(settings: Settings) -> bool:
    """Whether the batch is still a share of the memory."""
    return settings.batch < 1


def settled(
    settings: Settings,
    images: int,
    model: Detector,
    arithmetic: Arithmetic,
    begin: Callable[[Settings, Detector], RunState],
) -> tuple[Settings, str]:
    """Fills in the batch of a new run over so many training images; gives also what it came to, in words.

    `model` is on the processor, in evaluation mode, and left as it is; `begin` makes the state of a run that begins
    with one. Raises MachineError where not even one image fits.
    """
    memory = Tried(settings, model, arithmetic, begin) if arithmetic.on_gpu else Estimated(settings, model, arithmetic)
    # More than the nominal batch would be fewer updates, and it is by these that a network learns.
    most = min(images, settings.nbs or MOST_NBS)
    free_bytes = memory.free_bytes()
    batch = largest_batch(memory, int(settings.batch * free_bytes), most)
    side_px = greatest_side(settings)
    share = f"{settings.batch:.0%} of the {free_bytes / _GIB:.1f} GiB of memory that are free"
    if batch == 0:
        raise MachineError(
            f"Not even one image of {side_px} px fits into {share}: take a smaller imgsz or model, or end what else"
            " takes memory."
        )
    if batch < most:
        why = f"so many images of {side_px} px fit into {share}"
    else:
        why = "the set has no more images" if most == images else f"more than nbs={most} would make fewer updates"
    said = f"batch={batch} was chosen: {why}. It is the run's from here on, also on another machine."
    return settings.model_copy(update={"batch": batch}), said


def largest_batch(memory: Memory, budget_bytes: int, most: int) -> int:
    """Gives the largest size up to `most` whose training stays within the budget; 0 where none does.

    Halves the sizes that are left with each look, since a larger one never takes less.
    """
    sizes = [size for size in (1, 2, 4, *range(_STEP, most, _STEP)) if size < most] + [most]
    fit = 0
    while fit < len(sizes):
        tried = (fit + len(sizes)) // 2
        needed = memory.bytes_for(sizes[tried])
        if needed is not None and needed <= budget_bytes:
            fit = tried + 1
        else:
            del sizes[tried:]
    return sizes[fit - 1] if fit else 0


class Estimated:
    """A processor's memory, and what trainings take of it by the network's own shapes."""

    def __init__(self, settings: Settings, model: Detector, arithmetic: Arithmetic) -> None:
        self._side_px = greatest_side(settings)
        self._model = model
        self._arithmetic = arithmetic

    def free_bytes(self) -> int:
        return available_bytes_on("cpu")

    def bytes_for(self, batch: int) -> int:
        return training_bytes(self._model, side_px=self._side_px, batch=batch, arithmetic=self._arithmetic)


class Tried:
    """A GPU's memory, and what an update takes of it: made of a copy of the model and striped images."""

    def __init__(
        self,
        settings: Settings,
        model: Detector,
        arithmetic: Arithmetic,
        begin: Callable[[Settings, Detector], RunState],
    ) -> None:
        self._settings = settings.model_copy(update={"batch": 1})
        self._model = model
        self._arithmetic = arithmetic
        self._begin = begin
        self._device = torch.device(arithmetic.device)

    def free_bytes(self) -> int:
        torch.cuda.empty_cache()
        return available_bytes_on(self._arithmetic.device)

    def bytes_for(self, batch: int) -> int | None:
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        try:
            state = self._begin(self._settings, copy.deepcopy(self._model))
            update_once(state, self._arithmetic, self._settings, batch)
            return torch.cuda.max_memory_reserved(self._device) - before
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        finally:
            torch.cuda.empty_cache()


def update_once(state: RunState, arithmetic: Arithmetic, settings: Settings, batch: int) -> None:
    """Makes an update of a state with so many striped images, as a training does."""
    side_px = greatest_side(settings)
    truths = batch * _TRUTHS_AN_IMAGE
    boxes = torch.tensor([0.0, 0.0, side_px / 2, side_px / 2]).expand(truths, 4).contiguous()
    # Not of one colour: norms would divide by a spread of 0, no gradient be finite, and the update not be made.
    pixels = torch.arange(batch * 3 * side_px**2, dtype=torch.int64).remainder_(251)
    images = pixels.to(torch.uint8).view(batch, 3, side_px, side_px)
    index = torch.arange(batch).repeat_interleave(_TRUTHS_AN_IMAGE)
    striped = Batch(images, boxes, torch.zeros(truths, dtype=torch.int64), index, ("",) * batch)
    objective = Objective(Gains.of(dict(settings)), VERSION)
    statistics = StatisticsByWindow(state.model, VERSION, ALONE)
    Stepper(state, PlainNetwork(state.model, arithmetic), objective, settings.clip_grad, statistics).attempt(
        Window((Microbatch(0, batch),), 1.0),
        iter((striped,)),
        Rates(0.0, 0.0, 0.9),
        watch=lambda computed, batch: None,
        stop_requested=lambda: False,
    )
