"""How do several processes give one another bytes, and what is said where one of them doesn't come?

Every wait has a time limit and a name. Before each, a process leaves word in the store that the launcher keeps how far
it has come; one that ends by an error leaves its words there. So whoever waits in vain can say for whom, and why.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NoReturn

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from peakmark.errors import MachineError

_UNTIL_PREPARED = timedelta(days=7)
"""How long a process waits while another prepares the run: images are indexed, a person may be asked."""
_LAST_WORDS_S = 3.0
"""How long words of a process that is ending are waited for: its connections close before its agent says a word."""
_STORE_ANSWERS_S = 2.0
"""In which a store that answers at all has answered."""


class LostProcessError(MachineError):
    """Another process of the run ended, or didn't answer in time."""

    def __init__(self, text: str, *, is_said: bool = False) -> None:
        """`is_said`: the process that ended has said why."""
        super().__init__(text)
        self.is_said = is_said


class ProcessGroup:
    """The processes that a launcher started together, as `distributed.processes.Processes`."""

    def __init__(self, attempt: int = 0) -> None:
        """Joins them. Raises LostProcessError where they don't find one another.

        `attempt`: how often they were started before. The launcher's store outlives them: addresses and last words of
        those that died must not be read as those of their successors.
        """
        store: Any
        self._rank: int
        self._size: int
        try:
            store, self._rank, self._size = next(rendezvous("env://"))
            store = PrefixStore(f"peakmark {attempt}", store)
            distributed.init_process_group(
                "gloo",
                store=PrefixStore("connections", store),
                rank=self._rank,
                world_size=self._size,
                timeout=_UNTIL_PREPARED,
            )
        except (RuntimeError, ValueError) as error:
            raise LostProcessError(
                f"The processes of this run don't find one another ({_first_line(error)}). Start them with torchrun,"
                " or with device=0,1 or processes=2."
            ) from error
        self._store = PrefixStore("words", store)
        self._group: Any = None
        """None is the default one, in which everything waits until the run is prepared."""
        self._on_device: Any = None
        self._limit_s: float | None = None
        self._waits = 0
        self._store_answers = True
        """Else whoever asks it anything waits for ever."""

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def size(self) -> int:
        return self._size

    @property
    def on_this_machine(self) -> int:
        return int(os.environ.get("LOCAL_WORLD_SIZE", self._size))

    def begin(self, limit_s: float, device: str) -> None:
        """From here on no wait may take longer, and tensors on a GPU go from one to another without the processor."""
        self.gather(b"", "the other processes to be ready")
        self._limit_s, limit = limit_s, timedelta(seconds=limit_s)
        with self._waiting("the processes to connect"):
            self._group = distributed.new_group(backend="gloo", timeout=limit)
            if device.startswith("cuda"):
                torch.cuda.set_device(device)
                self._on_device = distributed.new_group(backend="nccl", timeout=limit)

    def gather(self, own: bytes, what: str) -> list[bytes]:
        with self._waiting(what):
            lengths = self._joined(torch.tensor([len(own)])).tolist()
            sent = torch.zeros(max(lengths), dtype=torch.uint8)
            if own:
                sent[: len(own)] = torch.frombuffer(bytearray(own), dtype=torch.uint8)
            rows = self._joined(sent).view(self._size, -1) if max(lengths) else sent.new_empty((self._size, 0))
        return [row[:length].numpy().tobytes() for row, length in zip(rows, lengths, strict=True)]

    def lead(self, first: bytes, what: str) -> bytes:
        with self._waiting(what):
            length = torch.tensor([len(first) if self._rank == 0 else 0])
            distributed.broadcast(length, 0, group=self._group)
            sent = torch.empty(int(length), dtype=torch.uint8)
            if self._rank == 0 and first:
                sent.copy_(torch.frombuffer(bytearray(first), dtype=torch.uint8))
            distributed.broadcast(sent, 0, group=self._group)
        return sent.numpy().tobytes()

    def exchange(self, sent: torch.Tensor, sizes: Sequence[int], received: Sequence[int], what: str) -> torch.Tensor:
        arrived = sent.new_empty(sum(received))  # not while waiting: no memory for it is no lost process
        with self._waiting(what):
            distributed.all_to_all_single(arrived, sent, list(received), list(sizes), group=self._group_of(sent))
        return arrived

    def join(self, own: torch.Tensor, what: str) -> torch.Tensor:
        joined = own.new_empty(own.numel() * self._size)
        with self._waiting(what):
            self._join_into(joined, own)
        return joined

    def last_words(self, error: BaseException) -> None:
        """Leaves word that this process is ending, and why, for those that will wait for it in vain."""
        if not self._store_answers:
            return
        with contextlib.suppress(RuntimeError):  # the store may be gone, with the process that kept it
            self._store.set(f"ended {self._rank}", _first_line(error))
            self._store.set(f"heard {self._rank}", "")
            if self._rank == 0 and not self._has_a_launcher:
                self._wait_until_heard()

    def _wait_until_heard(self) -> None:
        """The store goes with this process, where no launcher keeps it; and its words with the store."""
        heard = [f"heard {rank}" for rank in range(1, self._size)]
        deadline = time.monotonic() + _LAST_WORDS_S
        distributed.destroy_process_group()  # whoever waits for this process notices now
        while not self._store.check(heard) and time.monotonic() < deadline:
            time.sleep(0.02)

    def leave(self) -> None:
        """Ends the connections; whoever waits for this process from here on waits in vain."""
        if distributed.is_initialized() and self._store_answers:
            with contextlib.suppress(RuntimeError):
                distributed.destroy_process_group()

    def _joined(self, own: torch.Tensor) -> torch.Tensor:
        joined = own.new_empty(own.numel() * self._size)
        self._join_into(joined, own)
        return joined

    def _join_into(self, joined: torch.Tensor, own: torch.Tensor) -> None:
        # One operation under two names; the older one is deprecated.
        all_gather = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor
        all_gather(joined, own.reshape(-1), group=self._group_of(own))

    def _group_of(self, tensor: torch.Tensor) -> Any:
        return self._on_device if tensor.is_cuda else self._group

    @contextlib.contextmanager
    def _waiting(self, what: str) -> Iterator[None]:
        self._waits += 1
        try:
            self._store.set(f"at {self._rank}", f"{self._waits} {what}")
            yield
        except RuntimeError as error:  # gloo's and NCCL's errors are of this kind
            self._tell_who_is_missing(what, error)

    def _tell_who_is_missing(self, what: str, error: RuntimeError) -> NoReturn:
        others = [rank for rank in range(self._size) if rank != self._rank]
        ended, places = self._words_of(others)
        if ended:
            said = "; ".join(f"process {rank} of {self._size} ended: {text}" for rank, text in ended.items())
            raise LostProcessError(f"{said[0].upper()}{said[1:]}", is_said=True) from error
        if places is None:
            late = [] if self._has_a_launcher else [0]  # with whom the store has gone
        else:
            late = [rank for rank in others if int(places.get(rank, "0 ").partition(" ")[0]) < self._waits]
        who = " or ".join(f"process {rank}" for rank in late) or "another process"
        timed_out = "imed out" in str(error)
        if timed_out and self._limit_s is not None:
            how = f"didn't come within {self._limit_s:g} s (process_timeout): it may be stopped, or very slow"
        else:
            how = "is gone: killed perhaps, for want of memory, or with its machine"
        raise LostProcessError(f"Process {self._rank} waited for {what}, but {who} {how}.") from error

    @property
    def _has_a_launcher(self) -> bool:
        """Whether a launcher keeps the store; else process 0 does."""
        return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"

    def _words_of(self, others: Sequence[int]) -> tuple[dict[int, str], dict[int, str] | None]:
        """Gives the last words of those that ended, by rank, and how far the others have come; None without a store."""
        ended: dict[int, str] = {}
        places: dict[int, str] | None = None
        has_answered = threading.Event()

        def read() -> None:
            nonlocal places
            deadline = time.monotonic() + _LAST_WORDS_S
            with contextlib.suppress(RuntimeError):  # it is gone, which is an answer as well
                while not ended and time.monotonic() < deadline:
                    ended.update({rank: text for rank in others if (text := self._word(f"ended {rank}"))})
                    time.sleep(0.05)
                places = {rank: text for rank in others if (text := self._word(f"at {rank}"))}
                self._store.set(f"heard {self._rank}", "")
            has_answered.set()

        # Apart: a process that is stopped keeps its connections, and where the store is its own an answer never comes.
        threading.Thread(target=read, name="peakmark-last-words", daemon=True).start()
        self._store_answers = has_answered.wait(_LAST_WORDS_S + _STORE_ANSWERS_S)
        return dict(ended), places

    def _word(self, name: str) -> str:
        return self._store.get(name).decode() if self._store.check([name]) else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
