"""What is one update? Forward and backward over a window's microbatches, then clip, step, average; or nothing at all.

An attempt that is stopped, or meets something that is not finite, leaves weights, buffers, optimizer and average as
they were at the window's start. A window's microbatches may be shared out among processes: each computes its own, and
what is added is added in their order, so every process comes to the same update, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from peakmark.distributed.ordered_sum import OrderedSum
from peakmark.distributed.processes import ALONE, Processes, share
from peakmark.loss.detection import Objective, detection_loss
from peakmark.model.detector import Detector
from peakmark.model.norm_statistics import NormStatistics
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Gains, Losses, LossSums
from peakmark.state.state import RunState
from peakmark.train.ema import update_ema
from peakmark.train.network import Network
from peakmark.train.optimizer import set_rates
from peakmark.train.readings import Readings, Watch
from peakmark.train.schedule import Rates
from peakmark.train.stopwatch import NOT_TIMED, Stopwatch
from peakmark.train.windows import Window

_LEAST_SCALE = 1.0
"""Of the loss in float16."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a window."""

    outcome: Literal["updated", "skipped", "stopped"]
    losses: tuple[tuple[Losses, int], ...] = ()
    """Per microbatch, with its images."""
    what: str = ""
    """What was not finite, in words."""
    files: tuple[str, ...] = ()
    """Images of the microbatch where it showed, or of the whole window."""
    overflow: bool = False
    """The gradient overflowed float16 and its scale was lowered: part of the method, no sign of trouble."""


class Stepper:
    """Attempts updates of a run's state."""

    def __init__(
        self,
        state: RunState,
        network: Network,
        objective: Objective,
        clip_grad: float,
        statistics: NormStatistics,
        processes: Processes = ALONE,
        stopwatch: Stopwatch = NOT_TIMED,
    ) -> None:
        self._state = state
        self._network = network
        self._objective = objective
        self._clip_grad = clip_grad
        self._stage = stopwatch.stage
        self._device = next(state.model.parameters()).device
        self._parameters = [p for p in state.model.parameters() if p.requires_grad]
        self._buffers = list(state.model.buffers())
        self._statistics = statistics
        self._processes = processes
        self._sum = OrderedSum(self._parameters, processes)

    def attempt(
        self,
        window: Window,
        batches: Iterator[Batch],
        rates: Rates,
        *,
        watch: Watch,
        stop_requested: Callable[[], bool],
    ) -> Attempt:
        """Takes this process's batches of the window from `batches` and makes one update; an error changes nothing.

        Only one in the middle of the update itself does, memory that runs out for instance. The state is not `whole`
        then, nor after an update until the caller has moved the position on. `watch` is told of every microbatch.
        """
        set_aside = [buffer.clone() for buffer in self._buffers]
        try:
            attempt = self._try(window, batches, rates, watch, stop_requested)
        except BaseException:
            # An image that can't be read any more, a second Ctrl-C: what was trained before must still be saved whole.
            self._put_back(set_aside)
            raise
        if attempt.outcome != "updated":
            self._put_back(set_aside)
        return attempt

    def _try(
        self,
        window: Window,
        batches: Iterator[Batch],
        rates: Rates,
        watch: Watch,
        stop_requested: Callable[[], bool],
    ) -> Attempt:
        microbatches = len(window.microbatches)
        readings = Readings(self._device, watch)
        self._statistics.begin_window(microbatches)
        stopped = self._compute(window, batches, readings, stop_requested)
        if readings.of_all(self._processes, stopped):
            return Attempt("stopped")
        if readings.spoiled is not None:
            readings.tell()
            return _dropped_with_a_loss(readings)
        with self._stage("update"):
            self._sum.complete(microbatches)
            updated, overflow = self._update(rates, readings, microbatches)
        readings.tell()
        if readings.spoiled is not None:
            return _dropped_with_a_loss(readings)
        if not updated:
            files = readings.files_of_all(self._processes)
            return Attempt("skipped", readings.losses, "the gradient", files, overflow=overflow)
        return Attempt("updated", readings.losses)

    def _compute(
        self, window: Window, batches: Iterator[Batch], readings: Readings, stop_requested: Callable[[], bool]
    ) -> bool:
        """Goes forward and back over this process's share of a window; gives whether a stop came before its end."""
        own = share(window.microbatches, self._processes.rank, self._processes.size)
        for number, _ in enumerate(own, 1):
            if stop_requested():
                return True
            with self._stage("loading"):
                batch = next(batches)
            # What is done once for a shape is inside as well: compiled code is made for the norms as they are there.
            with self._statistics.microbatch():
                if not self._network.ready_for(batch.images_BCHW):
                    return True
                self._accumulate(batch, readings)
            if readings.spoiled is not None:
                for _ in range(len(own) - number):
                    next(batches)  # the window's other batches are dropped with it
                return False
            self._sum.set_aside()
            if self._processes.size == 1:
                readings.tell()
        return False

    def _accumulate(self, batch: Batch, readings: Readings) -> None:
        """Adds a microbatch's gradient; adds nothing where its loss is known already not to be finite."""
        objective = self._objective
        with self._stage("forward"):
            output = self._network(batch.images_BCHW)
        with self._stage("loss"):
            loss, terms_T = weighted(
                detection_loss(output, batch, version=objective.version, class_weights=objective.class_weights),
                objective.gains,
            )
            readings.add(batch, loss, terms_T)
            if readings.spoiled is not None:
                return
        with self._stage("backward"):
            # Times the images: every image of an epoch weighs the same, also in a short last window.
            loss = loss * len(batch)
            torch.autograd.backward(self._state.scaler.scale(loss) if self._state.scaler else loss)

    def _update(self, rates: Rates, readings: Readings, microbatches: int) -> tuple[bool, bool]:
        """Clips, steps and averages; gives whether it did, and if not, whether a lower scale may help next time.

        Nothing of a window is changed before this reads how it went: that is the one wait for a device in an update.
        """
        state = self._state
        if state.scaler:
            readings.read()  # before the scaler sees the gradient: one that is dropped with its loss is no overflow
            if readings.spoiled is not None:
                return False, False
            state.scaler.unscale_(state.optimizer)
        norm = nn.utils.clip_grad_norm_(self._parameters, self._clip_grad if self._clip_grad > 0 else float("inf"))
        (norm_read,) = readings.read(norm)
        if readings.spoiled is not None:
            return False, False
        if not math.isfinite(norm_read):
            return False, state.scaler is not None and _lowered(state.scaler)
        readings.tell()  # before anything is changed: whoever watches may raise
        set_rates(state.optimizer, rates.per_group(), rates.momentum)
        self._statistics.complete(microbatches)
        state.whole = False  # until the caller has moved the position; never in a `finally`
        if state.scaler:
            state.scaler.step(state.optimizer)
            state.scaler.update()
        else:
            state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.ema_updates += 1
        update_ema(state.ema, state.model, state.ema_updates)
        return True, False

    def _put_back(self, set_aside: list[torch.Tensor]) -> None:
        """Takes everything back to the window's start; the weights and the optimizer were never touched."""
        self._state.optimizer.zero_grad(set_to_none=True)
        self._sum.drop()
        # Batch norm moved its statistics in every microbatch already seen.
        with torch.no_grad():
            for buffer, before in zip(self._buffers, set_aside, strict=True):
                buffer.copy_(before)


