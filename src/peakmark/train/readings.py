"""What did a window's microbatches cost? Their losses on the way from the device, and whether each is finite.

On a processor they are read as they come, which costs nothing, and a loss that is not finite is known before its
backward pass. A device apart would stand idle after each reading: there all are read at the window's end, in one go,
and what follows from them is the same. It must not know what a loss is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from peakmark.machine.apart import fetched, is_apart
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Losses


class Readings:
    """The losses of one window."""

    def __init__(self, device: torch.device, watch: Callable[[Batch, Losses], None]) -> None:
        """`watch` is told of each microbatch whose loss is finite, up to the first where it isn't."""
        self._at_once = not is_apart(device)
        self._watch = watch
        self._waiting: list[tuple[Batch, torch.Tensor]] = []
        self._untold: list[tuple[Batch, Losses]] = []
        self.done: list[tuple[Losses, int]] = []
        """Per microbatch that `watch` will be told of, with its images."""
        self.spoiled: tuple[str, ...] | None = None
        """The images of the first microbatch whose loss is not finite."""

    def add(self, batch: Batch, loss: torch.Tensor, terms_T: torch.Tensor) -> None:
        """Takes what a microbatch cost: the loss that is descended, and its terms as they are logged."""
        self._waiting.append((batch, torch.cat((terms_T, loss.detach()[None]))))
        if self._at_once:
            self.read()

    def read(self, *also: torch.Tensor) -> list[float]:
        """Reads all that waits, and further numbers with it, in one transfer; gives these."""
        waiting, self._waiting = self._waiting, []
        values = [*(values for _, values in waiting), *(number.detach()[None] for number in also)]
        numbers = iter(fetched(torch.cat(values)) if values else ())
        for batch, of_batch in waiting:
            *terms, loss = (next(numbers) for _ in of_batch)
            self._keep(batch, loss, Losses(*terms))
        return list(numbers)

    def _keep(self, batch: Batch, loss: float, losses: Losses) -> None:
        if self.spoiled is None and not math.isfinite(loss):
            self.spoiled = batch.files
        if self.spoiled is None:
            self.done.append((losses, len(batch)))
            self._untold.append((batch, losses))

    def tell(self) -> None:
        """Tells `watch` of what was read since."""
        untold, self._untold = self._untold, []
        for batch, losses in untold:
            self._watch(batch, losses)
