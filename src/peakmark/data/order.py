"""In which order are images taken in an epoch? A permutation that is a pure function of seed and epoch."""

from __future__ import annotations

from peakmark.machine.streams import stream
from peakmark.nouns.images import IntArray


def epoch_order(seed: int, epoch: int, images: int) -> IntArray:
    """Gives the image indices of one epoch, each exactly once: (images,) int64."""
    return stream(seed, "order", epoch).permutation(images)
