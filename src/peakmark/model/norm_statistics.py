"""How far do batch-norm statistics move with a microbatch? Quickly while the network is new, slowly later.

A norm moves its statistics by 0.03 of the way to each microbatch's: an average over some 33 microbatches. In a run's
first epochs that is too slow. After 52 microbatches, four epochs of 200 images, a fifth of them is still what they
began with, and the rest is of weights that are gone; validated with these, a network that has learnt finds nothing.
So they are an average over the last tenth of the microbatches that the norm has seen, until that is the 33.

A norm says itself how many it has seen, so weights that are fine-tuned keep the statistics that they bring, and a run
that is resumed needs nothing more. It must not know what a microbatch is made of.

They are moved once a window, by each of its microbatches in their order, wherever that was computed: so any number of
processes comes to the same. Runs that began before this move them in every forward pass, which rounds otherwise; which
of the two a run does is part of its arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import nn

from peakmark.distributed.processes import Processes, shares
from peakmark.machine.apart import fetched
from peakmark.settings.recipe import Since

_SHARE_OF_ALL = 10
"""One over the share of what was seen."""


def gain(seen: int, momentum: float, version: int) -> float:
    """How many times as far as `momentum` of the way the statistics move after `seen` microbatches; 1 in the end.

    `version`: of the run's rules; by the first ones, norms are left to themselves.
    """
    if version < Since.STATISTICS_ARE_IN_USE:
        return 1.0
    return max(1.0, _SHARE_OF_ALL / (_SHARE_OF_ALL + seen) / momentum)


class NormStatistics(Protocol):
    """The statistics of those norms of a model that are trained."""

    def begin_window(self, microbatches: int) -> None:
        """A window of so many microbatches begins, of all processes together."""

    def microbatch(self) -> AbstractContextManager[None]:
        """Within it the network sees the next of this process's microbatches, forward and backward."""

    def complete(self, microbatches: int) -> None:
        """The window is computed and its update is made: the statistics are to be what they are after it.

        Raises LostProcessError.
        """


class StatisticsByWindow:
    """Moves them where a window is complete."""

    def __init__(self, model: nn.Module, version: int, processes: Processes) -> None:
        """`version`: of the run's rules."""
        self._norms = _trained_norms(model)
        self._tensors = [tensor for norm in self._norms for tensor in _statistics(norm)]
        self._version = version
        self._processes = processes
        self._seen: list[int] | None = None
        """By norm; read once, since a GPU is waited for, and counted from there on."""
        self._rows: list[torch.Tensor] = []
        """Of each of this process's microbatches: the means and variances of all norms, flat."""

    def begin_window(self, microbatches: int) -> None:
        self._rows = []
        if not self._norms:
            return
        if self._seen is None:
            self._seen = _counts(self._norms)
        self._before = torch.cat(self._tensors)

    @contextmanager
    def microbatch(self) -> Iterator[None]:
        """At a momentum of 1 the statistics of the microbatch are what each norm holds after its forward pass."""
        usual = [norm.momentum for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 1.0
        try:
            yield
        finally:
            for norm, momentum in zip(self._norms, usual, strict=True):
                norm.momentum = momentum
        if self._tensors:
            self._rows.append(torch.cat(self._tensors))

    @torch.no_grad()
    def complete(self, microbatches: int) -> None:
        if not self._norms:
            return
        assert self._seen is not None
        sizes = [tensor.numel() for tensor in self._tensors]
        torch._foreach_copy_(self._tensors, list(torch.split(self._before, sizes)))
        for taken, row in enumerate(self._rows_of_all(microbatches)):
            weights = [
                self._share(norm.momentum or 1.0, seen + taken)
                for norm, seen in zip(self._norms, self._seen, strict=True)
                for _ in range(2)
            ]
            torch._foreach_lerp_(self._tensors, list(torch.split(row, sizes)), weights)
        self._seen = [seen + microbatches for seen in self._seen]
        for norm, seen in zip(self._norms, self._seen, strict=True):
            _counter(norm).fill_(seen)  # each process saw only its own

    def _share(self, momentum: float, seen: int) -> float:
        """How far they go towards a microbatch's; 1 is all the way, and no rounding may lead beyond."""
        return min(1.0, momentum * gain(seen, momentum, self._version))

    def _rows_of_all(self, microbatches: int) -> Iterator[torch.Tensor]:
        """Gives the rows of all processes, in the order of the microbatches."""
        if self._processes.size == 1:
            yield from self._rows
            return
        counts = shares(microbatches, self._processes.size)
        own = self._tensors[0].new_zeros((max(counts), sum(tensor.numel() for tensor in self._tensors)))
        for place, row in enumerate(self._rows):
            own[place] = row
        joined = self._processes.join(own.reshape(-1), "the batch-norm statistics of a window")
        for count, rows in zip(counts, joined.view(-1, *own.shape), strict=True):
            yield from rows[:count]


class StatisticsInPlace:
    """Lets every forward pass move them, and moves them further where the norms are new."""

    def __init__(self, model: nn.Module, version: int) -> None:
        """`version`: of the run's rules."""
        self._norms = _trained_norms(model)
        self._version = version
        self._gains: list[list[float]] = []
        """For each of the next microbatches, by norm; empty once all of them are 1."""

    def begin_window(self, microbatches: int) -> None:
        """Reads how many microbatches the norms have seen: once a window, since a GPU is waited for."""
        if not self._norms:
            return
        seen = _counts(self._norms)
        gains = [
            [
                gain(before + taken, norm.momentum or 1.0, self._version)
                for norm, before in zip(self._norms, seen, strict=True)
            ]
            for taken in range(microbatches)
        ]
        self._gains = [each for each in gains if max(each) > 1]
        if not self._gains:
            self._norms = []  # for good: no norm sees fewer as time goes on

    @contextmanager
    def microbatch(self) -> Iterator[None]:
        """Not in between: moved again before the backward pass they are another tensor than the one autograd kept."""
        if not self._gains:
            yield
            return
        statistics = [tensor for norm in self._norms for tensor in _statistics(norm)]
        before = [tensor.clone() for tensor in statistics]
        yield
        with torch.no_grad():
            # Outside of the network: compiled code would be made anew for each momentum.
            gains = [each for each in self._gains.pop(0) for _ in range(2)]
            torch._foreach_lerp_(before, statistics, gains)
            torch._foreach_clamp_min_(before[1::2], 0.0)  # a variance of nearly 0 is rounded to either side of it
            torch._foreach_copy_(statistics, before)

    def complete(self, microbatches: int) -> None:
        """They are moved already."""


def _trained_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [norm for norm in model.modules() if isinstance(norm, nn.BatchNorm2d) and norm.training]


def _counts(norms: list[nn.BatchNorm2d]) -> list[int]:
    return [int(count) for count in fetched(torch.stack([_counter(norm) for norm in norms]))]


def _counter(norm: nn.BatchNorm2d) -> torch.Tensor:
    counter: torch.Tensor | None = norm.num_batches_tracked
    assert counter is not None
    return counter


def _statistics(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    return mean, variance
