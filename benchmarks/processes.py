"""What do several processes gain? One run on one process, on two, and on one with two threads: its pace, and its bits.

usage: python benchmarks/processes.py [--data DATA] [--epochs 30] [--imgsz 320] [--work FOLDER]
Pace is images over the time of the training steps, as the journal has it, without validation and saving. Two processes
compute with one thread each, so their run is that of one process with one thread, to the last bit. On a machine that
others use the figures mean little: a process that waits for a core lets the other one wait as well.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES

BCCD = Path(__file__).resolve().parents[2] / "shared/data/bccd/data.yaml"
WAYS = {
    "1 process, 1 thread": {"processes": 1, "threads": 1},
    "2 processes, 1 thread each": {"processes": 2, "threads": 1},
    "1 process, 2 threads": {"processes": 1, "threads": 2},
}
LINKS = {"NVLink 4": 450e9, "PCIe 4.0 x16": 32e9, "100 Gbit/s Ethernet": 12.5e9}
"""Published bytes a second, in one direction."""
DEVICES = 8


def trained(way: str, settings: dict[str, object], project: Path) -> Path:
    """Trains one way; gives the run's folder."""
    name = way.replace(" ", "-").replace(",", "")
    words = {**settings, **WAYS[way], "project": project, "name": name}
    command = [sys.executable, "-m", "peakmark", "train", *(f"{key}={value}" for key, value in words.items())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return project / name


def pace(run: Path) -> tuple[float, float]:
    """Images a second: of the training steps, and of whole epochs with their validation. Medians of the epochs."""
    records = read(run / "weights/last.pt").history.records[1:]  # the first one reads the images
    images = records[0].images
    return (
        statistics.median(images / record.train_s for record in records),
        statistics.median(images / (record.train_s + record.validation_s) for record in records),
    )


def projection() -> None:
    """What would travel between GPUs at each update, with one microbatch a device, and how long it would take."""
    print(f"\nProjected, not measured: {DEVICES} GPUs, an update's exchange by the link's published speed")
    print("| model | MB sent by each | " + " | ".join(f"{link}, ms" for link in LINKS) + " |")
    print("|---" * (2 + len(LINKS)) + "|")
    for name in ("yolov8n", "yolov8m", "yolov8x"):
        gradient = 4 * sum(parameter.numel() for parameter in build_detector(SCALES[name], 80, 0).parameters())
        sent = 2 * gradient * (DEVICES - 1) / DEVICES
        times = " | ".join(f"{1000 * sent / speed:.2f}" for speed in LINKS.values())
        print(f"| {name} | {sent / 1e6:.0f} | {times} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(BCCD) if BCCD.exists() else "shapes")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    settings: dict[str, object] = {
        "data": arguments.data, "model": "yolov8n.yaml", "imgsz": arguments.imgsz, "epochs": arguments.epochs,
        "batch": 16, "nbs": 64, "seed": 0, "cache": "ram", "plots": False, "average": False, "keep": 1,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        runs = {way: trained(way, settings, arguments.work or Path(folder)) for way in WAYS}
        one, two = (everything(read(runs[way] / "weights/last.pt")) for way in list(WAYS)[:2])
        paces = {way: pace(run) for way, run in runs.items()}
    alone = paces[next(iter(WAYS))]
    print(
        "| | images a second, training | times one | images a second, whole epochs | times one |\n|---|---|---|---|---|"
    )
    for way, (steps, epochs) in paces.items():
        print(f"| {way} | {steps:.1f} | {steps / alone[0]:.2f} | {epochs:.1f} | {epochs / alone[1]:.2f} |")
    print(f"\none and two processes: {'the same bits' if one == two else 'OTHER BITS'} in last.pt ({one[:12]})")
    projection()


if __name__ == "__main__":
    main()
