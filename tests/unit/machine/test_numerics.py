"""What a notebook set before changes nothing that is computed, and is as it was afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from peakmark.machine.numerics import (
    _backend,
    flushes_denormals,
    put_back_afterwards,
    settle_switches,
    threads_agree,
    undisturbed,
)

backends: Any = torch.backends
matmul = backends.cuda.matmul


def _assign(place: object, name: str, value: object) -> Callable[[], None]:
    return lambda: setattr(place, name, value)


CHANGES: dict[str, Callable[[], object]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "denormals": lambda: torch.set_flush_denormal(True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "matmul": lambda: torch.set_float32_matmul_precision("medium"),
    "newer matmul": _assign(backends.mkldnn.matmul, "fp32_precision", "bf16"),
    "newer conv": _assign(backends.mkldnn.conv, "fp32_precision", "bf16"),
    "TensorFloat-32": _assign(matmul, "allow_tf32", True),
    "cuDNN's TensorFloat-32": _assign(backends.cudnn.conv, "fp32_precision", "ieee"),
    "oneDNN": _assign(backends.mkldnn, "enabled", False),
    "cuDNN": _assign(backends.cudnn, "enabled", False),
    "cuDNN's benchmark": _assign(backends.cudnn, "benchmark", True),
    "reduced": _assign(matmul, "allow_bf16_reduced_precision_reduction", False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "OpenCV": lambda: cv2.setUseOptimized(False),
    "threads": lambda: torch.set_num_threads(3),
}


def all_of_it() -> dict[str, object]:
    """Every switch as the process has it, read without the code that is tested."""
    try:
        legacy = torch.get_float32_matmul_precision()
    except RuntimeError:
        legacy = "contradicted"
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "denormals": bool((torch.full((1,), 1e-39, dtype=torch.float32, device="cpu") * 1.0 == 0).item()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "legacy": legacy,
        "mkldnn": [getattr(backends.mkldnn, each).fp32_precision for each in ("matmul", "conv", "rnn")],
        "cudnn": [getattr(backends.cudnn, each).fp32_precision for each in ("conv", "rnn")],
        "cuda": matmul.fp32_precision,
        "enabled": (backends.mkldnn.enabled, backends.cudnn.enabled, backends.cudnn.benchmark),
        "reduced": matmul.allow_bf16_reduced_precision_reduction,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "OpenCV": cv2.useOptimized(),
        "threads": torch.get_num_threads(),
    }


@pytest.fixture(autouse=True)
def _as_it_was():
    with put_back_afterwards():
        yield


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_was_set_the_switches_are_the_same_inside_and_as_they_were_outside(change):
    with put_back_afterwards():
        settle_switches(threads=1, deterministic=False, benchmark=False)
        fresh = all_of_it()
    untouched = all_of_it()
    CHANGES[change]()
    before = all_of_it()
    assert before != untouched, "the test itself would show nothing"
    with put_back_afterwards():
        settle_switches(threads=1, deterministic=False, benchmark=False)
        assert all_of_it() == fresh
    assert all_of_it() == before


def test_a_switch_that_this_torch_does_not_have_is_left_out():
    assert list(_backend("mkldnn.no_such_operation.fp32_precision", "ieee")) == []
    assert list(_backend("cudnn.no_such_switch", True)) == []
    (known,) = _backend("cudnn.benchmark", False)
    assert known.read() == torch.backends.cudnn.benchmark


def test_they_come_back_after_an_error():
    torch.set_default_dtype(torch.float64)
    with contextlib.suppress(ZeroDivisionError), put_back_afterwards():
        settle_switches(threads=1, deterministic=True, benchmark=False)
        raise ZeroDivisionError
    assert torch.get_default_dtype() == torch.float64
    assert not torch.are_deterministic_algorithms_enabled()


def test_no_mode_of_the_callers_reaches_a_training():
    with torch.inference_mode(), np.errstate(all="raise"), undisturbed():
        weight = torch.ones(2, requires_grad=True)
        (weight * torch.ones(2)).sum().backward()  # type: ignore[no-untyped-call]
        with pytest.warns(RuntimeWarning, match="invalid"):
            assert bool(np.isnan(np.zeros(1) / np.zeros(1))[0])
    assert weight.grad is not None


FLUSHED_BEFORE_THE_THREADS = """
import torch
from peakmark.machine.devices import Arithmetic
from peakmark.errors import MachineError
torch.set_num_threads(2)
torch.set_flush_denormal(True)
torch.ones(1_000_000).mul(2)  # starts the second thread
for threads in (1, 2):
    arithmetic = Arithmetic("cpu", "test", "float32", threads, True, True)
    arithmetic.apply()
    try:
        arithmetic.check_threads()
    except MachineError as error:
        print(threads, error)
"""


def test_threads_that_flush_for_good_are_found_before_anything_is_computed():
    assert threads_agree()
    assert not flushes_denormals()
    command = [sys.executable, "-c", FLUSHED_BEFORE_THE_THREADS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("2 In this process torch.set_flush_denormal(True) was called"), done.stderr
    assert "threads=1" in done.stdout
