"""What may a run ask of the processes that compute it? To give one another what they have, in the order of their ranks.

Most runs are computed by one process, which is `ALONE`; nothing that it is asked for costs anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch

Part = TypeVar("Part")


class Processes(Protocol):
    """The processes of a run. Every method but the properties is one that all of them call, at the same place.

    All raise LostProcessError where another process ended, or didn't come there within the time limit; `what` says in
    words what is waited for.
    """

    @property
    def rank(self) -> int:
        """The number of this process, from 0 on; 0 leads: whatever is told, decided and written is its own."""

    @property
    def size(self) -> int: ...
    @property
    def on_this_machine(self) -> int:
        """How many of them share this machine's processors and memory."""

    def gather(self, own: bytes, what: str) -> list[bytes]:
        """Gives what each of them has, on every process."""

    def lead(self, first: bytes, what: str) -> bytes:
        """Gives what process 0 has, on every process; what the others hand in is not looked at."""

    def exchange(self, sent: torch.Tensor, sizes: Sequence[int], received: Sequence[int], what: str) -> torch.Tensor:
        """Cuts a flat tensor into `sizes`, a piece for each process, and gives the pieces that were sent here, joined.

        `received`: their sizes.
        """

    def join(self, own: torch.Tensor, what: str) -> torch.Tensor:
        """Joins flat tensors of equal size, on every process."""


class _Alone:
    """A run that one process computes."""

    rank = 0
    size = 1
    on_this_machine = 1

    def gather(self, own: bytes, what: str) -> list[bytes]:
        return [own]

    def lead(self, first: bytes, what: str) -> bytes:
        return first

    def exchange(self, sent: torch.Tensor, sizes: Sequence[int], received: Sequence[int], what: str) -> torch.Tensor:
        return sent

    def join(self, own: torch.Tensor, what: str) -> torch.Tensor:
        return own


ALONE: Processes = _Alone()


def share(parts: Sequence[Part], rank: int, size: int) -> Sequence[Part]:
    """Gives those of the parts that the process of a rank computes: neighbours, as evenly as may be; none perhaps.

    Neighbours, so that what the processes have, joined by rank, is in the order of the parts.
    """
    return parts[rank * len(parts) // size : (rank + 1) * len(parts) // size]


def shares(parts: int, size: int) -> list[int]:
    """Gives how many of so many parts each process computes."""
    return [(rank + 1) * parts // size - rank * parts // size for rank in range(size)]
