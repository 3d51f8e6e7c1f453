"""The arithmetic is settled from settings and machine alone, stored as plain values, and refuses what isn't there."""

from __future__ import annotations

import mmap
import os

import pytest
import torch

from peakmark.errors import MachineError
from peakmark.machine import devices
from peakmark.machine.cores import granted_cores
from peakmark.machine.devices import Arithmetic, Precision, memory_in_use_bytes, precision_here, settle


def make(**changes: object) -> Arithmetic:
    given = {"device": "cpu", "device_name": "x", "precision": "float32", "threads": 1}
    return Arithmetic.from_plain({**given, "channels_last": True, "deterministic": True, **changes})


def test_it_survives_being_stored():
    settled = settle(device="cpu", amp=True, deterministic=True)
    assert Arithmetic.from_plain(settled.to_plain()) == settled
    assert all(type(value) in (str, int, bool) for value in settled.to_plain().values())


def test_threads_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch):
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    available = os.sched_getaffinity(0)
    one = {min(available)}
    try:
        os.sched_setaffinity(0, one)
        assert settle(device="cpu", amp=False, deterministic=True).threads == 1
    finally:
        os.sched_setaffinity(0, available)
    assert settle(device="cpu", amp=False, deterministic=True).threads == granted_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert settle(device="cpu", amp=False, deterministic=True).threads == 1
    assert settle(device="cpu", amp=False, deterministic=True, threads=7).threads == 7


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_mixed_precision_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, native: bool, precision: str):
    monkeypatch.setattr(devices, "_native_bfloat16", lambda: native)
    assert settle(device="cpu", amp=True, deterministic=True).precision == precision
    assert settle(device="cpu", amp=False, deterministic=True).precision == "float32"


@pytest.mark.parametrize(
    ("wish", "device", "lacks", "here"),
    [
        ("bfloat16", "cpu", False, "bfloat16"),
        ("bfloat16", "cpu", True, "float32"),
        ("float16", "cpu", True, "float32"),
        ("float32", "cpu", False, "float32"),
        ("bfloat16", "cuda:0", False, "bfloat16"),
        ("bfloat16", "cuda:0", True, "float16"),
        ("float16", "cuda:0", False, "float16"),
        ("float32", "cuda:0", False, "float32"),
    ],
)
def test_a_precision_that_this_device_lacks_is_settled_again(
    monkeypatch: pytest.MonkeyPatch, wish: Precision, device: str, lacks: bool, here: str
):
    """The library that convolves raises at the first image otherwise, far from what could say why."""
    monkeypatch.setattr(devices, "_mkldnn_has_bfloat16", lambda: not lacks)
    monkeypatch.setattr(devices, "_mkldnn_has_float16", lambda: not lacks)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not lacks)
    assert precision_here(wish, device) == here


def test_a_processor_that_multiplies_bfloat16_but_may_not_computes_in_float32(monkeypatch: pytest.MonkeyPatch):
    """`ONEDNN_MAX_CPU_ISA=AVX2`, for one: torch alone still says that all is there."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    for has_it, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(devices, "_mkldnn_has_bfloat16", lambda has_it=has_it: has_it)
        assert settle(device="cpu", amp=True, deterministic=True).precision == precision


def test_the_callers_autocast_keeps_no_rounded_weights_for_the_next_update():
    """Torch empties that cache at the end of the outermost block alone: every update would go on from the first."""
    weight = torch.nn.Parameter(torch.ones(2, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for value in (1.0, 3.0):
            with torch.no_grad():
                weight.fill_(value)
            with make(precision="bfloat16").autocast():
                assert torch.mm(torch.ones(2, 2), weight)[0, 0].item() == 2 * value


@pytest.mark.parametrize("device", ["cpu", " CPU "])
def test_the_processor_is_always_there(device: str):
    assert settle(device=device, amp=False, deterministic=True).device == "cpu"


@pytest.mark.parametrize("device", ["tpu", "0,1", "cuda:x", "-1"])
def test_unknown_devices_are_refused(device: str):
    with pytest.raises(MachineError, match=r"unknown device; write cpu"):
        settle(device=device, amp=False, deterministic=True)


@pytest.mark.parametrize("device", [0, "0", "cuda", "cuda:3"])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, device: str | int):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(MachineError, match=r"this machine has 0 CUDA devices"):
        settle(device=device, amp=False, deterministic=True)


def test_without_a_wish_and_a_gpu_it_is_the_processor(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert settle(device=None, amp=False, deterministic=True).device == "cpu"


def test_applying_sets_the_threads():
    torch.set_num_threads(2)
    try:
        with make(threads=1).in_force():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_is_told_to_compute_the_same_each_time(monkeypatch: pytest.MonkeyPatch, deterministic: bool):
    """The switches of the process can be looked at without a GPU; what they do needs one."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with make(device="cuda:0", deterministic=deterministic).in_force():
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.benchmark is not deterministic
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is deterministic
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize(("precision", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_computes_in_the_precision(precision: str, expected: torch.dtype):
    arithmetic = make(precision=precision)
    with arithmetic.autocast():
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == expected
    assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32
    assert not arithmetic.needs_scaler
    assert make(precision="float16").needs_scaler


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_become_floats_from_0_to_1_in_the_layout(channels_last: bool):
    images = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 3, 16, 16)
    arithmetic = make(channels_last=channels_last)
    found = arithmetic.prepare(images)
    assert found.dtype == torch.float32
    assert (found.min().item(), found.max().item()) == (0.0, 1.0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)
    assert images.dtype == torch.uint8
    convolution = arithmetic.place(torch.nn.Conv2d(3, 8, 3))
    assert convolution.weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_images_are_prepared_in_the_precision_and_equal_what_the_first_convolution_would_have_rounded(precision: str):
    every_byte = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 3, 16, 16)
    found = make(precision=precision).prepare(every_byte)
    assert found.dtype == getattr(torch, precision)
    assert torch.equal(found, make().prepare(every_byte).to(found.dtype))


def test_memory_in_use_grows_with_what_is_held():
    before = memory_in_use_bytes(make())
    # Straight from the system: what an allocator hands out may be what it kept from before.
    with mmap.mmap(-1, 64 * 2**20) as held:
        held.write(b"x" * len(held))
        assert memory_in_use_bytes(make()) - before > 32 * 2**20
