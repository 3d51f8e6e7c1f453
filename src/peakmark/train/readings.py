"""What did a window's microbatches cost? Their losses on the way from the device, and whether each is finite.

On a processor they are read as they come, which costs nothing, and a loss that is not finite is known before its
backward pass. A device apart would stand idle after each reading: there all are read at the window's end, in one go,
and what follows from them is the same. Where several processes compute a window, each has all of them in the end, in
the order of the microbatches. It must not know what a loss is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from peakmark.distributed.packing import pack, unpack
from peakmark.distributed.processes import Processes
from peakmark.machine.apart import fetched, is_apart
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Losses


@dataclass(frozen=True, slots=True)
class Computed:
    """What came of a microbatch."""

    losses: Losses
    images: int
    truths: int
    side_px: int

    @staticmethod
    def of(batch: Batch, losses: Losses) -> Computed:
        return Computed(losses, len(batch), len(batch.classes), int(batch.images_BCHW.shape[2]))

    def to_plain(self) -> list[Any]:
        return [dict(self.losses), self.images, self.truths, self.side_px]

    @staticmethod
    def from_plain(plain: Sequence[Any]) -> Computed:
        losses, *counts = plain
        return Computed(Losses(**losses), *counts)


Watch = Callable[[Computed, Batch | None], None]
"""Told of each microbatch of a window up to the first whose loss is not finite; with its batch, where that is here."""


class Readings:
    """The losses of one window."""

    def __init__(self, device: torch.device, watch: Watch) -> None:
        self._at_once = not is_apart(device)
        self._watch = watch
        self._waiting: list[tuple[Batch, torch.Tensor]] = []
        self._untold: list[tuple[Computed, Batch | None]] = []
        self._done: list[Computed] = []
        """Those that `watch` is told of."""
        self._files: list[str] = []
        self.spoiled: tuple[str, ...] | None = None
        """The images of the first microbatch whose loss is not finite."""

    @property
    def losses(self) -> tuple[tuple[Losses, int], ...]:
        """Per microbatch that `watch` is told of, with its images."""
        return tuple((computed.losses, computed.images) for computed in self._done)

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
            computed = Computed.of(batch, losses)
            self._done.append(computed)
            self._files.extend(batch.files)
            self._untold.append((computed, batch))

    def of_all(self, processes: Processes, stopped: bool) -> bool:
        """Takes what the other processes have as well; gives whether any of them was stopped. Raises LostProcessError.

        Those behind a loss that is not finite were computed elsewhere; alone they would not have been.
        """
        if processes.size == 1:
            return stopped
        self.read()
        own = pack([[computed.to_plain() for computed in self._done], self.spoiled, stopped])
        shares = [unpack(packed)[0] for packed in processes.gather(own, "the microbatches of a window")]
        self._done, self.spoiled = [], None
        for computed, spoiled, _ in shares:
            if self.spoiled is None:
                self._done += map(Computed.from_plain, computed)
                self.spoiled = None if spoiled is None else tuple(spoiled)
        # Of one that is stopped nobody is told: the window is dropped, and computed again.
        self._untold = [(computed, None) for computed in self._done]
        return any(was_stopped for *_, was_stopped in shares)

    def files_of_all(self, processes: Processes) -> tuple[str, ...]:
        """Gives the images of the whole window. Raises LostProcessError."""
        shares = processes.gather(pack(self._files), "the images of a window")
        return tuple(file for packed in shares for file in unpack(packed)[0])

    def tell(self) -> None:
        """Tells `watch` of what was read since."""
        untold, self._untold = self._untold, []
        for computed, batch in untold:
            self._watch(computed, batch)
