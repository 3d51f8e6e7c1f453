"""Gradients that several processes computed are added to the bits of one, whoever computed which."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from peakmark.distributed.ordered_sum import OrderedSum
from peakmark.distributed.processes import ALONE, share, shares

SHAPES = [(3, 2, 3, 3), (5,), (1, 7, 1, 1), (33,)]


class Threads:
    """Processes that are threads of this one: they give one another tensors by a table."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size)
        self.table: list[Any] = [None] * size

    def all_of(self, rank: int, own: Any) -> list[Any]:
        self.table[rank] = own
        self.barrier.wait()
        found = list(self.table)
        self.barrier.wait()
        return found


class OneOf:
    def __init__(self, threads: Threads, rank: int) -> None:
        self._threads, self.rank, self.size, self.on_this_machine = threads, rank, threads.size, threads.size

    def exchange(self, sent: torch.Tensor, sizes: Sequence[int], received: Sequence[int], what: str) -> torch.Tensor:
        pieces = [each.split(list(cut))[self.rank] for each, cut in self._threads.all_of(self.rank, (sent, sizes))]
        assert [len(piece) for piece in pieces] == list(received)
        return torch.cat(pieces)

    def join(self, own: torch.Tensor, what: str) -> torch.Tensor:
        return torch.cat(self._threads.all_of(self.rank, own))


def parameters() -> list[nn.Parameter]:
    made = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    made[0].data = made[0].data.to(memory_format=torch.channels_last)
    return made


def gradients(number: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(number)
    return [torch.randn(shape, generator=draw) * 10.0 ** (number % 5) for shape in SHAPES]


def of_one(microbatches: int) -> list[torch.Tensor]:
    """As autograd gathers them."""
    gathered = gradients(0)
    for number in range(1, microbatches):
        for total, each in zip(gathered, gradients(number), strict=True):
            total += each
    return gathered


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("microbatches", [1, 2, 3, 5, 8])
def test_the_sum_has_the_bits_of_one_process(size, microbatches):
    threads, expected = Threads(size), of_one(microbatches)
    found: list[list[torch.Tensor]] = [[] for _ in range(size)]

    def compute(rank: int) -> None:
        try:
            own = parameters()
            total = OrderedSum(own, OneOf(threads, rank))  # type: ignore[arg-type]
            for number in share(range(microbatches), rank, size):
                for parameter, gradient in zip(own, gradients(number), strict=True):
                    parameter.grad = gradient
                total.set_aside()
            total.complete(microbatches)
            found[rank] = [parameter.grad for parameter in own if parameter.grad is not None]
        finally:
            if not found[rank]:
                threads.barrier.abort()  # or the others would wait for this one

    running = [threading.Thread(target=compute, args=(rank,)) for rank in range(size)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for rank in range(size):
        assert found[rank][0].is_contiguous(memory_format=torch.channels_last)
        assert all(torch.equal(mine, one) for mine, one in zip(found[rank], expected, strict=True))
    if microbatches > 2:
        backwards = gradients(microbatches - 1)
        for number in reversed(range(microbatches - 1)):
            for total, each in zip(backwards, gradients(number), strict=True):
                total += each
        assert not all(torch.equal(one, other) for one, other in zip(expected, backwards, strict=True)), (
            "or order is no matter"
        )


def test_alone_nothing_is_done():
    own = parameters()
    own[0].grad = gradients(0)[0]
    total = OrderedSum(own, ALONE)
    total.set_aside()
    total.complete(1)
    assert torch.equal(own[0].grad, gradients(0)[0])


def test_a_parameter_without_a_gradient_is_a_defect_that_is_named():
    total = OrderedSum(parameters(), OneOf(Threads(2), 0))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="has a gradient"):
        total.set_aside()


@given(st.integers(0, 40), st.integers(1, 9))
def test_every_part_is_dealt_once_in_order_and_evenly(parts, size):
    dealt = [list(share(range(parts), rank, size)) for rank in range(size)]
    assert [part for own in dealt for part in own] == list(range(parts))
    assert [len(own) for own in dealt] == shares(parts, size)
    assert max(shares(parts, size)) - min(shares(parts, size)) <= 1
