"""What does an exported file take in a process of its own? Run as one, it says so as JSON.

In the process that made the file, memory that others left free would be counted as nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from peakmark.errors import MachineError
from peakmark.export.exported import open_exported

_MOST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of loading a file and looking at one image."""

    load_s: float
    memory_bytes: int
    """By how much the process grew, with what the runtime itself takes"""


def footprint(path: Path, threads: int) -> Footprint:
    """Measures in a fresh process. Raises MachineError where that ends otherwise."""
    ended = subprocess.run(
        [sys.executable, "-m", "peakmark.export.footprint", str(path), str(threads)],
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
        check=False,
    )
    if ended.returncode:
        raise MachineError(f"{path} can't be run in a process of its own: {ended.stderr.strip()[-300:]}")
    return Footprint(**json.loads(ended.stdout.strip().splitlines()[-1]))


def measured(path: Path, threads: int) -> Footprint:
    """Measures in this process."""
    process = psutil.Process()
    before = process.memory_info().rss
    began = time.perf_counter()
    opened = open_exported(path, threads)
    load_s = time.perf_counter() - began
    side_px = opened.about.side_px
    opened.runtime(np.zeros((opened.about.batch or 1, 3, side_px, side_px), np.float32), 0.25, False)
    return Footprint(load_s, max(0, process.memory_info().rss - before))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measured(Path(sys.argv[1]), int(sys.argv[2])))) + "\n")
