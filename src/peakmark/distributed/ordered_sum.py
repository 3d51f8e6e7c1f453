"""How are gradients of several processes added so that their number changes no bit? In the order of the microbatches.

A floating-point sum depends on its order, and `all_reduce` adds in whichever suits the number of processes. Here each
process owns a slice of all parameters. It is sent that slice of every microbatch's gradient, adds them in the order of
the microbatches, as one process does that lets them gather, and sends the sum to all. With k microbatches a process and
W processes, each sends (k + 1)(W - 1)/W times the gradient's bytes: for k = 1, which is what devices that share out one
batch have, just what a ring's all-reduce sends. A tree of sums would send less for larger k, but it is another sum than
that of one process, and every run of one process would have to pay for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from peakmark.distributed.processes import Processes, shares

_ALIGNED = 16
"""Numbers that a parameter's place begins at a multiple of: kernels read whole cache lines."""


class OrderedSum:
    """Adds the gradients of a window's microbatches in their order, whoever computed them.

    Alone, autograd itself adds each microbatch's gradient to those before it; there is nothing to do then.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], processes: Processes) -> None:
        """`parameters`: those that are trained, float32, on one device."""
        self._parameters = parameters
        self._processes = processes
        self._rows: list[torch.Tensor] = []
        """The gradient of each of this process's microbatches of the window, flat."""
        self._places: list[int] = []
        end = 0
        for parameter in parameters if processes.size > 1 else ():
            self._places.append(end)
            end += -(-parameter.numel() // _ALIGNED) * _ALIGNED
        self._slice = -(-end // (processes.size * _ALIGNED)) * _ALIGNED
        """Numbers of it that each process adds."""

    def set_aside(self) -> None:
        """Takes the gradient of the microbatch that was just computed off the parameters."""
        if self._processes.size == 1:
            return
        row = self._parameters[0].new_zeros(self._slice * self._processes.size)
        torch._foreach_copy_(self._views(row), [_gradient(parameter) for parameter in self._parameters])
        for parameter in self._parameters:
            parameter.grad = None
        self._rows.append(row)

    def drop(self) -> None:
        """Forgets what was set aside."""
        self._rows = []

    def complete(self, microbatches: int) -> None:
        """Puts the sum over the window's `microbatches`, of all processes, on the parameters."""
        processes, size = self._processes, self._processes.size
        if size == 1:
            return
        counts = shares(microbatches, size)
        own = counts[processes.rank]
        rows, self._rows = self._rows, []
        empty = self._parameters[0].new_empty((0, size, self._slice))
        sent = torch.stack(rows).view(own, size, self._slice) if rows else empty
        received = processes.exchange(
            sent.transpose(0, 1).reshape(-1),
            [own * self._slice] * size,
            [count * self._slice for count in counts],
            "the gradients of a window",
        )
        # In this order, and from the first on: it is the sum that one process makes.
        first, *others = received.view(microbatches, self._slice).unbind()
        for other in others:
            first += other
        total = processes.join(first, "the sums of a window's gradients")
        for parameter, view in zip(self._parameters, self._views(total), strict=True):
            parameter.grad = view

    def _views(self, row: torch.Tensor) -> list[torch.Tensor]:
        """The places of the parameters in a flat tensor, each laid out in memory as its parameter is."""
        return [
            row.as_strided(parameter.shape, parameter.stride(), place)
            for parameter, place in zip(self._parameters, self._places, strict=True)
        ]


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    gradient = parameter.grad
    if gradient is None:
        # It would have to stay None where all microbatches leave it so, or weights would decay that have no gradient.
        raise AssertionError("every parameter that is trained has a gradient in every microbatch")
    return gradient