def _dropped_with_a_loss(readings: Readings) -> Attempt:
    return Attempt("skipped", readings.losses, "the loss", readings.spoiled or ())


def _lowered(scaler: torch.amp.GradScaler) -> bool:
    """Lowers the scale after a gradient that overflowed; False where it was at its least, so that it was no overflow.

    At a scale of 1 the gradient is not finite by itself. Below it, small gradients would be lost to float16: single bad
    images would lower it without end, and the run would go on without learning anything.
    """
    before = scaler.get_scale()
    scaler.update()  # halves it: it saw what unscale_ found
    if scaler.get_scale() < _LEAST_SCALE:
        scaler.update(_LEAST_SCALE)
    return before > _LEAST_SCALE


def weighted(sums: LossSums, gains: Gains) -> tuple[torch.Tensor, torch.Tensor]:
    """Gives the loss to descend and its terms (T,) as they are logged: gain * sum / sum of target scores."""
    share = sums.target_scores.clamp(min=1)
    terms = [gains[name] * term / share for name, term in sums.items()]
    # In their order, and from the first on: another order has other last digits, a start at 0 one operation more.
    return sum(terms[1:], terms[0]), torch.stack(terms).detach()


def freeze(model: Detector, layers: tuple[int, ...]) -> None:
    """Stops the training of these layers of the published table: no gradients, and batch norms keep their statistics.

    Statistics that went on moving would change a layer that the user asked to leave alone.
    """
    by_index = model.layers()
    for layer in layers:
        module = by_index.get(layer)
        if module is None:  # joins and upsampling hold nothing
            continue
        module.requires_grad_(False)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
