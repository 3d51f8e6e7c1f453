"""What does this machine have? torch and its device, precision, threads, memory, disk, optional packages.

It only asks; what has to be tried out is in the other files.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import torch

from peakmark.errors import how_to_install
from peakmark.export.registry import FORMATS
from peakmark.files.disk import free_bytes
from peakmark.machine.cores import default_threads
from peakmark.machine.devices import Arithmetic
from peakmark.machine.memory import available_bytes_on
from peakmark.nouns.checkup import Finding, Verdict
from peakmark.settings.commands.log import LOGGERS

_DRIVER = Path("/proc/driver/nvidia/version")
_GIB = 2**30
_LITTLE_MEMORY_GIB = 2
_LITTLE_DISK_GIB = 5
_NO_DISK_GIB = 1
_OTHER_EXTRAS: Mapping[str, tuple[str, ...]] = {
    "track": ("scipy",),
    "tables": ("pandas", "polars"),
    "watch": ("starlette", "uvicorn"),
    "tune": ("optuna",),
    **{name: (name,) for name in LOGGERS},
}
"""Packages by the extra that installs them, beside those of the formats."""


def look_at_machine(arithmetic: Arithmetic, folder: Path) -> Iterator[Finding]:
    """Yields what is there; `folder` is where runs are to lie, `arithmetic` that of a run on the device, with amp."""
    yield _torch(arithmetic)
    yield _device(arithmetic)
    yield _precision(arithmetic)
    yield _threads(arithmetic)
    yield _disk(folder)
    yield _extras()


def _torch(arithmetic: Arithmetic) -> Finding:
    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "processors alone"
    driver = driver_version()
    says = f"PyTorch {torch.__version__}, built for {built_for}; NVIDIA driver: {driver or 'none'}."
    if driver and not torch.cuda.is_available():
        return Finding(
            "PyTorch",
            "warning",
            f"{says} There is a GPU's driver, but this PyTorch can't use the GPU.",
            "Install the CUDA build of PyTorch that fits the driver (pytorch.org/get-started).",
        )
    return Finding("PyTorch", "ok", says)


def driver_version(file: Path = _DRIVER) -> str:
    """The NVIDIA driver's version as its kernel module tells it; empty where there is none."""
    try:
        words = file.read_text().partition("\n")[0].split()
    except OSError:
        return ""
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")


def _device(arithmetic: Arithmetic) -> Finding:
    free_gib = available_bytes_on(arithmetic.device) / _GIB
    says = f"{arithmetic.device} ({arithmetic.device_name}), {free_gib:.1f} GiB of memory free."
    if free_gib < _LITTLE_MEMORY_GIB:
        return Finding(
            "device", "warning", says, "End what else takes its memory, or train with a smaller batch and imgsz."
        )
    return Finding("device", "ok", says)


def _precision(arithmetic: Arithmetic) -> Finding:
    if arithmetic.precision == "float32":
        return Finding(
            "precision", "ok", "amp=True computes in float32 here: the processor has no bfloat16 of its own."
        )
    says = f"amp=True computes in {arithmetic.precision}"
    if arithmetic.precision == "float16":
        return Finding(
            "precision", "ok", f"{says}: this GPU has no bfloat16. Gradients are scaled so that small ones survive."
        )
    return Finding("precision", "ok", f"{says}, which is the device's own.")


def _threads(arithmetic: Arithmetic) -> Finding:
    cores = os.cpu_count() or 1
    says = f"A run takes {default_threads()} threads of {cores} processors."
    load = psutil.getloadavg()[0]
    if load > cores:
        return Finding(
            "threads",
            "warning",
            f"{says} {load:.0f} processes want to compute at the moment.",
            "What is timed here is slower than it would be; no result depends on it.",
        )
    return Finding("threads", "ok", says)


def _disk(folder: Path) -> Finding:
    free_gib = free_bytes(folder) / _GIB
    says = f"{free_gib:.1f} GiB are free at {folder}."
    if free_gib < _LITTLE_DISK_GIB:
        verdict: Verdict = "failed" if free_gib < _NO_DISK_GIB else "warning"
        return Finding("disk", verdict, says, "Free some space, or write runs to another disk: project=FOLDER.")
    return Finding("disk", "ok", says)


def _extras() -> Finding:
    packages = {each.extra: (*each.writes_with, *each.runs_with) for each in FORMATS.values() if each.extra}
    packages |= dict(_OTHER_EXTRAS)
    there = {extra: all(map(_is_installed, names)) for extra, names in packages.items()}
    have = ", ".join(sorted(extra for extra, is_there in there.items() if is_there)) or "none"
    lacks = ", ".join(sorted(extra for extra, is_there in there.items() if not is_there))
    says = f"Installed: {have}." + (f" Not installed: {lacks}." if lacks else "")
    advice = f"Only where you need them: {how_to_install(lacks.replace(' ', ''))}." if lacks else ""
    return Finding("extras", "ok", says, advice)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
