"""Which images make an update together? The cutting of an epoch into windows, a pure function of sizes and position.

A window gathers the gradients of microbatches up to the nominal batch and ends in one update. It never crosses an
epoch's end, so every window's start is a place to save.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from peakmark.data.loader import Microbatch
from peakmark.nouns.run import Segment
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe_of, window_microbatches


@dataclass(frozen=True, slots=True)
class Window:
    """The microbatches of one attempted update."""

    microbatches: tuple[Microbatch, ...]
    warmup: float
    """How far the warm-up is at this update, 0 to 1; 1 once it is over."""
    rewarm: float = 1.0
    """The same for the rise after a resume with a new optimizer."""

    @property
    def first(self) -> int:
        return self.microbatches[0].first

    @property
    def images(self) -> int:
        return sum(part.count for part in self.microbatches)

    @property
    def end(self) -> int:
        return self.first + self.images


def epoch_windows(settings: Settings, segment: Segment, images: int, epoch: int) -> tuple[Window, ...]:
    """Cuts an epoch of `images`, or what the segment has of it, into windows.

    Where the recipe says so, each `batch` of a window is a few microbatches, cut as evenly as may be: devices that
    compute one batch together each have one of them, and the windows are those of the whole batches.

    During the warm-up windows grow from one microbatch to the nominal batch: early updates are small in rate, so they
    may be noisy, and there are more of them while everything is still to be learnt.
    """
    begin = segment.from_images if epoch == segment.from_epoch else 0
    parts = [Microbatch(first, min(settings.batch, images - first)) for first in range(begin, images, settings.batch)]
    per_epoch = -(-images // settings.batch)
    before = epoch * per_epoch + per_epoch - len(parts)
    full = window_microbatches(settings.batch, recipe_of(segment).nbs)
    warmup_microbatches = settings.warmup_epochs * per_epoch
    windows = []
    start = 0
    while start < len(parts):
        reached = _share(before + start, warmup_microbatches)
        end = min(len(parts), start + max(1, round(1 + (full - 1) * reached)))
        last = before + end - 1
        since = epoch - segment.from_epoch + (parts[end - 1].first - segment.from_images) / images
        rewarm = _share(since, segment.rewarm_epochs)
        microbatches = tuple(piece for part in parts[start:end] for piece in _pieces(part, recipe_of(segment).parts))
        windows.append(Window(microbatches, _share(last, warmup_microbatches), rewarm))
        start = end
    return tuple(windows)


def _pieces(part: Microbatch, count: int) -> list[Microbatch]:
    """Cuts a microbatch into so many, or into single images where it has fewer."""
    count = min(count, part.count)
    bounds = [part.first + place * part.count // count for place in range(count + 1)]
    return [Microbatch(first, end - first) for first, end in pairwise(bounds)]


def _share(done: float, whole: float) -> float:
    return min(1.0, done / whole) if whole > 0 else 1.0
