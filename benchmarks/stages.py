"""Where does each millisecond of a training go, and how far is that from what the machine could do?

usage: python benchmarks/stages.py [DATA_YAML] [--imgsz 320] [--batch 16] [--repetitions 3] [--compile]
Trains two epochs with profile=True, in mixed precision and in float32 in turn, and shows the second one by its stages:
medians over the repetitions, in milliseconds an image. The floor is what YOLOv8n's arithmetic takes at the fastest
matrix product of this machine, measured in the same run. Without DATA_YAML the embedded shapes are trained on. With
--compile both precisions are trained with compile=True as well, in the same turn; what torch compiled before is
forgotten first, so the first repetition says how long it takes from nothing, and a later one from its cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from peakmark import YOLO
from peakmark.events import Event, Notice, TimeMeasured
from peakmark.machine.devices import settle
from peakmark.nouns.timings import Stage, Timings

STEP_GFLOP = 6.6
"""An image of 320 px through YOLOv8n, forward and backward: three times the 2.2 of a forward pass."""
SIDE_PX = 320
PRODUCT_SIDE = 2048
NETWORK: tuple[Stage, ...] = ("forward", "backward", "update")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="shapes")
    parser.add_argument("--imgsz", type=int, default=SIDE_PX)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    ways = [
        Way(amp, compiled) for amp in (True, False) for compiled in ((False, True) if arguments.compile else (False,))
    ]
    measured: dict[Way, list[Timings]] = {way: [] for way in ways}
    ceilings: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="stages-") as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/compiled"
        for _ in range(arguments.repetitions):
            for way, runs in measured.items():
                ceilings[way.amp].append(ceiling_gflops(way.amp))
                runs.append(second_epoch(arguments.data, arguments.imgsz, arguments.batch, way, Path(folder)))
    for way, runs in measured.items():
        show(way, arguments.imgsz, arguments.batch, runs, max(ceilings[way.amp]))


class Way(NamedTuple):
    """How a training computes."""

    amp: bool
    compiled: bool


def second_epoch(data: str, side_px: int, batch: int, way: Way, project: Path) -> Timings:
    told: list[TimeMeasured] = []

    def observe(event: Event) -> None:
        if isinstance(event, TimeMeasured):
            told.append(event)
        if isinstance(event, Notice) and "compiled" in event.text:
            print(event.text)

    if way.compiled:
        torch.compiler.reset()
    # Mosaic always, as in nearly all epochs of a real run, and full windows from the start.
    YOLO("yolov8n.yaml").train(
        data=data, imgsz=side_px, batch=batch, amp=way.amp, compile=way.compiled, epochs=2, close_mosaic=0,
        warmup_epochs=0, plots=False, profile=True, project=project, observer=observe,
    )  # fmt: skip
    return told[-1].timings


def ceiling_gflops(amp: bool) -> float:
    """The fastest of some large matrix products, in the precision and with the threads of a training."""
    arithmetic = settle(device=None, amp=amp, deterministic=True)
    arithmetic.apply()
    dtype = getattr(torch, arithmetic.precision)
    left, right = (torch.ones(PRODUCT_SIDE, PRODUCT_SIDE, dtype=dtype, device=arithmetic.device) for _ in range(2))
    seconds = []
    for _ in range(8):
        arithmetic.wait()
        began = time.perf_counter()
        torch.mm(left, right)
        arithmetic.wait()
        seconds.append(time.perf_counter() - began)
    return 2 * PRODUCT_SIDE**3 / min(seconds) / 1e9


def show(way: Way, side_px: int, batch: int, runs: list[Timings], ceiling: float) -> None:
    arithmetic = settle(device=None, amp=way.amp, deterministic=True)
    ms = {
        stage: statistics.median(1000 * run.seconds.get(stage, 0.0) / run.images for run in runs)
        for stage in runs[0].seconds
    }
    step_ms = sum(value for stage, value in ms.items() if stage not in ("validation", "saving"))
    network_ms = sum(ms[stage] for stage in NETWORK)
    floor_ms = STEP_GFLOP * (side_px / SIDE_PX) ** 2 / ceiling * 1000
    paces = [run.images / run.total_s for run in runs]
    precision = f"{arithmetic.precision}, compiled" if way.compiled else arithmetic.precision
    print(
        f"{precision}, {arithmetic.threads} threads, {side_px} px, batch {batch}:"
        f" {statistics.median(paces):.1f} images/s with validation ({min(paces):.1f} to {max(paces):.1f})"
    )
    print("| stage | ms an image | share of the step |\n|---|---|---|")
    for stage, value in ms.items():
        share = "" if stage in ("validation", "saving") else f"{value / step_ms:.1%}"
        print(f"| {stage} | {value:.2f} | {share} |")
    print(f"| a step in all | {step_ms:.2f} | {1 - network_ms / step_ms:.1%} beside forward, backward, update |")
    print(
        f"| floor ({ceiling:.0f} GFLOP/s) | {floor_ms:.2f} | the step takes {step_ms / floor_ms:.2f} times as long |\n"
    )


if __name__ == "__main__":
    main()
