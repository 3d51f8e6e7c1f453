"""What does logging to TensorBoard, MLflow and W&B take from a training? Processor time of the processes that log.

usage: python benchmarks/loggers.py [--epochs N] [--imgsz PX]

Not the time of the epochs: on a machine that others use, that moves by more than what is to be measured. Each row is an
epoch of a training on the embedded shapes: how long it took, and the processor time that all three had used by its end.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

import psutil

from peakmark import YOLO
from peakmark.events import EpochEnded, Event

ALL = "tensorboard,mlflow,wandb"


def processor_s() -> float:
    """Of this process's children, up to now."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        used += times.user + times.system
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--imgsz", type=int, default=96)
    asked = parser.parse_args()
    rows: list[tuple[float, float]] = []

    def observe(event: Event) -> None:
        if isinstance(event, EpochEnded):
            rows.append((time.monotonic(), processor_s()))

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "WANDB_MODE": "offline"}
        wishes = {"imgsz": asked.imgsz, "epochs": asked.epochs, "plots": False, "average": False, "log_to": ALL}
        YOLO("yolov8n.yaml").train(data="shapes", project=Path(folder), observer=observe, **wishes)
    print(f"start, up to the end of the first epoch: {rows[0][1]:.2f} s of processor time")
    for epoch, ((before, used_before), (at, used)) in enumerate(itertools.pairwise(rows), 2):
        took, by_loggers = at - before, used - used_before
        print(f"epoch {epoch}: {took:.2f} s, {by_loggers:.3f} s of processor time ({by_loggers / took:.1%})")


if __name__ == "__main__":
    main()
