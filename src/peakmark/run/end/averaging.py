"""How do the weights of several epochs become those of one model? Averaged, with batch-norm statistics of their own.

A batch norm's statistics are those of the activations that its weights make, and averaged weights make others: the
average of the statistics would be of no model at all. So they are measured anew, on training images as the run trained
on them: measured on plain ones, best.pt itself lost 0.017 mAP50-95 on a set of blood cells.
It must not know which epochs are averaged, nor whether that was worth it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import nn

from peakmark.checkpoint.format import Weights, snapshot
from peakmark.data.loader import Microbatch
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import Detector
from peakmark.nouns.batch import Batch
from peakmark.train.step import freeze

_STATISTICS_IMAGES: Final = 1024
"""From so many images a channel's mean and variance are right to a few percent of the spread between images."""
_TOGETHER: Final = 16


def average(all_weights: Sequence[Mapping[str, torch.Tensor]]) -> Weights:
    """Gives the mean of each weight, added up in float64; whole numbers (counters) are those of the first."""
    return {
        name: torch.stack([weights[name].double() for weights in all_weights]).mean(dim=0).to(first.dtype)
        if first.is_floating_point()
        else first.clone()
        for name, first in all_weights[0].items()
    }


def microbatches_for_statistics(images: int) -> tuple[Microbatch, ...]:
    """Says which images of an epoch's order are put through the network together: at most 1,024, all groups alike.

    They must be of one size, since each counts the same; what is left over is left out.
    """
    together = min(images, _TOGETHER)
    return tuple(
        Microbatch(first, together) for first in range(0, min(images, _STATISTICS_IMAGES) - together + 1, together)
    )


@torch.no_grad()
def measure_statistics(
    model: Detector, batches: Iterable[Batch], arithmetic: Arithmetic, *, frozen: tuple[int, ...]
) -> Weights:
    """Gives the weights of a model with the statistics that they have on these batches, each counting the same.

    In the arithmetic that it was trained in. Norms of `frozen` layers keep theirs: nobody trained them, so the average
    left them alone.
    """
    counters = snapshot({name: value for name, value in model.state_dict().items() if not value.is_floating_point()})
    model = arithmetic.place(model).train()
    freeze(model, frozen)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.training:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches, not a moving one that forgets the first
    for batch in batches:
        with arithmetic.autocast():
            model(arithmetic.prepare(batch.images_BCHW))
    return {**snapshot(model.state_dict()), **counters}
