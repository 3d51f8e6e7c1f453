"""Which switches of the process change what torch and OpenCV compute? Set for a run, and put back after it.

A notebook, or a library that was loaded before, may have set any of them: then equal settings, data and seed would give
other weights, without a word. It must not know what is computed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

_OF_BACKENDS: Mapping[str, Any] = {
    "mkldnn.enabled": True,
    "mkldnn.deterministic": False,
    "cudnn.enabled": True,
    "cudnn.deterministic": False,
    "cudnn.benchmark": False,
    "cuda.matmul.allow_fp16_reduced_precision_reduction": True,
    "cuda.matmul.allow_bf16_reduced_precision_reduction": True,
    "cuda.matmul.allow_fp16_accumulation": False,
    # What float32 is multiplied in: as torch comes. Only convolutions on a GPU may round to TensorFloat-32.
    "mkldnn.matmul.fp32_precision": "ieee",
    "mkldnn.conv.fp32_precision": "ieee",
    "mkldnn.rnn.fp32_precision": "ieee",
    "cuda.matmul.fp32_precision": "ieee",
    "cudnn.conv.fp32_precision": "tf32",
    "cudnn.rnn.fp32_precision": "tf32",
}
"""What runs are computed with."""
_TINY = np.float32(1e-39)
"""A denormal number of float32."""
_SEVERAL_GRAINS = 400_000
"""Numbers enough that every thread of a team gets some of them."""


@dataclass(frozen=True, slots=True)
class _Switch:
    read: Callable[[], Any]
    write: Callable[[Any], object]
    value: Any
    """What runs are computed with: what torch comes with."""


def _backend(name: str, value: Any) -> Iterator[_Switch]:
    """A switch of `torch.backends`, such as mkldnn.matmul.fp32_precision; none in a torch that doesn't have it yet."""
    *places, attribute = name.split(".")
    place: Any = torch.backends
    for each in places:
        place = getattr(place, each, None)
    if hasattr(place, attribute):
        yield _Switch(lambda: getattr(place, attribute), lambda wished: setattr(place, attribute, wished), value)


def _autocast(kind: str) -> _Switch:
    return _Switch(
        lambda: torch.is_autocast_enabled(kind), lambda wished: torch.set_autocast_enabled(kind, wished), False
    )


@functools.cache
def _switches() -> tuple[_Switch, ...]:
    return (
        _Switch(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        _Switch(_default_device, torch.set_default_device, None),
        _Switch(flushes_denormals, torch.set_flush_denormal, False),
        _autocast("cpu"),
        _autocast("cuda"),
        # Its fast kernels warp some pixels to another byte than its plain ones.
        _Switch(cv2.useOptimized, cv2.setUseOptimized, True),
        # The older word for what float32 is multiplied in, which sets the newer ones as well: so before them.
        _Switch(_matmul, _set_matmul, "highest"),
        *(switch for name, value in _OF_BACKENDS.items() for switch in _backend(name, value)),
    )


def settle_switches(*, threads: int, deterministic: bool, benchmark: bool) -> None:
    """Sets all in the process that changes what is computed. `benchmark`: cuDNN takes the kernel that is fastest."""
    _write([switch.value for switch in _switches()], threads, (deterministic, deterministic))
    torch.backends.cudnn.benchmark = benchmark


@contextlib.contextmanager
def put_back_afterwards() -> Iterator[None]:
    """Puts every switch back to where the caller had it."""
    before = [switch.read() for switch in _switches()]
    threads, deterministic = torch.get_num_threads(), _deterministic()
    try:
        yield
    finally:
        _write(before, threads, deterministic)


def _write(values: Sequence[Any], threads: int, deterministic: tuple[bool, bool]) -> None:
    """Only what is to change: every chunk of a prediction comes by here."""
    for switch, value in zip(_switches(), values, strict=True):
        if switch.read() != value:
            switch.write(value)
    if _deterministic() != deterministic:
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _deterministic() -> tuple[bool, bool]:
    on = torch.are_deterministic_algorithms_enabled()
    return on, on and torch.is_deterministic_algorithms_warn_only_enabled()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """The same for a training, which none of the caller's modes reaches either: inference, no gradients, raising."""
    with (
        put_back_afterwards(),
        torch.inference_mode(False),
        torch.enable_grad(),
        np.errstate(all="warn", under="ignore"),
    ):
        yield


def flushes_denormals() -> bool:
    """Whether this thread takes numbers below 1e-38 for 0."""
    return bool(_TINY * np.float32(1) == 0)


def threads_agree() -> bool:
    """Whether torch's other threads treat the smallest numbers as this one does.

    They take that over when they are started and keep it: torch can't tell them otherwise.
    """
    kept = int((torch.full((_SEVERAL_GRAINS,), 1e-39, dtype=torch.float32, device="cpu") * 1.0).count_nonzero())
    return kept == (0 if flushes_denormals() else _SEVERAL_GRAINS)


def _matmul() -> str | None:
    """What `torch.set_float32_matmul_precision` was told; None where the newer switches contradict it."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_matmul(wished: str | None) -> None:
    if wished is not None:
        torch.set_float32_matmul_precision(wished)


def _default_device() -> torch.device | None:
    """None for the processor, which is no device that was set: a set one, even cpu, slows every call down."""
    device = torch.get_default_device()
    return None if device.type == "cpu" else device
