"""What is one update? Forward and backward over a window's microbatches, then clip, step, average; or nothing at all.

An attempt that is stopped, or meets something that is not finite, leaves weights, buffers, optimizer and average as
they were at the window's start. A window's microbatches may be shared out among processes: each computes its own, and
what is added is added in their order, so every process comes to the same update, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from peakmark.distributed.ordered_sum import OrderedSum
from peakmark.distributed.packing import pack, unpack
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


@dataclass(frozen=True, slots=True)
class Computed:
    """What came of a microbatch."""

    losses: Losses
    images: int
    truths: int
    side_px: int


@dataclass(slots=True)
class _Share:
    """What came of the microbatches that one process computes of a window, in their order."""

    computed: list[Computed]
    not_finite: tuple[str, ...] | None = None
    """The images of the one whose loss was not finite; the ones behind it were left out."""
    stopped: bool = False

    def to_plain(self) -> dict[str, Any]:
        rows = [[dict(each.losses), each.images, each.truths, each.side_px] for each in self.computed]
        return {"computed": rows, "not_finite": self.not_finite, "stopped": self.stopped}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> _Share:
        computed = [Computed(Losses(**losses), *counts) for losses, *counts in plain["computed"]]
        files = plain["not_finite"]
        return _Share(computed, None if files is None else tuple(files), plain["stopped"])


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
        watch: Callable[[Computed, Batch | None], None],
        stop_requested: Callable[[], bool],
    ) -> Attempt:
        """Takes this process's batches of the window from `batches` and makes one update; an error changes nothing.

        Only one in the middle of the update itself does, memory that runs out for instance. The state is not `whole`
        then, nor after an update until the caller has moved the position on. `watch` is told of each microbatch, and
        given its batch where it is computed alone; of several processes each tells of all, once they are done.
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
        watch: Callable[[Computed, Batch | None], None],
        stop_requested: Callable[[], bool],
    ) -> Attempt:
        microbatches = len(window.microbatches)
        self._statistics.begin_window(microbatches)
        own, files = self._compute(window, batches, watch, stop_requested)
        shares = self._of_all(own, watch)
        if any(each.stopped for each in shares):
            return Attempt("stopped")
        done = [computed for each in shares for computed in each.computed]
        if (files_of_it := next((each.not_finite for each in shares if each.not_finite is not None), None)) is not None:
            return Attempt("skipped", _losses(done), "the loss", files_of_it)
        with self._stage("update"):
            self._sum.complete(microbatches)
            updated, overflow = self._update(rates, microbatches)
        if not updated:
            return Attempt("skipped", _losses(done), "the gradient", self._files_of_all(files), overflow=overflow)
        return Attempt("updated", _losses(done))

    def _compute(
        self,
        window: Window,
        batches: Iterator[Batch],
        watch: Callable[[Computed, Batch | None], None],
        stop_requested: Callable[[], bool],
    ) -> tuple[_Share, tuple[str, ...]]:
        """Goes forward and back over this process's microbatches; gives what came of them, and their images."""
        share_of_it, files = _Share([]), list[str]()
        left = len(share(window.microbatches, self._processes.rank, self._processes.size))
        while left:
            if stop_requested():
                share_of_it.stopped = True
                break
            with self._stage("loading"):
                batch = next(batches)
            left -= 1
            # Inside as well what is done once for a shape: it is compiled as it will be called.
            with self._statistics.microbatch():
                if not self._network.ready_for(batch.images_BCHW):
                    share_of_it.stopped = True
                    break
                losses = self._accumulate(batch)
            if losses is None:
                share_of_it.not_finite = batch.files
                break
            self._sum.set_aside()
            files.extend(batch.files)
            computed = Computed(losses, len(batch), len(batch.classes), int(batch.images_BCHW.shape[2]))
            share_of_it.computed.append(computed)
            if self._processes.size == 1:
                watch(computed, batch)
        if share_of_it.not_finite is not None:
            for _ in range(left):
                next(batches)  # the window's other batches are dropped with it
        return share_of_it, tuple(files)

    def _of_all(self, own: _Share, watch: Callable[[Computed, Batch | None], None]) -> list[_Share]:
        """Gives what came of the window in each process, in the order of its microbatches, and tells of it.

        Those behind one whose loss was not finite were computed elsewhere, but alone they would not have been.
        """
        if self._processes.size == 1:
            return [own]
        gathered = self._processes.gather(pack(own.to_plain()), "the microbatches of a window")
        shares = [_Share.from_plain(unpack(packed)[0]) for packed in gathered]
        if any(each.stopped for each in shares):
            return shares
        first_bad = next((place for place, each in enumerate(shares) if each.not_finite is not None), len(shares))
        shares = shares[: first_bad + 1]
        for each in shares:
            for computed in each.computed:
                watch(computed, None)
        return shares

    def _files_of_all(self, own: tuple[str, ...]) -> tuple[str, ...]:
        gathered = self._processes.gather(pack(own), "the images of a window")
        return tuple(file for packed in gathered for file in unpack(packed)[0])

    def _accumulate(self, batch: Batch) -> Losses | None:
        """Adds a microbatch's gradient; gives None, and adds nothing, where its loss is not finite."""
        objective = self._objective
        with self._stage("forward"):
            output = self._network(batch.images_BCHW)
        with self._stage("loss"):
            loss, losses = weighted(
                detection_loss(output, batch, version=objective.version, class_weights=objective.class_weights),
                objective.gains,
            )
            if not bool(torch.isfinite(loss)):
                return None
        with self._stage("backward"):
            # Times the images: every image of an epoch weighs the same, also in a short last window.
            loss = loss * len(batch)
            torch.autograd.backward(self._state.scaler.scale(loss) if self._state.scaler else loss)
        return losses

    def _update(self, rates: Rates, microbatches: int) -> tuple[bool, bool]:
        """Clips, steps and averages; gives whether it did, and if not, whether a lower scale may help next time."""
        state = self._state
        if state.scaler:
            state.scaler.unscale_(state.optimizer)
        norm = nn.utils.clip_grad_norm_(self._parameters, self._clip_grad if self._clip_grad > 0 else float("inf"))
        if not bool(torch.isfinite(norm)):
            return False, state.scaler is not None and _lowered(state.scaler)
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


def _losses(computed: Sequence[Computed]) -> tuple[tuple[Losses, int], ...]:
    return tuple((each.losses, each.images) for each in computed)


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


def weighted(sums: LossSums, gains: Gains) -> tuple[torch.Tensor, Losses]:
    """Gives the loss to descend and its terms as they are logged: gain * sum / sum of target scores."""
    share = sums.target_scores.clamp(min=1)
    terms = [gains[name] * term / share for name, term in sums.items()]
    values = torch.stack(terms).detach().tolist()  # one transfer, not one for each term
    # In their order, and from the first on: another order has other last digits, a start at 0 one operation more.
    return sum(terms[1:], terms[0]), Losses(*values)


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
