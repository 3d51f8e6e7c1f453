"""What does this machine compute with, and exactly how? Device, threads, precision, layout, determinism.

The arithmetic is settled once, at the start of a run, from settings and machine, and stored: one thread more changes
every gradient in its last bits. Never from workers, the clock, free memory or the epochs that are left.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import psutil
import torch

from peakmark.errors import MachineError
from peakmark.machine.cores import default_threads
from peakmark.machine.numerics import put_back_afterwards, settle_switches, threads_agree

Precision = Literal["float32", "bfloat16", "float16"]
Augmentation = Literal["opencv", "torch"]
"""What carries a plan of augmentation out: OpenCV on the processor, or torch on the device. They round differently."""
Statistics = Literal["in place", "by window"]
"""When batch-norm statistics are moved: in each forward pass, or once a window. They round differently."""
Module = TypeVar("Module", bound=torch.nn.Module)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How numbers are computed; equal arithmetic on equal libraries and hardware gives equal bits."""

    device: str
    """cpu, cuda:0 ..."""
    device_name: str
    precision: Precision
    threads: int
    channels_last: bool
    deterministic: bool
    augmentation: Augmentation = "opencv"
    compiled: bool = False
    """Whether a training's forward and backward are."""
    statistics: Statistics = "by window"

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Arithmetic:
        return Arithmetic(**plain)

    def apply(self) -> None:
        """Sets the process up for it: threads, on a GPU the deterministic kernels, and every switch that somebody may
        have set before. Whoever calls it puts them back (`numerics.put_back_afterwards`)."""
        if self.on_gpu and self.deterministic:
            # cuBLAS reads this when its handle is made; without it, deterministic mode raises at the first product.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        settle_switches(
            threads=self.threads,
            deterministic=self.on_gpu and self.deterministic,
            benchmark=self.on_gpu and not self.deterministic,
        )

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Sets the process up for it within the block."""
        with put_back_afterwards():
            self.apply()
            yield

    def check_threads(self) -> None:
        """Raises MachineError where the threads that will compute don't do it alike. After `apply`."""
        if self.threads > 1 and not self.on_gpu and not threads_agree():
            raise MachineError(
                "In this process torch.set_flush_denormal(True) was called before torch started its threads, and they"
                " round the smallest numbers to 0 for good, so the result would depend on which of them computes what."
                " Begin in a fresh process (restart the notebook's kernel), or with threads=1."
            )

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def needs_scaler(self) -> bool:
        """Whether small gradients would vanish: float16 has too few exponent bits, bfloat16 has float32's."""
        return self.precision == "float16"

    def wait(self) -> None:
        """Returns once the device has done all that it was asked for; a processor has."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Runs convolutions and products in the chosen precision."""
        kind = "cuda" if self.on_gpu else "cpu"
        mixed = self.precision != "float32"
        try:
            with torch.autocast(kind, dtype=self._dtype if mixed else None, enabled=mixed, cache_enabled=True):
                yield
        finally:
            # Inside an autocast of the caller's, torch would keep the rounded weights of this update for the next.
            torch.clear_autocast_cache()

    def round_weights(self, module: Module) -> Module:
        """Rounds the weights of a module for inference to the chosen precision, as autocast would in every call."""
        return module.to(self._dtype)

    def place(self, module: Module) -> Module:
        """Moves a module to the device, in the chosen memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return module.to(device=self.device, memory_format=layout)  # type: ignore[call-overload, no-any-return]

    def prepare(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Takes uint8 images to the device as numbers 0 to 1 in the chosen precision and layout.

        Equal to the last bit to float32 images that the first convolution rounds: every byte has a place in bfloat16
        and float16, and torch multiplies in float32.
        """
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        images = images_BCHW.to(self.device, non_blocking=True)
        return images.to(dtype=self._dtype, memory_format=layout).mul_(1 / 255)

    @property
    def _dtype(self) -> torch.dtype:
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.precision]


def settle(
    *,
    device: str | int | None,
    amp: bool,
    deterministic: bool,
    threads: int | None = None,
    augmentation: Augmentation = "opencv",
    compiled: bool = False,
    processes: int = 1,
    local_rank: int = 0,
) -> Arithmetic:
    """Chooses the arithmetic for these settings on this machine, of which `processes` compute one run together.

    `local_rank`: which of them this is; without a wish each has a GPU of its own, where there are any. Raises
    MachineError for a device that isn't there.
    """
    chosen = _device(device, local_rank)
    on_gpu = chosen.startswith("cuda")
    return Arithmetic(
        device=chosen,
        device_name=torch.cuda.get_device_name(chosen) if on_gpu else processor_name(),
        precision=_precision(on_gpu) if amp else "float32",
        threads=threads or default_threads(processes),
        channels_last=True,
        deterministic=deterministic,
        augmentation=augmentation,
        compiled=compiled,
    )


def _device(wish: str | int | None, local_rank: int) -> str:
    if wish is None:
        wish = local_rank if torch.cuda.is_available() else "cpu"
    name = str(wish).strip().lower()
    if name == "cpu":
        return "cpu"
    number = name.removeprefix("cuda").removeprefix(":") or "0"
    if not number.isdigit():
        raise MachineError(f"device={wish}: unknown device; write cpu, cuda, cuda:0 or 0 (one device at a time).")
    if int(number) >= torch.cuda.device_count():
        raise MachineError(
            f"device={wish}: this machine has {torch.cuda.device_count()} CUDA devices that this PyTorch can use;"
            " write device=cpu, or install the CUDA build of PyTorch."
        )
    return f"cuda:{number}"


def _precision(on_gpu: bool) -> Precision:
    if on_gpu:
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if _native_bfloat16() else "float32"


def precision_here(wish: Precision, device: str) -> Precision:
    """The precision that a run was computed in, or what this device has instead.

    Where it is only slow, it stays: the numbers are those of the run.
    """
    on_gpu = device.startswith("cuda")
    if wish == "float32":
        return wish
    if on_gpu:
        return wish if wish == "float16" else _precision(on_gpu)
    has_it = _mkldnn_has_bfloat16() if wish == "bfloat16" else _mkldnn_has_float16()
    return wish if has_it else _precision(on_gpu)


def _native_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; emulated, it is slower than float32."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    has_it = "AVX512" in capabilities and bool(torch.cpu._is_avx512_bf16_supported())
    return has_it and _mkldnn_has_bfloat16()


def _mkldnn_has_bfloat16() -> bool:
    """Whether the library that convolves can be given bfloat16 here, emulated perhaps; else it raises at first use."""
    return hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported") and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _mkldnn_has_float16() -> bool:
    return hasattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported") and torch.ops.mkldnn._is_mkldnn_fp16_supported()


@functools.cache
def processor_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return "processor"


def memory_in_use_bytes(arithmetic: Arithmetic) -> int:
    """What the run holds now: on a GPU what torch has reserved there, else the resident memory of the process."""
    if arithmetic.on_gpu:
        return torch.cuda.memory_reserved(arithmetic.device)
    return int(psutil.Process().memory_info().rss)
