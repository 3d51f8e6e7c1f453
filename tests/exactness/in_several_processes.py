"""The command line as one of several processes of a run, in which something is planted.

Run as a program, with the words of the command line. PEAKMARK_TEST_FAULT says what is planted:
`sum`, `statistics`, `stream`: what other trainers do, which must give another run;
`nan`: the loss of a microbatch with a certain image is not finite;
`SIGNAL RANK NUMBER WAIT`: this process sends itself a signal as it begins to wait for WAIT for the n-th time;
`error RANK NUMBER WAIT`: there it meets an error.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from peakmark.cli.main import run
from peakmark.data import loader
from peakmark.data.augment.plan import draw_plan
from peakmark.distributed.ordered_sum import OrderedSum
from peakmark.distributed.process_group import ProcessGroup
from peakmark.errors import DataError
from peakmark.loss.detection import detection_loss
from peakmark.model.norm_statistics import StatisticsByWindow
from peakmark.train import step

RANK = int(os.environ.get("RANK", "0"))


def added_by_the_library(self: Any, microbatches: int) -> None:
    """`all_reduce`, as every trainer does it: each process adds its own, the library adds those sums."""
    zeros = self._parameters[0].new_zeros(self._slice * self._processes.size)
    own = sum(self._rows, zeros)
    self._rows = []
    distributed.all_reduce(own)
    for parameter, view in zip(self._parameters, self._views(own), strict=True):
        parameter.grad = view


def of_the_first_alone(self: Any, microbatches: int) -> Iterator[torch.Tensor]:
    rows = list(_rows_of_all(self, microbatches))
    own = len(rows) // self._processes.size or 1
    return iter([rows[number % own] for number in range(microbatches)])


def own_draws(settings: Any, sizes: Any, *, epoch: int, **rest: Any) -> Any:
    return draw_plan(settings, sizes, epoch=epoch + 1000 * RANK, **rest)


def not_finite(output: Any, batch: Any, **rules: Any) -> Any:
    sums = detection_loss(output, batch, **rules)
    is_spoilt = any(file.endswith("03.png") for file in batch.files)
    return dataclasses.replace(sums, box=sums.box * float("nan")) if is_spoilt else sums


def at_a_wait(kind: str, number: int, wait: str) -> None:
    plain = ProcessGroup._waiting
    left = number

    @contextmanager
    def waiting(self: ProcessGroup, what: str) -> Iterator[None]:
        nonlocal left
        left -= what == wait
        if left == 0 and what == wait:
            left = -1
            if kind == "error":
                raise DataError("images/07.png can't be read any more.")
            os.kill(os.getpid(), getattr(signal, kind))
        with plain(self, what):
            yield

    ProcessGroup._waiting = waiting  # type: ignore[method-assign]


_rows_of_all = StatisticsByWindow._rows_of_all


def plant(fault: str) -> None:
    match fault.split(maxsplit=3):
        case ["sum"]:
            OrderedSum.complete = added_by_the_library  # type: ignore[method-assign]
        case ["statistics"]:
            StatisticsByWindow._rows_of_all = of_the_first_alone  # type: ignore[method-assign]
        case ["stream"]:
            loader.draw_plan = own_draws  # type: ignore[assignment, attr-defined]
        case ["nan"]:
            step.detection_loss = not_finite  # type: ignore[attr-defined]
        case [kind, rank, number, wait]:
            if int(rank) == RANK:
                at_a_wait(kind, int(number), wait)
        case other:
            assert not other, other


if __name__ == "__main__":
    plant(os.environ.get("PEAKMARK_TEST_FAULT", ""))
    run()
