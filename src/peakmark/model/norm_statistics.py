"""How far do batch-norm statistics move with a microbatch? Quickly while the network is new, slowly later.

A norm moves its statistics by 0.03 of the way to each microbatch's: an average over some 33 microbatches. In a run's
first epochs that is too slow. After 52 microbatches, four epochs of 200 images, a fifth of them is still what they
began with, and the rest is of weights that are gone; validated with these, a network that has learnt finds nothing.
So they are an average over the last tenth of the microbatches that the norm has seen, until that is the 33.

A norm says itself how many it has seen, so weights that are fine-tuned keep the statistics that they bring, and a run
that is resumed needs nothing more. It must not know what a microbatch is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

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


class NormStatistics:
    """The statistics of those norms of a model that are trained."""

    def __init__(self, model: nn.Module, version: int) -> None:
        """`version`: of the run's rules."""
        self._norms = [norm for norm in model.modules() if isinstance(norm, nn.BatchNorm2d) and norm.training]
        self._version = version
        self._gains: list[list[float]] = []
        """For each of the next microbatches, by norm; empty once all of them are 1."""

    def begin_window(self, microbatches: int) -> None:
        """Reads how many microbatches the norms have seen: once a window, since a GPU is waited for."""
        if not self._norms:
            return
        seen = [int(count) for count in fetched(torch.stack([_counter(norm) for norm in self._norms]))]
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
        """Within it the network sees the next microbatch of the window, forward and backward.

        Statistics that are moved again before the backward pass are another tensor to autograd than the one it kept.
        """
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


def _counter(norm: nn.BatchNorm2d) -> torch.Tensor:
    counter: torch.Tensor | None = norm.num_batches_tracked
    assert counter is not None
    return counter


def _statistics(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    return mean, variance
